"""Whatever a ModelDeployment asks for: its pods keep to the restricted profile, its objects fit the API's schema."""

import json
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from millgate.api.revision import Revision
from millgate.api.spec import ServerVariable
from millgate.workload.checks import Compared, check_job
from millgate.workload.jobs import GateVisit, gate_job, preflight_job
from millgate.workload.parent import Parent
from millgate.workload.revision import baseline_deployment, deployment, revision_service, revision_text
from millgate.workload.settings import WorkloadSettings
from tests.unit import workload_objects as any_

Json = dict[str, Any]

# An allow-list: a field that is not known here could loosen the profile.
POD_FIELDS = {
    "affinity",
    "automountServiceAccountToken",
    "containers",
    "enableServiceLinks",
    "nodeSelector",
    "restartPolicy",
    "securityContext",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
}
CONTAINER_FIELDS = {
    "args",
    "command",
    "env",
    "image",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "startupProbe",
    "terminationMessagePath",
    "volumeMounts",
}


def assert_restricted(pod: Json, claims: tuple[str, ...] = ()) -> None:
    """The Pod Security Standard 'restricted', and what Millgate promises beyond it. `claims`: what may be mounted."""
    assert set(pod) <= POD_FIELDS
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] >= 10000
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    own = [volume for volume in pod["volumes"] if not volume["name"].startswith("files-")]
    mounted = [volume for volume in own if set(volume) != {"name", "emptyDir"}]
    assert_read_only([volume for volume in pod["volumes"] if volume not in own], pod)
    cache = [volume["persistentVolumeClaim"] for volume in mounted if volume["name"] == "cache"]
    assert cache in ([], [{"claimName": any_.CACHE.claim_name}])
    assert [volume["persistentVolumeClaim"] for volume in mounted if volume["name"] != "cache"] == [
        {"claimName": claim, "readOnly": True} for claim in claims
    ]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is ("serviceAccountName" in pod)
    for container in pod["containers"]:
        assert set(container) <= CONTAINER_FIELDS
        own = container["securityContext"]
        assert own == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all("hostPort" not in port for port in container.get("ports", ()))
        names = [variable["name"] for variable in container["env"]]
        assert len(names) == len(set(names))


def assert_read_only(files: list[Json], pod: Json) -> None:
    """Secrets and ConfigMaps in folders of their own, over none of Millgate's, and all of a name of their own."""
    assert all(set(volume) in ({"name", "secret"}, {"name", "configMap"}) for volume in files)
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert len(mounts) == len(container["volumeMounts"]) == len({mount["mountPath"] for mount in mounts.values()})
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    assert all(mounts[volume["name"]]["readOnly"] for volume in files)


def assert_names_fit(obj: Json) -> None:
    assert len(obj["metadata"]["name"]) <= 63
    assert all(len(value) <= 63 for value in obj["metadata"]["labels"].values())


_patient = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
# The schema of a PodSpec takes a tenth of a second to check.
_few = settings(_patient, max_examples=10)


@_patient
@given(any_.parents, any_.revisions, any_.digests, any_.settings)
def test_the_pods_of_every_valid_revision_are_restricted(
    parent: Parent, revision: Revision, digest: str | None, settings: WorkloadSettings
) -> None:
    for make in (deployment, baseline_deployment):
        wanted = make(parent, revision, digest, 3, settings)
        assert_restricted(wanted["spec"]["template"]["spec"])
        assert_names_fit(wanted)


@_patient
@given(any_.parents, any_.revisions, any_.digests, st.integers(1, 9999), any_.settings)
def test_every_preflight_is_restricted(
    parent: Parent, revision: Revision, digest: str | None, attempt: int, settings: WorkloadSettings
) -> None:
    job = preflight_job(parent, revision, digest, attempt, settings)
    assert_restricted(job["spec"]["template"]["spec"])
    assert_names_fit(job)


@_patient
@given(any_.parents, any_.revisions, st.none() | st.just("r000000001"), any_.gate_visits)
def test_every_gate_job_is_restricted(parent: Parent, revision: Revision, stable: str | None, asked: GateVisit) -> None:
    job = gate_job(parent, revision, stable, asked)
    assert_restricted(job["spec"]["template"]["spec"])
    assert_names_fit(job)


@_patient
@given(any_.parents, any_.compared, any_.check_visits, any_.settings, st.none() | st.floats(0.001, 1e6))
def test_every_check_is_restricted(
    parent: Parent, compared: Compared, asked: GateVisit, settings: WorkloadSettings, peak: float | None
) -> None:
    job = check_job(parent, compared, asked, settings, peak)
    assert_restricted(job["spec"]["template"]["spec"], (asked.job.data_claim,) if asked.job.data_claim else ())
    assert_names_fit(job)


@_few
@given(any_.parents, any_.revisions, any_.digests, any_.settings, any_.gate_visits, any_.compared, any_.check_visits)
def test_every_object_fits_the_schema_of_its_kind(  # noqa: PLR0917 - one argument a thing that is any
    parent: Parent,
    revision: Revision,
    digest: str | None,
    settings: WorkloadSettings,
    asked: GateVisit,
    compared: Compared,
    checked: GateVisit,
) -> None:
    for wanted in (
        deployment(parent, revision, digest, 3, settings),
        revision_service(parent, revision.hash),
        preflight_job(parent, revision, digest, 1, settings),
        gate_job(parent, revision, None, asked),
        check_job(parent, compared, checked, settings, 12.5),
    ):
        kubernetes_validate.validate(json.loads(json.dumps(wanted)), "1.37", strict=True)


@_patient
@given(any_.revisions)
def test_a_revision_is_read_back_from_its_deployment_as_it_was(revision: Revision) -> None:
    again = Revision.model_validate_json(revision_text(revision))
    assert again == revision
    assert revision_text(again) == revision_text(revision)


@_patient
@given(any_.revisions, any_.settings)
def test_no_field_of_spec_changes_a_variable_that_millgate_sets(revision: Revision, settings: WorkloadSettings) -> None:
    pod = deployment(any_.PARENT, revision, any_.DIGEST, 1, settings)["spec"]["template"]["spec"]
    env = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
    assert env["MILLGATE_MODEL_DIGEST"] == any_.DIGEST
    assert env["MILLGATE_REVISION"] == revision.hash
    assert env["MILLGATE_ALLOW_CODE_EXECUTION"] == ("true" if settings.allow_code_execution else "false")


@_patient
@given(any_.revisions, any_.settings, any_.compared, any_.check_visits)
def test_what_millgate_sets_on_a_pod_cannot_be_asked_for_in_spec(
    revision: Revision, settings: WorkloadSettings, compared: Compared, asked: GateVisit
) -> None:
    """Else others could be served than were tested, or code be run that the configuration does not allow."""
    for made in (
        deployment(any_.PARENT, revision, any_.DIGEST, 1, settings),
        preflight_job(any_.PARENT, revision, any_.DIGEST, 1, settings),
        check_job(any_.PARENT, compared, asked, settings, 12.5),
    ):
        (container,) = made["spec"]["template"]["spec"]["containers"]
        for name in [one["name"] for one in container["env"] if one["name"].startswith("MILLGATE_")]:
            with pytest.raises(ValidationError, match="set by Millgate"):
                ServerVariable(name=name, value="x")
