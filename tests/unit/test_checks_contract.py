"""The operator and the serving image share no code: what one says of checks is what the other understands."""

import re
from pathlib import Path

import msgspec
import pytest

from millgate.api.job import OPTIONS
from millgate.api.spec import Job, JobPreset
from millgate.controller.words import last_words
from millgate.workload.checks import WORDS, Compared, Pinned, check_job
from millgate.workload.jobs import GateVisit
from millgate_serving.checks import command, subject
from millgate_serving.checks.verdict import EXIT_CODES, CheckReason, Finding, Verdict, document
from tests.unit.workload_objects import DIGEST, MODEL, PARENT, REGISTRY_URI, SETTINGS, revision

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()


def test_every_preset_is_a_check_of_the_image_with_the_same_options() -> None:
    known = {name: set(options.__struct_encode_fields__) for name, options in command.OPTIONS.items()}
    assert {WORDS[preset]: set(options) for preset, options in OPTIONS.items()} == known


@pytest.mark.parametrize("verdict", Verdict)
def test_the_operator_reads_what_the_image_writes(verdict: Verdict) -> None:
    figures = {"difference": -0.03, "candidate": 0.91, "stable": 0.94, "margin": 0.01, "rows": 2000}
    found = Finding(verdict, "as it is", CheckReason.BOUND_EXCEEDED, "difference", figures)
    written = msgspec.json.encode(document("accuracy", found, ("fraud/9", "fraud/8"), 1.5))
    finding = last_words(written.decode()).finding
    assert finding is not None
    assert (finding.check, finding.verdict) == ("accuracy", verdict.value)
    assert (finding.candidate, finding.stable, finding.limit, finding.samples) == (0.91, 0.94, 0.94 - 0.01, 2000)
    assert EXIT_CODES[verdict] == {"Pass": 0, "Fail": 1, "Unknown": 75}[verdict.value]


def test_the_image_finds_both_versions_in_the_environment_of_the_pod() -> None:
    old = revision(model=MODEL.model_copy(update={"version": "7", "source_uri": "models:/m-0"}))
    asked = GateVisit("g", Job(preset=JobPreset.ACCURACY), "checks", 1)
    compared = Compared(Pinned(revision(), DIGEST), Pinned(old, DIGEST))
    container = check_job(PARENT, compared, asked, SETTINGS, None)["spec"]["template"]["spec"]["containers"][0]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    subjects = subject.read(environment)
    assert subjects.stable is not None
    for found, version, source in ((subjects.candidate, "8", "models:/m-1"), (subjects.stable, "7", "models:/m-0")):
        assert (found.version, found.settings.source, found.settings.digest) == (f"fraud/{version}", source, DIGEST)
        assert found.settings.registry.tracking_uri == REGISTRY_URI
    assert set(re.findall(r"MILLGATE_STABLE_\w+", PAGE)) >= {name for name in environment if "_STABLE_" in name}
