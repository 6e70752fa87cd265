"""What the specs of the rules' cases are put together from."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """`message` is that of the rule that `refused` breaks; `path` is the object that carries the rule."""

    path: str
    message: str
    accepted: tuple[Json, ...]
    refused: tuple[Json, ...]


MODEL = {"name": "fraud", "version": "8"}
IMAGE_MODEL = {"source": "Image", "name": "fraud", "version": "2026-11-23"}
ERRORS = {"name": "errors", "type": "Compare", "compare": {"preset": "Errors"}}
QUERY = {"name": "lag", "type": "Query", "query": {"promql": "max(lag)", "max": "1"}}
JOB = {"name": "golden", "type": "Job", "job": {"image": "registry.example/checks:1"}}
CHECK = {"name": "schema", "type": "Job", "job": {"preset": "SchemaCompatibility"}}
APPROVAL = {"name": "owner", "type": "Approval"}
LAST = {"name": "all", "weightPercent": 100}


def model(**fields: Any) -> Json:
    return {"model": {"name": "fraud", **fields}}


def server(**fields: Any) -> Json:
    return {"model": MODEL, "server": fields}


def env(**fields: Any) -> Json:
    return server(env=[{"name": "A", **fields}])


KEYS = {"name": "keys", "mountPath": "/etc/millgate/keys", "secretName": "clients"}


def files(*paths: str, **fields: Any) -> Json:
    return server(
        files=[KEYS | {"name": f"f{number}", "mountPath": path} for number, path in enumerate(paths)], **fields
    )


def one_of_files(**fields: Any) -> Json:
    return server(files=[{"name": "keys", "mountPath": "/mnt/keys", **fields}])


def resources(**fields: Any) -> Json:
    return server(resources=fields)


def rollout(**fields: Any) -> Json:
    return {"model": MODEL, "rollout": fields}


def step(weight: int = 10, *gates: Json, **fields: Any) -> Json:
    name = fields.pop("name", f"w{weight}")
    return {"name": name, "weightPercent": weight, **({"gates": list(gates)} if gates else {}), **fields}


def steps(*given: Json, **fields: Any) -> Json:
    return rollout(steps=[*given, LAST], **fields)


def gate(**fields: Any) -> Json:
    return steps(step(10, {"name": "g", **fields}))


def compare(**fields: Any) -> Json:
    return gate(type="Compare", compare={"preset": "Errors", **fields})


def statistic(kind: str, **fields: Any) -> Json:
    return gate(type="Compare", compare={"statistic": kind, **fields})


def query(**fields: Any) -> Json:
    return gate(type="Query", query={"promql": "up", **fields})


def job(**fields: Any) -> Json:
    return gate(type="Job", job=fields)


def check(preset: str, **options: str) -> Json:
    return job(preset=preset, **({"options": options} if options else {}))


KEY = {"name": "feature-store", "key": "token"}
STEP_GATE = "spec.rollout.steps[0].gates[0]"
