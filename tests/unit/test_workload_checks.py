"""How a gate's check of the serving image is asked: whose image, which models, which options, where, with how much."""

import json
from typing import Any

import pytest

from millgate.api.job import JobPreset
from millgate.api.revision import ModelIdentity
from millgate.api.spec import Job, ModelSource
from millgate.workload.checks import WORDS, Compared, Pinned, asks_for_peak, check_job
from millgate.workload.jobs import GateVisit, preflight_job
from millgate.workload.settings import UnknownRegistryError, WorkloadSettings
from tests.unit.workload_objects import DIGEST, PARENT, REGISTRY_URI, SETTINGS, baked_in, revision

Json = dict[str, Any]
OLD_DIGEST = "sha256:" + "cd" * 32
OLD = ModelIdentity(
    source=ModelSource.MLFLOW, registry="default", name="fraud", version="7", source_uri="models:/m-0", source_id="m-0"
)
STABLE = Pinned(revision(model=OLD), OLD_DIGEST)


def made(*, stable: Pinned | None = STABLE, server: Json | None = None, peak: float | None = None, **job: Any) -> Json:
    asked = GateVisit("g", Job.model_validate({"preset": "Accuracy", **job}), "checks", 5)
    compared = Compared(Pinned(revision(**(server or {})), DIGEST), stable)
    return check_job(PARENT, compared, asked, SETTINGS, peak)


def pod_of(job: Json) -> Json:
    pod: Json = job["spec"]["template"]["spec"]
    return pod


def container_of(job: Json) -> Json:
    container: Json = pod_of(job)["containers"][0]
    return container


def env_of(job: Json) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container_of(job)["env"] if "value" in variable}


def options_of(job: Json) -> Json:
    options: Json = json.loads(env_of(job)["MILLGATE_CHECK_OPTIONS"])
    return options


@pytest.mark.parametrize("preset", JobPreset)
def test_a_preset_is_a_check_of_the_candidate_s_image(preset: JobPreset) -> None:
    options = {"segmentBy": "country"} if preset is JobPreset.FAIRNESS else None
    job = made(preset=preset.value, options=options, deadlineSeconds=90)
    assert container_of(job)["image"] == revision().image
    assert container_of(job)["args"] == ["check", WORDS[preset]]
    assert "command" not in container_of(job)
    assert job["metadata"]["annotations"] == {
        "millgate.dev/gate": "g",
        "millgate.dev/step": "checks",
        "millgate.dev/visit": "5",
        "millgate.dev/check": WORDS[preset],
    }
    assert job["metadata"]["labels"]["millgate.dev/component"] == "gate"
    assert job["spec"]["activeDeadlineSeconds"] == 90
    assert job["spec"]["backoffLimit"] == 0


def test_a_check_runs_where_and_as_the_server_will() -> None:
    server = {
        "nodeSelector": {"pool": "models"},
        "tolerations": [{"operator": "Exists"}],
        "serviceAccountName": "fraud",
        "env": [{"name": "MLFLOW_TRACKING_TOKEN", "secretKeyRef": {"name": "mlflow", "key": "token"}}],
    }
    job = made(server=server, env=[{"name": "OMP_NUM_THREADS", "value": "1"}])
    preflight = preflight_job(PARENT, revision(**server), DIGEST, 1, SETTINGS)
    for same in ("nodeSelector", "tolerations", "serviceAccountName", "volumes", "securityContext"):
        assert pod_of(job)[same] == pod_of(preflight)[same], same
    names = [variable["name"] for variable in container_of(job)["env"]]
    assert {variable["name"] for variable in container_of(preflight)["env"]} < set(names)
    assert "OMP_NUM_THREADS" in names


def test_both_models_are_named_with_the_content_that_their_preflights_saw() -> None:
    env = env_of(made())
    assert {name: env[name] for name in env if name.startswith("MILLGATE_MODEL_")} == {
        "MILLGATE_MODEL_NAME": "fraud",
        "MILLGATE_MODEL_VERSION": "8",
        "MILLGATE_MODEL_SOURCE": "models:/m-1",
        "MILLGATE_MODEL_DIGEST": DIGEST,
        "MILLGATE_MODEL_DIR": "/models",
    }
    assert {name: env[name] for name in env if name.startswith("MILLGATE_STABLE_")} == {
        "MILLGATE_STABLE_MODEL_NAME": "fraud",
        "MILLGATE_STABLE_MODEL_VERSION": "7",
        "MILLGATE_STABLE_MODEL_SOURCE": "models:/m-0",
        "MILLGATE_STABLE_MODEL_DIGEST": OLD_DIGEST,
    }
    assert env["MLFLOW_TRACKING_URI"] == REGISTRY_URI


