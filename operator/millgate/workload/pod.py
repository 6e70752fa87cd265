"""What all pods of Millgate have in common: the restricted Pod Security profile, and how fields of `spec` become pod
fields. No field of a ModelDeployment can loosen the profile.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from millgate.api.spec import Files, ResourceList, Resources, Server, Toleration, Variable

Json = dict[str, Any]

USER_ID = 10001
GPU = "nvidia.com/gpu"
# The files belong to root and the server runs as another user. Nobody else runs in the pod.
FILE_MODE = 0o444
TERMINATION_LOG = "/dev/termination-log"


def pod_spec(server: Server, container: Json, volumes: Sequence[str], **fields: Any) -> Json:
    """A pod with one container. `volumes`: names of empty folders, mounted at '/<name>', beside the server's files."""
    spec: Json = {
        "automountServiceAccountToken": server.service_account_name is not None,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container | {"volumeMounts": [*container["volumeMounts"], *_file_mounts(server)]}],
        "volumes": [*({"name": name, "emptyDir": {}} for name in volumes), *_file_volumes(server)],
        **fields,
    }
    if server.service_account_name is not None:
        spec["serviceAccountName"] = server.service_account_name
    if server.node_selector:
        spec["nodeSelector"] = dict(server.node_selector)
    if server.tolerations:
        spec["tolerations"] = [_toleration(toleration) for toleration in server.tolerations]
    return spec


def container(name: str, image: str, env: Sequence[Json], volumes: Sequence[str], **fields: Any) -> Json:
    return {
        "name": name,
        "image": image,
        "env": list(env),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": TERMINATION_LOG,
        "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in volumes],
        **{key: value for key, value in fields.items() if value},
    }


def _file_volumes(server: Server) -> list[Json]:
    """What does not exist is waited for, rather than left out: a server without its keys would let nobody in."""
    return [{"name": _volume_name(files), **_content(files)} for files in server.files or ()]


def _content(files: Files) -> Json:
    asked = {"defaultMode": FILE_MODE, "optional": False}
    if files.secret_name is not None:
        return {"secret": {"secretName": files.secret_name, **asked}}
    return {"configMap": {"name": files.config_map_name, **asked}}


def _file_mounts(server: Server) -> list[Json]:
    """Whole folders: the kubelet never renews a file that is mounted by itself."""
    return [
        {"name": _volume_name(files), "mountPath": files.mount_path, "readOnly": True} for files in server.files or ()
    ]


def _volume_name(files: Files) -> str:
    """Never that of a volume of Millgate."""
    return f"files-{files.name}"


def environment(own: Mapping[str, str], asked: Sequence[Variable]) -> list[Json]:
    """`own` variables and those of `spec`, which may replace ours, but not those that say what is served."""
    variables: dict[str, Json] = {name: {"name": name, "value": value} for name, value in own.items()}
    for variable in asked:
        variables[variable.name] = _variable(variable)
    return list(variables.values())


def _variable(variable: Variable) -> Json:
    for field, selector in (
        ("secretKeyRef", variable.secret_key_ref),
        ("configMapKeyRef", variable.config_map_key_ref),
    ):
        if selector is not None:
            return {"name": variable.name, "valueFrom": {field: {"name": selector.name, "key": selector.key}}}
    return {"name": variable.name, "value": variable.value or ""}


def resources(asked: Resources | None) -> Json:
    if asked is None:
        return {}
    parts = {"requests": _amounts(asked.requests), "limits": _amounts(asked.limits)}
    return {name: amounts for name, amounts in parts.items() if amounts}


def _amounts(asked: ResourceList | None) -> dict[str, str]:
    if asked is None:
        return {}
    amounts = {"cpu": asked.cpu, "memory": asked.memory, GPU: None if asked.gpu is None else str(asked.gpu)}
    return {name: amount for name, amount in amounts.items() if amount is not None}


def _toleration(toleration: Toleration) -> Json:
    return toleration.model_dump(mode="json", exclude_none=True)
