"""What the Helm chart renders, and what it refuses to."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from millgate.api.crd import CRD_NAME, generated_files
from millgate.controller.config import load_config
from tests.controlplane.chart import CHART, grants, helm, of_kind, rendered, rendered_text, the

Json = dict[str, Any]
VARIANTS: dict[str, Json] = {
    "defaults": {},
    "everything": {
        "config": {
            "prometheus": {"url": "http://prometheus.monitoring.svc:9090"},
            "registries": [{"name": "default", "uri": "http://mlflow.mlflow.svc:5000", "pollSeconds": 5}],
            "defaultServingImage": "registry.example/millgate/serving:0.1.0",
            "allowedImagePrefixes": ["registry.example/ml/"],
            "allowCodeExecution": True,
            "modelCache": {"claimName": "millgate-models", "gibibytes": 5},
        },
        "image": {"repository": "registry.example/operator", "digest": f"sha256:{'0' * 64}"},
        "imagePullSecrets": [{"name": "registry"}],
        "replicas": 3,
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mlflow"}},
        "extraEnv": [
            {"name": "MLFLOW_TRACKING_TOKEN", "valueFrom": {"secretKeyRef": {"name": "mlflow", "key": "token"}}}
        ],
        "podAnnotations": {"prometheus.io/scrape": "true"},
        "podLabels": {"team": "ml"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "infra", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "metricsService": {"annotations": {"prometheus.io/scrape": "true"}},
    },
    "one namespace, nothing of the cluster": {"scope": {"namespaces": ["risk"]}, "crds": {"enabled": False}},
    "without the chart's accounts": {
        "rbac": {"create": False, "userRoles": False},
        "serviceAccount": {"create": False, "name": "given"},
        "metricsService": {"enabled": False},
    },
}
OPERATOR = {
    ("millgate.dev", "modeldeployments", "get"),
    ("millgate.dev", "modeldeployments", "list"),
    ("millgate.dev", "modeldeployments", "watch"),
    ("millgate.dev", "modeldeployments/status", "patch"),
    ("millgate.dev", "modeldeployments/finalizers", "update"),
    *(("apps", "deployments", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *(("", "services", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *(("batch", "jobs", verb) for verb in ("get", "list", "watch", "create", "delete")),
    *(("", "pods", verb) for verb in ("list", "watch")),
    ("", "serviceaccounts", "get"),
    *(("events.k8s.io", "events", verb) for verb in ("list", "create")),
}
LEASE = {("coordination.k8s.io", "leases", verb) for verb in ("create", "get", "update")}


def test_lint_finds_nothing() -> None:
    done = helm("lint", "--strict", str(CHART), values=VARIANTS["everything"])
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", VARIANTS)
def test_every_object_is_one_that_kubernetes_knows(name: str) -> None:
    objects = rendered(VARIANTS[name])
    assert objects
    for obj in objects:
        kubernetes_validate.validate(obj, "1.34", strict=True)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"replicaCount": 2}, "replicaCount"),
        ({"replicas": "two"}, "replicas"),
        ({"config": {"prometheus": {"uri": "http://x"}}}, "uri"),
        ({"config": {"prometheus": {"url": "http://user:secret@prometheus:9090"}}}, "url"),
        ({"config": {"registries": [{"name": "Not_A_Label", "uri": "http://x"}]}}, "name"),
        ({"config": {"watchNamespaces": ["risk"]}}, "watchNamespaces"),
        ({"config": {"logLevel": "TRACE"}}, "logLevel"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"scope": {"namespaces": ["*"]}}, "namespaces"),
        ({"extraEnv": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}, "fieldRef"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_means_nothing_is_refused(values: Json, complaint: str) -> None:
    done = helm("template", "millgate", str(CHART), values=values)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_the_crd_of_the_chart_is_the_one_for_kubectl_to_the_byte() -> None:
    plain = generated_files()[Path("crds") / f"{CRD_NAME}.yaml"]
    assert plain in rendered_text({"crds": {"keep": False}})
    kept = rendered_text().replace("  annotations:\n    helm.sh/resource-policy: keep\n", "", 1)
    assert plain in kept


def test_the_crd_stays_on_uninstall_unless_that_is_not_wanted() -> None:
    kept = the(rendered(), "CustomResourceDefinition")
    assert kept["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in the(rendered({"crds": {"keep": False}}), "CustomResourceDefinition")["metadata"]
    assert of_kind(rendered({"crds": {"enabled": False}}), "CustomResourceDefinition") == []


def test_the_operator_may_do_this_and_nothing_else() -> None:
    objects = rendered()
    (role,) = [role for role in of_kind(objects, "ClusterRole") if role["metadata"]["name"] == "millgate"]
    assert grants(role["rules"]) == OPERATOR
    lease = the(objects, "Role")
    assert grants(lease["rules"]) == LEASE
    named = [rule for rule in lease["rules"] if rule["verbs"] != ["create"]]
    assert [rule["resourceNames"] for rule in named] == [["millgate"]]


@pytest.mark.parametrize("name", VARIANTS)
def test_no_role_has_a_wildcard_or_reaches_secrets(name: str) -> None:
    roles = [obj for obj in rendered(VARIANTS[name]) if obj["kind"] in {"ClusterRole", "Role"}]
    for group, resource, verb in set().union(*(grants(role["rules"]) for role in roles)):
        assert "*" not in {group, resource, verb}
        assert resource not in {"secrets", "configmaps", "nodes", "namespaces", "pods/exec", "roles", "rolebindings"}
        assert verb not in {"escalate", "bind", "impersonate"}


def test_with_namespaces_given_there_are_roles_in_them_and_nothing_of_the_cluster() -> None:
    objects = rendered({"scope": {"namespaces": ["risk", "ads"]}, "crds": {"enabled": False}})
    assert {obj["kind"] for obj in objects}.isdisjoint(
        {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    )
    roles = {role["metadata"]["namespace"]: role for role in of_kind(objects, "Role")}
    assert set(roles) == {"risk", "ads", "millgate"}
    assert grants(roles["risk"]["rules"]) == grants(roles["ads"]["rules"]) == OPERATOR
    assert {binding["subjects"][0]["namespace"] for binding in of_kind(objects, "RoleBinding")} == {"millgate"}
    config = yaml.safe_load(the(objects, "ConfigMap")["data"]["config.yaml"])
    assert config["watchNamespaces"] == ["risk", "ads"]


def test_editors_of_a_namespace_edit_modeldeployments_but_never_their_status() -> None:
    roles = {role["metadata"]["name"]: role for role in of_kind(rendered(), "ClusterRole")}
    edit, view = roles["millgate-edit"], roles["millgate-view"]
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert {key.removeprefix(prefix) for key in edit["metadata"]["labels"] if prefix in key} == {"edit", "admin"}
    assert {key.removeprefix(prefix) for key in view["metadata"]["labels"] if prefix in key} == {
        "view",
        "edit",
        "admin",
    }
    assert {verb for _, _, verb in grants(view["rules"])} == {"get", "list", "watch"}
    assert {resource for _, resource, _ in grants(edit["rules"])} == {"modeldeployments", "modeldeployments/scale"}


def test_two_releases_do_not_share_names_of_the_cluster() -> None:
    first = {role["metadata"]["name"] for role in of_kind(rendered(namespace="a"), "ClusterRole")}
    second = {role["metadata"]["name"] for role in of_kind(rendered(namespace="b"), "ClusterRole")}
    assert first.isdisjoint(second)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_pod_is_as_restricted_as_pods_can_be(name: str) -> None:
    pod = the(rendered(VARIANTS[name]), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is True
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert {volume["name"]: set(volume) - {"name"} for volume in pod["volumes"]} == {
        "config": {"configMap"},
        "tmp": {"emptyDir"},
    }


def test_the_pod_is_started_and_asked_as_the_operator_expects() -> None:
    (container,) = the(rendered(VARIANTS["everything"]), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert not {"command", "args"} & set(container)
    env = {variable["name"]: variable for variable in container["env"]}
    assert env["MILLGATE_CONFIG"]["value"] == "/etc/millgate/config.yaml"
    assert env["POD_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert env["POD_NAMESPACE"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert env["MLFLOW_TRACKING_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "mlflow", "key": "token"}
    assert container["image"] == f"registry.example/operator@sha256:{'0' * 64}"
    paths = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_operator_can_read_its_configuration(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = VARIANTS[name]
    path = tmp_path / "config.yaml"
    path.write_text(the(rendered(values), "ConfigMap")["data"]["config.yaml"])
    monkeypatch.setenv("MILLGATE_CONFIG", str(path))
    monkeypatch.setenv("POD_NAMESPACE", "millgate")
    config = load_config()
    assert (config.lease.name, config.lease.namespace) == ("millgate", "millgate")
    given = values.get("config", {})
    assert (config.prometheus is not None) == ("prometheus" in given)
    assert [registry.name for registry in config.registries] == [each["name"] for each in given.get("registries", [])]
    assert config.default_serving_image == given.get("defaultServingImage")


def test_another_configuration_means_another_pod() -> None:
    def checksum(values: Json) -> str:
        template = the(rendered(values), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum({}) == checksum({"replicas": 2})
    assert checksum({}) != checksum({"config": {"logLevel": "DEBUG"}})


def test_only_more_than_one_replica_brings_a_budget_and_a_spread() -> None:
    single, several = rendered(), rendered({"replicas": 2})
    assert of_kind(single, "PodDisruptionBudget") == []
    assert the(several, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert "topologySpreadConstraints" in the(several, "Deployment")["spec"]["template"]["spec"]


def test_selectors_hold_nothing_that_an_upgrade_changes() -> None:
    objects = rendered(VARIANTS["everything"])
    selector = the(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert set(selector) == {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")}
    assert selector == the(objects, "Service")["spec"]["selector"]
    assert selector.items() <= the(objects, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
