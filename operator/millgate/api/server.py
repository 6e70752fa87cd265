"""`spec.server`: the pods that serve a model, as an allow-list. Jobs of gates share its environment and resources."""

import re
from collections.abc import Sequence
from enum import StrEnum
from itertools import permutations
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from millgate.api.base import DnsLabel, KeyedBy, Quantity, Rule, SpecModel, amount

EnvName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
KeyName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
ObjectName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
LabelKey = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=317, pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
    ),
]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
# Where no image has code of its own that could be replaced, and Millgate mounts nothing. Without '.', '..', empty parts
# or an end in '/': two paths are one folder only if they are one text.
FolderPath = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, pattern=r"^/(etc/millgate|mnt)(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$"),
]
ImageReference = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$"),
]


class KeySelector(SpecModel):
    """A key of a Secret or ConfigMap in the namespace of the ModelDeployment."""

    name: Annotated[ObjectName, Field(description="The name of the object.")]
    key: Annotated[KeyName, Field(description="The key whose value is taken.")]


class Variable(SpecModel):
    """An environment variable."""

    name: Annotated[EnvName, Field(description="The name of the variable.")]
    value: Annotated[str | None, StringConstraints(max_length=4096), Field(description="The value as it stands.")] = (
        None
    )
    secret_key_ref: Annotated[
        KeySelector | None, Field(description="Take the value from a Secret of the same namespace.")
    ] = None
    config_map_key_ref: Annotated[
        KeySelector | None, Field(description="Take the value from a ConfigMap of the same namespace.")
    ] = None

    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            "[has(self.value), has(self.secretKeyRef), has(self.configMapKeyRef)].filter(x, x).size() == 1",
            "exactly one of `value`, `secretKeyRef` or `configMapKeyRef` must be specified",
            lambda env: [env.value, env.secret_key_ref, env.config_map_key_ref].count(None) == 2,
        ),
    )


class EnvVar(Variable):
    """An environment variable of a job."""

    rules: ClassVar[Sequence[Rule]] = (
        *Variable.rules,
        Rule(
            "!self.name.startsWith('MILLGATE_')",
            "`name` must not start with 'MILLGATE_': these variables are set by Millgate",
            lambda env: not env.name.startswith("MILLGATE_"),
        ),
    )


# What the operator says on a pod: which model, which bytes, what may run. All else are settings of the serving image.
_SET_BY_MILLGATE = (
    "^MILLGATE_(ALLOW|CACHE_DIR|CACHE_GIB|CANDIDATE|CHECK|DRAIN|FETCH|GIT|IMAGE|MODEL|NAME|PORT|REVISION|STABLE|STEP"
    "|TERMINATION)"
)

# By these a file becomes code, which the operator's configuration may forbid.
MAKE_CODE = "^(GCONV_PATH$|LD_|OPENSSL_|PATH$|PYTHON)"
MAKE_CODE_TOLD = "`env` must have none of GCONV_PATH, LD_…, OPENSSL_…, PATH, PYTHON… beside"


def makes_code(env: Sequence[Variable]) -> bool:
    return any(re.match(MAKE_CODE, variable.name) for variable in env)


class ServerVariable(Variable):
    """An environment variable of the model server: its own, or a setting of the serving image."""

    rules: ClassVar[Sequence[Rule]] = (
        *Variable.rules,
        Rule(
            f"!self.name.matches('{_SET_BY_MILLGATE}')",
            "`name` must be none of the variables that are set by Millgate, which say what is served",
            lambda env: re.match(_SET_BY_MILLGATE, env.name) is None,
        ),
    )


class Files(SpecModel):
    """A Secret or ConfigMap whose keys are files for the model server. A change of its content is seen in them."""

    name: Annotated[DnsLabel, Field(max_length=32, description="Names the entry.")]
    mount_path: Annotated[
        FolderPath, Field(description="A folder in /etc/millgate or /mnt, in which each key is a file, read-only.")
    ]
    secret_name: Annotated[ObjectName | None, Field(description="A Secret of the same namespace.")] = None
    config_map_name: Annotated[ObjectName | None, Field(description="A ConfigMap of the same namespace.")] = None

    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            "has(self.secretName) != has(self.configMapName)",
            "exactly one of `secretName` or `configMapName` must be specified",
            lambda files: (files.secret_name is None) != (files.config_map_name is None),
        ),
    )


class ResourceList(SpecModel):
    """Amounts of compute resources."""

    cpu: Annotated[Quantity | None, Field(description="Processor time, for example '500m'.")] = None
    memory: Annotated[Quantity | None, Field(description="Memory, for example '1Gi'.")] = None
    gpu: Annotated[Annotated[int, Field(ge=1, le=64)] | None, Field(description="Whole GPUs (`nvidia.com/gpu`).")] = (
        None
    )


