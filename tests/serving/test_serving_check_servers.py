"""Checks that run real servers: latency and memory of a candidate, held against stable's."""

import json

import pytest

QUICK = {"durationSeconds": 4, "ratePerSecond": 20, "minSamples": 30, "quantile": 0.5}


def test_a_slow_model_fails_the_benchmark(ask):
    found = ask("latency", "slow", "good", **QUICK, maxRatio=2, maxSeconds=10)
    assert (found.verdict, found.decided_by) == ("Fail", "ratio"), found
    assert found.figures["candidateMedianSeconds"] > found.figures["stableMedianSeconds"]


def test_a_model_as_fast_as_stable_passes_the_benchmark(ask):
    found = ask("latency", "better", "good", **QUICK, maxRatio=100)
    assert found.verdict == "Pass", found
    assert found.figures["requests"] == 40


def test_a_benchmark_too_short_for_its_samples_is_not_begun(ask):
    found = ask("latency", "good", "good", durationSeconds=1, ratePerSecond=10)
    assert found.reason == "TooFewSamples"


def test_a_model_that_raises_fails_the_benchmark_and_the_measurement_of_memory(ask, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"age": 1.0, "amount": 0.5, "rate": 0.0, "group": 9.0}))
    for check, options in (("latency", QUICK), ("memory", {})):
        found = ask(check, "picky", "good", data=tmp_path / "rows.jsonl", **options)
        assert (found.verdict, found.reason) == ("Fail", "ModelRaised"), found


def test_a_model_that_needs_twice_the_memory_fails(ask):
    found = ask("memory", "fat", "good", repeats=1, maxShareOfLimit=1)
    assert (found.verdict, found.decided_by) == ("Fail", "ratio"), found
    assert found.figures["ratio"] > 2
    assert ask("memory", "better", "good", repeats=1, maxShareOfLimit=1).verdict == "Pass"


@pytest.mark.parametrize(
    ("content", "limit"), [("1073741824\n", 1 << 30), ("max\n", None), (f"{(1 << 63) - 4096}\n", None), (None, None)]
)
def test_the_limit_of_the_container_is_read_of_either_version_of_control_groups(tmp_path, content, limit):
    from millgate_serving.checks.memory import limit_bytes  # noqa: PLC0415

    if content is not None:
        (tmp_path / "memory.max").write_text(content)
    assert limit_bytes([tmp_path / "missing", tmp_path / "memory.max"]) == limit
