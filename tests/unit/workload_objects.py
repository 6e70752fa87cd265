"""Any valid revision, gate Job and settings, for tests that must hold for all of them; and one plain example."""

import string

from hypothesis import strategies as st

from millgate.api.base import amount
from millgate.api.revision import ModelIdentity, Revision, revision_of
from millgate.api.spec import (
    EnvVar,
    Files,
    Job,
    JobPreset,
    KeySelector,
    ModelSource,
    ResourceList,
    Resources,
    Server,
    ServerVariable,
    Toleration,
    TopologySpread,
)
from millgate.workload.checks import Compared, Pinned
from millgate.workload.jobs import GateVisit
from millgate.workload.parent import Parent
from millgate.workload.settings import CacheSettings, WorkloadSettings

REGISTRY_URI = "http://mlflow.models.svc:5000"
SETTINGS = WorkloadSettings(registries={"default": REGISTRY_URI})
CACHE = CacheSettings("millgate-models", 5)
PARENT = Parent("fraud", "risk", "0d9a-uid")
DIGEST = "sha256:" + "ab" * 32
DEFAULT_IMAGE = "registry.example/serving:1.0.0"
MODEL = ModelIdentity(
    source=ModelSource.MLFLOW, registry="default", name="fraud", version="8", source_uri="models:/m-1", source_id="m-1"
)


def revision(server: Server | None = None, *, model: ModelIdentity = MODEL, **fields: object) -> Revision:
    return revision_of(model, server or Server.model_validate(fields), DEFAULT_IMAGE)


def baked_in(version: str = "1.2") -> ModelIdentity:
    return ModelIdentity(source=ModelSource.IMAGE, registry="default", name="fraud", version=version)


dns_label = st.from_regex(r"[a-z]([-a-z0-9]{0,30}[a-z0-9])?", fullmatch=True)
parent_name = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
text = st.text(alphabet=string.printable, max_size=40)
label_key = st.from_regex(r"([a-z0-9]{1,10}\.example/)?[A-Za-z0-9]{1,20}", fullmatch=True)
label_value = st.from_regex(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?)?", fullmatch=True)
image = st.from_regex(r"[a-z0-9]{1,20}(/[a-z0-9]{1,20}){0,2}:[a-z0-9.]{1,10}[a-z0-9]", fullmatch=True)
quantity = st.from_regex(r"[1-9][0-9]{0,3}(m|Mi|Gi)?", fullmatch=True)


def optional(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


key_selector = st.builds(KeySelector, name=dns_label, key=st.from_regex(r"[-._a-zA-Z0-9]{1,20}", fullmatch=True))
env_name = st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True).filter(lambda name: not name.startswith("MILLGATE_"))


def _env(kind: type[EnvVar | ServerVariable]) -> st.SearchStrategy[tuple[EnvVar | ServerVariable, ...]]:
    variable = st.one_of(
        st.builds(kind, name=env_name | st.just("HOME"), value=text),
        st.builds(kind, name=env_name, secret_key_ref=key_selector),
        st.builds(kind, name=env_name, config_map_key_ref=key_selector),
    )
    return st.lists(variable, max_size=4, unique_by=lambda variable: variable.name).map(tuple)


env, server_env = _env(EnvVar), _env(ServerVariable)


def _files(references: list[tuple[str, str]]) -> tuple[Files, ...]:
    return tuple(
        Files(name=f"{number}-{name}", mount_path=f"/etc/millgate/{number}/{name}", **{kind: name})
        for number, (kind, name) in enumerate(references)
    )


files = st.lists(
    st.tuples(st.sampled_from(["secret_name", "config_map_name"]), dns_label.filter(lambda n: len(n) < 30)), max_size=3
)
amounts = optional(st.lists(quantity, min_size=1, max_size=2))


def _resources(cpu: list[str] | None, memory: list[str] | None, gpu: int | None) -> Resources:
    requests, limits = {"gpu": gpu}, {"gpu": gpu}
    for name, found in (("cpu", cpu), ("memory", memory)):
        if found:
            requests[name], limits[name] = min(found, key=amount), max(found, key=amount)
    return Resources(requests=ResourceList.model_validate(requests), limits=ResourceList.model_validate(limits))


resources = st.builds(_resources, amounts, amounts, optional(st.integers(1, 64)))
effect = optional(st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"]))
toleration = st.one_of(
    st.builds(Toleration, key=optional(label_key), operator=st.just("Exists"), effect=effect),
    st.builds(Toleration, key=label_key, operator=st.just("Equal"), value=optional(label_value), effect=effect),
)
servers = st.builds(
    Server,
    image=optional(image),
    args=optional(st.lists(text, max_size=3).map(tuple)),
    env=optional(server_env),
    files=optional(files.map(_files)),
    port=optional(st.integers(1024, 65535)),
    resources=optional(resources),
    node_selector=optional(st.dictionaries(label_key, label_value, max_size=3)),
    tolerations=optional(st.lists(toleration, max_size=3).map(tuple)),
    topology_spread=optional(st.sampled_from(TopologySpread)),
    service_account_name=optional(dns_label),
    startup_deadline_seconds=optional(st.integers(10, 7200)),
    drain_seconds=optional(st.integers(0, 600)),
)
models = st.builds(
    ModelIdentity,
    source=st.sampled_from(ModelSource),
    registry=st.just("default"),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,30}", fullmatch=True),
    version=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    source_uri=optional(text),
    source_id=optional(text),
)
revisions = st.builds(revision_of, models, servers, st.just(DEFAULT_IMAGE))
parents = st.builds(Parent, parent_name, dns_label, st.uuids().map(str))
settings = st.builds(
    WorkloadSettings,
    registries=st.just({"default": REGISTRY_URI}),
    allow_code_execution=st.booleans(),
    cache=st.none() | st.just(CACHE),
)
digests = optional(st.just(DIGEST))
compared = st.builds(Compared, st.builds(Pinned, revisions, digests), st.none() | st.builds(Pinned, revisions, digests))


def _check(preset: JobPreset, claim: str | None, **fields: object) -> Job:
    options = {"segmentBy": "country"} if preset is JobPreset.FAIRNESS else {}
    data = {"data": "/data/rows.csv"} if claim is not None and preset is not JobPreset.SCHEMA_COMPATIBILITY else {}
    return Job(preset=preset, options=options | data, data_claim=claim if data else None, **fields)


check_visits = st.builds(
    GateVisit,
    dns_label,
    st.builds(
        _check,
        st.sampled_from(JobPreset),
        optional(dns_label),
        env=optional(env),
        resources=optional(resources),
        deadline_seconds=st.integers(1, 86400),
    ),
    dns_label,
    st.integers(0, 2**50),
)
gate_visits = st.builds(
    GateVisit,
    dns_label,
    st.builds(
        Job,
        image=image,
        command=optional(st.lists(text, max_size=3).map(tuple)),
        args=optional(st.lists(text, max_size=3).map(tuple)),
        env=optional(env),
        resources=optional(resources),
        deadline_seconds=st.integers(1, 86400),
    ),
    dns_label,
    st.integers(0, 2**50),
)
