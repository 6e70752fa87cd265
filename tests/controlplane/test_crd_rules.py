"""Every CEL rule of the CRD accepts and refuses what its message says, on a real API server."""

import json

import pytest

from tests.controlplane.plane import Clerk, Json, Kubectl, model_deployment
from tests.spec_cases import RULES
from tests.spec_parts import APPROVAL, KEYS, LAST, Case, rollout, server, step, steps


def each(kind: str) -> list[object]:
    return [
        pytest.param(case, spec, id=f"{case.path}: {case.message[:60]} {number}")
        for case in RULES
        for number, spec in enumerate(getattr(case, kind))
    ]


@pytest.mark.parametrize(("case", "spec"), each("accepted"))
def test_what_the_rule_allows_is_accepted(clerk: Clerk, case: Case, spec: Json) -> None:
    assert clerk.refuses(model_deployment(spec=spec)) == "", case.message


@pytest.mark.parametrize(("case", "spec"), each("refused"))
def test_what_the_rule_forbids_is_refused_with_its_message(clerk: Clerk, case: Case, spec: Json) -> None:
    message = clerk.refuses(model_deployment(spec=spec))
    assert case.message in message
    assert f"{case.path}: " in message


@pytest.mark.parametrize("name", ["fraud", "f", "f" * 40, "fraud-v2"])
def test_a_name_that_services_and_jobs_can_carry_is_accepted(clerk: Clerk, name: str) -> None:
    assert clerk.refuses(model_deployment(name)) == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("f" * 41, "metadata.name must be no more than 40 characters"),
        ("8fraud", "metadata.name must begin with a letter"),
        ("fraud.v2", "metadata.name must begin with a letter"),
    ],
)
def test_a_name_that_they_cannot_carry_is_refused(clerk: Clerk, name: str, message: str) -> None:
    assert message in clerk.refuses(model_deployment(name))


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (steps(step(10), step(10)), "spec.rollout.steps[1]"),
        (rollout(steps=[step(10, APPROVAL, APPROVAL), LAST]), "spec.rollout.steps[0].gates[1]"),
        (server(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]), "spec.server.env[1]"),
        (server(files=[KEYS, KEYS | {"mountPath": "/mnt/others"}]), "spec.server.files[1]"),
    ],
)
def test_no_name_stands_twice_in_a_list_that_is_told_apart_by_names(clerk: Clerk, spec: Json, path: str) -> None:
    assert f"{path}: Duplicate value" in clerk.refuses(model_deployment(spec=spec))


@pytest.mark.parametrize(
    ("unknown", "path"),
    [
        ({"podTemplate": {}}, "spec.podTemplate"),
        ({"server": {"securityContext": {"privileged": True}}}, "spec.server.securityContext"),
        ({"rollout": {"steps": [LAST | {"mirrorPercent": 100}]}}, "spec.rollout.steps[0].mirrorPercent"),
    ],
)
def test_an_unknown_field_is_refused_by_strict_field_validation(clerk: Clerk, unknown: Json, path: str) -> None:
    assert f'unknown field "{path}"' in clerk.refuses(model_deployment(**unknown))


def test_kubectl_refuses_an_unknown_field_by_itself(kubectl: Kubectl, namespace: str) -> None:
    given = model_deployment(traffic={"type": "Replicas", "istio": {}})
    for arguments in (["apply"], ["apply", "--server-side"], ["apply", "--validate=strict"]):
        refused = kubectl.run(*arguments, "--filename=-", namespace=namespace, stdin=json.dumps(given))
        assert refused.returncode == 1
        assert "istio" in refused.stderr
    assert kubectl.json("get", "mdep", namespace=namespace)["items"] == []


def test_a_refused_edit_leaves_the_object_as_it_was(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(model_deployment(), namespace=namespace)
    patch = '{"spec": {"model": {"version": "latest"}}}'
    refused = kubectl.run("patch", "mdep", "fraud", "--type=merge", f"--patch={patch}", namespace=namespace)
    assert "`version` must be a whole number greater than 0 when `source` is 'MLflow'" in refused.stderr
    stored = kubectl.json("get", "mdep", "fraud", namespace=namespace)
    assert (stored["spec"]["model"]["version"], stored["metadata"]["generation"]) == ("8", 1)