class Resources(SpecModel):
    """What a pod of the model server asks for and may use."""

    requests: Annotated[ResourceList | None, Field(description="What the scheduler sets aside for a pod.")] = None
    limits: Annotated[ResourceList | None, Field(description="What a pod may use at the most.")] = None

    rules: ClassVar = (
        Rule(
            "!has(self.requests) || !has(self.requests.cpu) || !has(self.limits) || !has(self.limits.cpu) || "
            "quantity(self.requests.cpu).compareTo(quantity(self.limits.cpu)) <= 0",
            "`requests.cpu` must be less than or equal to `limits.cpu`",
            lambda resources: _within(resources, "cpu"),
        ),
        Rule(
            "!has(self.requests) || !has(self.requests.memory) || !has(self.limits) || !has(self.limits.memory) || "
            "quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0",
            "`requests.memory` must be less than or equal to `limits.memory`",
            lambda resources: _within(resources, "memory"),
        ),
        Rule(
            "!has(self.requests) || !has(self.requests.gpu) || "
            "(has(self.limits) && has(self.limits.gpu) && self.requests.gpu == self.limits.gpu)",
            "`requests.gpu` must be equal to `limits.gpu`: a GPU is not shared",
            lambda resources: (
                resources.requests is None
                or resources.requests.gpu is None
                or (resources.limits is not None and resources.limits.gpu == resources.requests.gpu)
            ),
        ),
    )


def _within(resources: Resources, resource: str) -> bool:
    request, limit = (getattr(part, resource, None) for part in (resources.requests, resources.limits))
    return request is None or limit is None or amount(request) <= amount(limit)


class Toleration(SpecModel):
    """A taint of nodes that the pods tolerate."""

    key: Annotated[LabelKey | None, Field(description="The taint's key; all taints when left out.")] = None
    operator: Annotated[
        Literal["Exists", "Equal"], Field(description="How `value` is compared with the taint's value.")
    ] = "Equal"
    value: Annotated[LabelValue | None, Field(description="The taint's value, for `Equal`.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None,
        Field(description="The taint's effect; all effects when left out."),
    ] = None

    rules: ClassVar = (
        Rule(
            "has(self.key) || self.operator == 'Exists'",
            "`operator` must be 'Exists' when `key` is left out",
            lambda toleration: toleration.key is not None or toleration.operator == "Exists",
        ),
        Rule(
            "!has(self.value) || self.operator == 'Equal'",
            "`value` may not be specified unless `operator` is 'Equal'",
            lambda toleration: toleration.value is None or toleration.operator == "Equal",
        ),
    )


class TopologySpread(StrEnum):
    NONE = "None"
    NODE = "Node"
    ZONE = "Zone"


class Server(SpecModel):
    """The pods that serve the model: an allow-list, never a PodSpec."""

    image: Annotated[
        ImageReference | None,
        Field(
            description="The image of the model server; the operator's default serving image when left out. "
            "Must begin with a prefix that the operator's configuration allows."
        ),
    ] = None
    args: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=1024)], ...] | None,
        Field(max_length=64, description="Arguments of the image's entrypoint."),
    ] = None
    env: Annotated[
        tuple[ServerVariable, ...] | None,
        Field(max_length=64, description="Environment variables; `MILLGATE_…` are settings of the serving image."),
        KeyedBy("name"),
    ] = None
    files: Annotated[
        tuple[Files, ...] | None,
        Field(max_length=8, description="Secrets and ConfigMaps as files, for example API keys or a certificate."),
        KeyedBy("name"),
    ] = None
    port: Annotated[
        Annotated[int, Field(ge=1024, le=65535)] | None,
        Field(description="The port that the server listens on; 8080 when left out."),
    ] = None
    resources: Annotated[Resources | None, Field(description="Compute resources of a pod.")] = None
    node_selector: Annotated[
        dict[LabelKey, LabelValue] | None,
        Field(max_length=16, description="Labels that a node must have."),
    ] = None
    tolerations: Annotated[
        tuple[Toleration, ...] | None, Field(max_length=16, description="Taints that the pods tolerate.")
    ] = None
    topology_spread: Annotated[
        TopologySpread | None,
        Field(description="Over what the pods of a revision are spread; `Node` when left out."),
    ] = None
    service_account_name: Annotated[
        ObjectName | None,
        Field(
            description="A ServiceAccount of this namespace that is labelled 'millgate.dev/allow-use: \"true\"'. "
            "Without one the pods run without a token."
        ),
    ] = None
    startup_deadline_seconds: Annotated[
        Annotated[int, Field(ge=10, le=7200)] | None,
        Field(description="How long a pod may take from its start to its first readiness; 600 when left out."),
    ] = None
    drain_seconds: Annotated[
        Annotated[int, Field(ge=0, le=600)] | None,
        Field(description="How long a stopping pod goes on accepting requests; 15 when left out."),
    ] = None

    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            "!has(self.files) || self.files.all(one, self.files.filter(other, "
            "(one.mountPath + '/').startsWith(other.mountPath + '/')).size() == 1)",
            "`mountPath` of one of the `files` must be neither that of another one nor inside it",
            lambda server: _are_apart([files.mount_path for files in server.files or ()]),
        ),
        Rule(
            f"!has(self.files) || !has(self.env) || !self.env.exists(one, one.name.matches('{MAKE_CODE}'))",
            f"{MAKE_CODE_TOLD} `files`: they make code of files",
            lambda server: server.files is None or not makes_code(server.env or ()),
        ),
    )


def _are_apart(paths: Sequence[str]) -> bool:
    return not any(f"{one}/".startswith(f"{other}/") for one, other in permutations(paths, 2))
