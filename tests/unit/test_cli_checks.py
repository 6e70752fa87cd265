"""The figures of checks as a person reads them in the table of gates."""

from typing import Any

import pytest

from millgate.cli.checks import checks
from millgate.cli.text import Style
from millgate.cli.view import read
from tests.unit.cli_objects import NOW, at, deployment

PLAIN = Style(unicode=True, colour=False)


def row(preset: str, **said: Any) -> list[str]:
    options = {"options": {"segmentBy": "country"}} if preset == "Fairness" else {}
    asked = {"name": "g", "type": "Job", "job": {"preset": preset, **options}}
    steps = [{"name": "checks", "weightPercent": 0, "gates": [asked]}, {"name": "all", "weightPercent": 100}]
    gate = {"name": "g", "step": "checks", "verdict": "Fail", "reason": "JobFailed", "message": "worse", **said}
    spec = {"rollout": {"steps": steps, "gates": []}}
    view = read(deployment(spec=spec, status={"gates": [gate | {"lastCheckTime": at(-5)}]}))
    head, line, words = checks(view, NOW, PLAIN)
    assert words == "g: JobFailed: worse"
    starts = [head.index(word) for word in head.split()]
    ends = [*starts[1:], len(line)]
    return [line[start:end].strip() for start, end in zip(starts, ends, strict=True)][2:6]


@pytest.mark.parametrize(
    ("preset", "said", "shown"),
    [
        (
            "Accuracy",
            {"value": "0.912", "reference": "0.9425", "limit": "0.9325", "samples": 2000},
            ["0.912", "0.9425", ">= 0.9325", "2,000"],
        ),
        ("Fairness", {"value": "12", "reference": "10", "limit": "10.5"}, ["12", "10", "<= 10.5", "-"]),
        (
            "LatencyBenchmark",
            {"value": "0.0271", "reference": "0.0084", "limit": "0.0126", "samples": 760},
            ["27.1 ms", "8.4 ms", "<= 12.6 ms", "760"],
        ),
        ("LatencyBenchmark", {"value": "0.5", "limit": "0.25"}, ["500 ms", "-", "<= 250 ms", "-"]),
        (
            "MemoryFootprint",
            {"value": "262144000", "reference": "90177536", "limit": "135266304"},
            ["250 MiB", "86 MiB", "<= 129 MiB", "-"],
        ),
        ("SchemaCompatibility", {}, ["-", "-", "-", "-"]),
    ],
)
def test_figures_have_the_unit_of_their_check(preset: str, said: dict[str, Any], shown: list[str]) -> None:
    assert row(preset, **said) == shown
