"""What a revision's objects look like: the contract with the serving image, with Prometheus and with people."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from millgate.api.names import gate_job_name, preflight_job_name, visit_of
from millgate.api.revision import Revision
from millgate.api.spec import Job
from millgate.workload.checks import Compared, Pinned, check_job
from millgate.workload.jobs import GateVisit, gate_job, preflight_job
from millgate.workload.revision import baseline_deployment, deployment, revision_service
from millgate.workload.settings import UnknownRegistryError, WorkloadSettings
from tests.unit.workload_objects import (
    CACHE,
    DEFAULT_IMAGE,
    DIGEST,
    MODEL,
    PARENT,
    REGISTRY_URI,
    SETTINGS,
    baked_in,
    revision,
)

Json = dict[str, Any]
NAME_OF_40 = "a" * 40


def pod_of(wanted: Json) -> Json:
    return wanted["spec"]["template"]["spec"]


def container_of(wanted: Json) -> Json:
    return pod_of(wanted)["containers"][0]


def env_of(wanted: Json) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container_of(wanted)["env"] if "value" in variable}


def rendered(of: Revision, digest: str | None = None, settings: WorkloadSettings = SETTINGS) -> Json:
    return deployment(PARENT, of, digest, 4, settings)


def test_the_deployment_of_a_plain_revision() -> None:
    plain = revision()
    wanted = rendered(plain, DIGEST)
    labels = {
        "millgate.dev/name": "fraud",
        "millgate.dev/hash": plain.hash,
        "millgate.dev/component": "server",
        "app.kubernetes.io/managed-by": "millgate",
    }
    metadata = wanted["metadata"]
    assert metadata["name"] == f"fraud-{plain.hash}"
    assert metadata["namespace"] == "risk"
    assert metadata["labels"] == labels
    assert metadata["annotations"]["millgate.dev/digest"] == DIGEST
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "millgate.dev/v1alpha1",
            "kind": "ModelDeployment",
            "name": "fraud",
            "uid": "0d9a-uid",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert wanted["spec"]["replicas"] == 4
    assert wanted["spec"]["revisionHistoryLimit"] == 0
    template = wanted["spec"]["template"]
    assert template["metadata"]["labels"] == labels
    assert template["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8080",
        "prometheus.io/path": "/metrics",
    }
    assert wanted["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert container_of(wanted)["image"] == DEFAULT_IMAGE
    assert "args" not in container_of(wanted)


def test_the_serving_image_is_told_what_to_serve_and_how() -> None:
    plain = revision(drainSeconds=7, port=9000, startupDeadlineSeconds=120)
    assert env_of(rendered(plain, DIGEST)) == {
        "MILLGATE_MODEL_NAME": "fraud",
        "MILLGATE_MODEL_VERSION": "8",
        "MILLGATE_MODEL_SOURCE": "models:/m-1",
        "MILLGATE_MODEL_DIGEST": DIGEST,
        "MILLGATE_MODEL_DIR": "/models",
        "MILLGATE_REVISION": plain.hash,
        "MILLGATE_IMAGE": DEFAULT_IMAGE,
        "MILLGATE_PORT": "9000",
        "MILLGATE_DRAIN_SECONDS": "7",
        "MILLGATE_FETCH_DEADLINE_SECONDS": "120",
        "MILLGATE_ALLOW_CODE_EXECUTION": "false",
        "MLFLOW_TRACKING_URI": REGISTRY_URI,
        "HOME": "/tmp",
    }


def test_the_serving_image_can_tell_which_code_trained_its_model() -> None:
    trained = MODEL.model_copy(update={"git_commit": "9f2c1ab"})
    assert env_of(rendered(revision(model=trained)))["MILLGATE_GIT_COMMIT"] == "9f2c1ab"


def test_baseline_pods_are_those_of_the_revision_under_a_name_of_their_own() -> None:
    plain = revision()
    own, fresh = rendered(plain, DIGEST), baseline_deployment(PARENT, plain, DIGEST, 2, SETTINGS)
    assert fresh["metadata"]["name"] == f"fraud-{plain.hash}-baseline"
    assert fresh["spec"]["replicas"] == 2
    assert fresh["metadata"]["ownerReferences"] == own["metadata"]["ownerReferences"]
    assert fresh["metadata"]["annotations"] == own["metadata"]["annotations"], "the same revision and digest"
    assert env_of(fresh) == env_of(own) | {"MILLGATE_REVISION": f"{plain.hash}-baseline"}
    labels, selected = fresh["spec"]["template"]["metadata"]["labels"], fresh["spec"]["selector"]["matchLabels"]
    assert selected.items() <= labels.items()
    live = {"millgate.dev/name": "fraud", "millgate.dev/component": "server"}
    assert live.items() <= labels.items(), "an open live Service reaches them"
    assert not revision_service(PARENT, plain.hash)["spec"]["selector"].items() <= labels.items()
    assert not own["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_pods_can_tell_which_file_has_changed_since_the_preflight() -> None:
    wanted = deployment(PARENT, revision(), DIGEST, 4, SETTINGS, "ab12cd34")
    assert env_of(wanted)["MILLGATE_MODEL_FINGERPRINT"] == "ab12cd34"
    assert "MILLGATE_MODEL_FINGERPRINT" not in env_of(rendered(revision(), DIGEST))


def test_pods_mount_the_cache_that_the_platform_offers_and_may_write_to_it() -> None:
    offered = replace(SETTINGS, cache=CACHE)
    for wanted in (rendered(revision(), DIGEST, offered), preflight_job(PARENT, revision(), None, 1, offered)):
        pod = pod_of(wanted)
        assert pod["volumes"][-1] == {"name": "cache", "persistentVolumeClaim": {"claimName": "millgate-models"}}
        assert container_of(wanted)["volumeMounts"][-1] == {"name": "cache", "mountPath": "/cache"}
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]
        assert env_of(wanted)["MILLGATE_CACHE_DIR"] == "/cache"
        assert env_of(wanted)["MILLGATE_CACHE_GIB"] == "5"


def test_a_model_that_is_part_of_its_image_needs_no_cache() -> None:
    wanted = rendered(revision(model=baked_in(), image="a/b:1"), None, replace(SETTINGS, cache=CACHE))
    assert "cache" not in [volume["name"] for volume in pod_of(wanted)["volumes"]]
    assert "MILLGATE_CACHE_DIR" not in env_of(wanted)


def test_files_are_mounted_wherever_the_server_or_a_check_of_its_image_runs() -> None:
    asked = revision(
        files=[
            {"name": "clients", "mountPath": "/etc/millgate/clients", "secretName": "fraud-clients"},
            {"name": "tmp", "mountPath": "/mnt/authorities", "configMapName": "ca"},
        ]
    )
    check = GateVisit("schema", Job(preset="SchemaCompatibility"), "half", 5)
    for wanted in (
        rendered(asked),
        baseline_deployment(PARENT, asked, DIGEST, 1, SETTINGS),
        preflight_job(PARENT, asked, None, 1, SETTINGS),
        check_job(PARENT, Compared(Pinned(asked, None), None), check, SETTINGS, None),
    ):
        assert pod_of(wanted)["volumes"][-2:] == [
            {
                "name": "files-clients",
                "secret": {"secretName": "fraud-clients", "defaultMode": 0o444, "optional": False},
            },
            {"name": "files-tmp", "configMap": {"name": "ca", "defaultMode": 0o444, "optional": False}},
        ]
        assert container_of(wanted)["volumeMounts"][-2:] == [
            {"name": "files-clients", "mountPath": "/etc/millgate/clients", "readOnly": True},
            {"name": "files-tmp", "mountPath": "/mnt/authorities", "readOnly": True},
        ]


def test_an_image_of_somebody_else_gets_none_of_the_files() -> None:
    asked = revision(files=[{"name": "clients", "mountPath": "/mnt/keys", "secretName": "fraud-clients"}])
    job = gate_job(PARENT, asked, None, GateVisit("smoke", Job(image="curl:8"), "half", 5))
    assert [volume["name"] for volume in pod_of(job)["volumes"]] == ["tmp"]


def test_other_files_are_another_revision() -> None:
    one = {"name": "clients", "mountPath": "/mnt/keys", "secretName": "a"}
    hashes = {revision(files=files).hash for files in (None, [one], [one | {"secretName": "b"}])}
    assert len(hashes) == 3
    assert revision(files=[]).hash == revision().hash


def test_without_a_known_digest_none_is_demanded() -> None:
    wanted = rendered(revision())
    assert "MILLGATE_MODEL_DIGEST" not in env_of(wanted)
    assert "millgate.dev/digest" not in wanted["metadata"]["annotations"]


def test_a_model_in_the_image_is_not_hidden_by_an_empty_folder_and_not_asked_for_its_registry() -> None:
    wanted = rendered(revision(model=baked_in(), image="shop/fraud:1.2"))
    assert [mount["mountPath"] for mount in container_of(wanted)["volumeMounts"]] == ["/tmp"]
    assert "MLFLOW_TRACKING_URI" not in env_of(wanted)
    assert "livenessProbe" not in container_of(wanted)
    assert container_of(wanted)["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


def test_a_registry_that_left_the_configuration_is_named() -> None:
    with pytest.raises(UnknownRegistryError, match="default"):
        rendered(revision(), settings=WorkloadSettings())


def test_variables_of_spec_replace_defaults_and_secrets_stay_references() -> None:
    asked = revision(
        env=[
            {"name": "HOME", "value": "/tmp/me"},
            {"name": "LOG_LEVEL", "value": "debug"},
            {"name": "MLFLOW_TRACKING_TOKEN", "secretKeyRef": {"name": "mlflow", "key": "token"}},
        ]
    )
    wanted = rendered(asked)
    assert env_of(wanted)["HOME"] == "/tmp/me"
    assert env_of(wanted)["LOG_LEVEL"] == "debug"
    by_name = {variable["name"]: variable for variable in container_of(wanted)["env"]}
    assert by_name["MLFLOW_TRACKING_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "mlflow", "key": "token"}}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, None),
        ({"limits": {"memory": "4Gi"}}, {"limits": {"memory": "4Gi"}}),
        (
            {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
            {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        ),
        (
            {"requests": {"gpu": 2}, "limits": {"gpu": 2}},
            {"requests": {"nvidia.com/gpu": "2"}, "limits": {"nvidia.com/gpu": "2"}},
        ),
    ],
)
def test_resources_are_what_was_asked_for_and_nothing_else(asked: Json | None, expected: Json | None) -> None:
    assert container_of(rendered(revision(resources=asked))).get("resources") == expected


@pytest.mark.parametrize(
    ("policy", "key"),
    [(None, "kubernetes.io/hostname"), ("Node", "kubernetes.io/hostname"), ("Zone", "topology.kubernetes.io/zone")],
)
def test_pods_of_a_revision_are_spread_where_there_is_room(policy: str | None, key: str) -> None:
    spread = pod_of(rendered(revision(topologySpread=policy)))["topologySpreadConstraints"]
    assert [(entry["topologyKey"], entry["whenUnsatisfiable"]) for entry in spread] == [(key, "ScheduleAnyway")]


def test_spreading_can_be_switched_off() -> None:
    assert pod_of(rendered(revision(topologySpread="None")))["topologySpreadConstraints"] == []


def test_the_kubelet_waits_longer_than_the_server_drains_and_starts() -> None:
    wanted = rendered(revision(drainSeconds=100, startupDeadlineSeconds=1800))
    assert pod_of(wanted)["terminationGracePeriodSeconds"] > 100
    startup = container_of(wanted)["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 1800


def test_a_service_account_brings_its_token_and_none_brings_none() -> None:
    assert pod_of(rendered(revision()))["automountServiceAccountToken"] is False
    named = pod_of(rendered(revision(serviceAccountName="fraud")))
    assert named["serviceAccountName"] == "fraud"
    assert named["automountServiceAccountToken"] is True


def test_the_service_of_a_revision_selects_its_servers_only() -> None:
    wanted = revision_service(PARENT, "r000000001")
    assert wanted["spec"]["selector"] == {
        "millgate.dev/name": "fraud",
        "millgate.dev/hash": "r000000001",
        "millgate.dev/component": "server",
    }
    assert [(port["port"], port["targetPort"]) for port in wanted["spec"]["ports"]] == [(80, "http")]


def test_a_preflight_runs_where_and_as_the_server_will() -> None:
    asked = revision(
        resources={"limits": {"memory": "2Gi"}}, nodeSelector={"pool": "models"}, serviceAccountName="fraud"
    )
    job, server = preflight_job(PARENT, asked, DIGEST, 2, SETTINGS), rendered(asked, DIGEST)
    assert job["metadata"]["name"] == f"fraud-{asked.hash}-check-2"
    assert job["metadata"]["annotations"] == {"millgate.dev/attempt": "2"}
    assert job["metadata"]["labels"]["millgate.dev/component"] == "preflight"
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] == 600
    assert pod_of(job)["restartPolicy"] == "Never"
    assert container_of(job)["args"] == ["preflight"]
    for same in ("image", "env", "resources", "volumeMounts", "securityContext", "terminationMessagePath"):
        assert container_of(job)[same] == container_of(server)[same], same
    for same in ("nodeSelector", "serviceAccountName", "volumes", "securityContext"):
        assert pod_of(job)[same] == pod_of(server)[same], same


def test_pods_of_jobs_never_get_live_requests() -> None:
    asked = GateVisit("smoke", Job(image="curl:8"), "canary-10", 5)
    service = revision_service(PARENT, revision().hash)["spec"]["selector"]
    for job in (preflight_job(PARENT, revision(), None, 1, SETTINGS), gate_job(PARENT, revision(), None, asked)):
        assert not service.items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_a_gate_job_knows_whom_to_ask() -> None:
    asked = GateVisit(
        "smoke", Job(image="curl:8", command=("sh", "-c"), args=("exit 0",), deadline_seconds=30), "half", 5
    )
    job = gate_job(PARENT, revision(), "r000000001", asked)
    candidate = revision().hash
    assert env_of(job) == {
        "MILLGATE_NAME": "fraud",
        "MILLGATE_NAMESPACE": "risk",
        "MILLGATE_STEP": "half",
        "MILLGATE_CANDIDATE_REVISION": candidate,
        "MILLGATE_CANDIDATE_URL": f"http://fraud-{candidate}.risk.svc",
        "MILLGATE_STABLE_REVISION": "r000000001",
        "MILLGATE_STABLE_URL": "http://fraud-r000000001.risk.svc",
        "HOME": "/tmp",
    }
    assert job["metadata"]["annotations"] == {
        "millgate.dev/gate": "smoke",
        "millgate.dev/step": "half",
        "millgate.dev/visit": "5",
    }
    assert job["spec"]["activeDeadlineSeconds"] == 30
    assert container_of(job)["command"] == ["sh", "-c"]
    first = gate_job(PARENT, revision(), None, asked)
    assert not {"MILLGATE_STABLE_REVISION", "MILLGATE_STABLE_URL"} & set(env_of(first))


def test_names_of_jobs_fit_into_a_label_and_tell_visits_apart() -> None:
    assert len(preflight_job_name(NAME_OF_40, "r123456789", 9999)) <= 63
    names = {
        gate_job_name(NAME_OF_40, "r123456789", gate, step, visit)
        for gate in ("smoke", "schema")
        for step in ("half", "all")
        for visit in (1, 2)
    }
    assert len(names) == 8
    assert max(len(name) for name in names) <= 63


def test_a_visit_is_the_same_before_and_after_its_start_went_through_status() -> None:
    start = datetime(2026, 11, 23, 8, 0, 0, 123_999, tzinfo=UTC)
    stored = datetime.fromisoformat("2026-11-23T08:00:00.123Z")
    assert visit_of(start) == visit_of(stored)
    assert visit_of(stored) != visit_of(datetime.fromisoformat("2026-11-23T08:00:00.124Z"))