@pytest.mark.parametrize("stable", [None, Pinned(revision(model=baked_in(), image="a/b:1"), None)])
def test_without_a_stable_version_that_can_be_fetched_none_is_named(stable: Pinned | None) -> None:
    assert not [name for name in env_of(made(stable=stable)) if name.startswith("MILLGATE_STABLE_")]


def test_a_stable_version_of_a_registry_that_is_gone_is_refused() -> None:
    elsewhere = Pinned(revision(model=OLD.model_copy(update={"registry": "old"})), OLD_DIGEST)
    with pytest.raises(UnknownRegistryError):
        made(stable=elsewhere)
    known = WorkloadSettings(registries={"default": REGISTRY_URI, "old": "http://old:5000"})
    asked = GateVisit("g", Job(preset=JobPreset.ACCURACY), "checks", 5)
    job = check_job(PARENT, Compared(Pinned(revision(), DIGEST), elsewhere), asked, known, None)
    assert env_of(job)["MILLGATE_STABLE_TRACKING_URI"] == "http://old:5000"


def test_the_registry_of_stable_is_named_where_the_candidate_has_none() -> None:
    asked = GateVisit("g", Job(preset=JobPreset.ACCURACY), "checks", 5)
    candidate = Pinned(revision(model=baked_in(), image="a/b:1"), None)
    env = env_of(check_job(PARENT, Compared(candidate, STABLE), asked, SETTINGS, None))
    assert "MLFLOW_TRACKING_URI" not in env
    assert env["MILLGATE_STABLE_TRACKING_URI"] == REGISTRY_URI


def test_options_are_handed_on_as_they_are_written() -> None:
    assert options_of(made()) == {}
    assert options_of(made(options={"margin": "0.02", "label": "x"})) == {"margin": "0.02", "label": "x"}


def test_a_benchmark_gets_the_measured_peak_unless_it_is_told_a_rate() -> None:
    assert options_of(made(preset="LatencyBenchmark", peak=41.25)) == {"peakRequestsPerSecond": "41.25"}
    assert options_of(made(preset="LatencyBenchmark", peak=None)) == {}
    for told in ({"peakRequestsPerSecond": "7"}, {"ratePerSecond": "7"}):
        assert options_of(made(preset="LatencyBenchmark", options=told, peak=41.25)) == told
    assert options_of(made(preset="MemoryFootprint", peak=41.25)) == {}
    assert asks_for_peak(Job(preset=JobPreset.LATENCY_BENCHMARK))
    assert not asks_for_peak(Job(preset=JobPreset.MEMORY_FOOTPRINT))


def test_a_benchmark_would_like_a_node_that_serves_stable() -> None:
    affinity = pod_of(made(preset="LatencyBenchmark"))["affinity"]["podAffinity"]
    (wish,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert wish["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert wish["podAffinityTerm"]["labelSelector"]["matchLabels"] == {
        "millgate.dev/name": "fraud",
        "millgate.dev/hash": STABLE.revision.hash,
        "millgate.dev/component": "server",
    }
    assert "affinity" not in pod_of(made(preset="LatencyBenchmark", stable=None))
    assert "affinity" not in pod_of(made(preset="Accuracy"))


RESOURCES = {"requests": {"cpu": "500m", "memory": "1.5Gi"}, "limits": {"memory": "4Gi", "cpu": "1"}}


@pytest.mark.parametrize(
    ("job", "memory"),
    [
        ({"preset": "Accuracy"}, ("3.0Gi", "8Gi")),
        ({"preset": "LatencyBenchmark"}, ("3.0Gi", "8Gi")),
        ({"preset": "MemoryFootprint"}, ("1.5Gi", "4Gi")),
        (
            {"preset": "Accuracy", "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}},
            ("1Gi", "2Gi"),
        ),
    ],
)
def test_memory_is_for_two_models_unless_it_is_measured_or_asked_for(job: Json, memory: tuple[str, str]) -> None:
    resources = container_of(made(server={"resources": RESOURCES}, **job))["resources"]
    assert (resources["requests"]["memory"], resources["limits"]["memory"]) == memory
    if "resources" not in job:
        assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == ("500m", "1")


def test_rows_of_a_claim_are_mounted_to_be_read_only() -> None:
    job = made(options={"data": "/data/rows.csv"}, dataClaim="held-out")
    assert {"name": "data", "mountPath": "/data", "readOnly": True} in container_of(job)["volumeMounts"]
    claim = {"claimName": "held-out", "readOnly": True}
    assert {"name": "data", "persistentVolumeClaim": claim} in pod_of(job)["volumes"]
    assert options_of(job) == {"data": "/data/rows.csv"}
