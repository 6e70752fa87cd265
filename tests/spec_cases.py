"""For every rule of the CRD a spec that it accepts and one that it refuses.

tests/unit asks the pydantic types, tests/controlplane the real API server: both must say the same.
"""

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

RULES = (
    Case(
        "spec.model",
        "exactly one of `version` or `alias` must be specified",
        accepted=(model(version="8"), model(alias="champion")),
        refused=(model(), model(version="8", alias="champion")),
    ),
    Case(
        "spec.model",
        "`version` must be specified when `source` is 'Image': an image has no alias",
        accepted=({"model": IMAGE_MODEL, "server": {"image": "ranking:1"}},),
        refused=(model(source="Image", alias="champion") | {"server": {"image": "ranking:1"}},),
    ),
    Case(
        "spec.model",
        "`version` must be a whole number greater than 0 when `source` is 'MLflow'",
        accepted=(model(version="1"), model(version="120"), model(alias="v8")),
        refused=(model(version="0"), model(version="08"), model(version="v8"), model(version="1.0")),
    ),
    Case(
        "spec.server.env[0]",
        "exactly one of `value`, `secretKeyRef` or `configMapKeyRef` must be specified",
        accepted=(env(value=""), env(secretKeyRef=KEY), env(configMapKeyRef=KEY)),
        refused=(env(), env(value="x", secretKeyRef=KEY), env(secretKeyRef=KEY, configMapKeyRef=KEY)),
    ),
    Case(
        "spec.server.env[0]",
        "`name` must be none of the variables that are set by Millgate, which say what is served",
        accepted=(env(name="MY_MILLGATE_MODEL", value="x"), env(name="MILLGATE_ACCESS_LOG", value="all")),
        refused=tuple(
            env(name=f"MILLGATE_{name}", value="x")
            for name in ("MODEL_PATH", "MODEL_DIGEST", "ALLOW_CODE_EXECUTION", "CACHE_DIR", "TERMINATION_LOG")
        ),
    ),
    Case(
        "spec.server.files[0]",
        "exactly one of `secretName` or `configMapName` must be specified",
        accepted=(one_of_files(secretName="clients"), one_of_files(configMapName="clients.v2")),
        refused=(one_of_files(), one_of_files(secretName="clients", configMapName="clients")),
    ),
    Case(
        "spec.server",
        "`mountPath` of one of the `files` must be neither that of another one nor inside it",
        accepted=(files("/mnt/keys", "/mnt/keys2", "/etc/millgate/a", "/etc/millgate/b"), server(files=[])),
        refused=(
            files("/mnt/keys", "/mnt/keys"),
            files("/mnt/keys", "/mnt/keys/jwt"),
            files("/mnt/a/b", "/mnt/x", "/mnt/a"),
        ),
    ),
    Case(
        "spec.server",
        "`env` must have none of GCONV_PATH, LD_…, OPENSSL_…, PATH, PYTHON… beside `files`",
        accepted=(
            files(
                "/mnt/keys", env=[{"name": "MY_PATH", "value": "x"}, {"name": "MILLGATE_API_KEYS_FILE", "value": "/x"}]
            ),
            env(name="PYTHONPATH", value="/app"),
        ),
        refused=(
            files(env=[{"name": "PATH", "value": "x"}]),
            *(
                files("/mnt/keys", env=[{"name": name, "value": "/mnt/keys"}])
                for name in ("PYTHONPATH", "PATH", "LD_PRELOAD", "OPENSSL_CONF", "GCONV_PATH")
            ),
        ),
    ),
    Case(
        f"{STEP_GATE}.job.env[0]",
        "`name` must not start with 'MILLGATE_': these variables are set by Millgate",
        accepted=(job(image="x:1", env=[{"name": "MY_MILLGATE_X", "value": "x"}]),),
        refused=(job(image="x:1", env=[{"name": "MILLGATE_STEP", "value": "x"}]),),
    ),
    Case(
        "spec.server.resources",
        "`requests.cpu` must be less than or equal to `limits.cpu`",
        accepted=(
            resources(requests={"cpu": "500m"}, limits={"cpu": "0.5"}),
            resources(requests={"cpu": "2"}, limits={"memory": "1Gi"}),
            resources(requests={"cpu": "2"}),
        ),
        refused=(resources(requests={"cpu": "1001m"}, limits={"cpu": "1"}),),
    ),
    Case(
        "spec.server.resources",
        "`requests.memory` must be less than or equal to `limits.memory`",
        accepted=(resources(requests={"memory": "1024Mi"}, limits={"memory": "1Gi"}),),
        refused=(
            resources(requests={"memory": "1Gi"}, limits={"memory": "1G"}),
            resources(requests={"memory": "1T"}, limits={"memory": "999G"}),
        ),
    ),
    Case(
        "spec.server.resources",
        "`requests.gpu` must be equal to `limits.gpu`: a GPU is not shared",
        accepted=(resources(requests={"gpu": 2}, limits={"gpu": 2}), resources(limits={"gpu": 1})),
        refused=(resources(requests={"gpu": 1}), resources(requests={"gpu": 1}, limits={"gpu": 2})),
    ),
    Case(
        "spec.server.nodeSelector",
        "keys must be no more than 317 characters and match",
        accepted=(server(nodeSelector={"node.kubernetes.io/instance-type": "g5.xlarge", "disk": ""}),),
        refused=(server(nodeSelector={"no spaces": "x"}), server(nodeSelector={"a" * 318: "x"})),
    ),
    Case(
        "spec.server.tolerations[0]",
        "`operator` must be 'Exists' when `key` is left out",
        accepted=(server(tolerations=[{"operator": "Exists"}]), server(tolerations=[{"key": "gpu"}])),
        refused=(server(tolerations=[{"effect": "NoSchedule"}]),),
    ),
    Case(
        "spec.server.tolerations[0]",
        "`value` may not be specified unless `operator` is 'Equal'",
        accepted=(server(tolerations=[{"key": "gpu", "value": "a100"}]),),
        refused=(server(tolerations=[{"key": "gpu", "operator": "Exists", "value": "a100"}]),),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`maxRatio` must be greater than or equal to 1",
        accepted=(compare(maxRatio="1"), compare(maxRatio="1.0"), compare(maxRatio="2.5")),
        refused=(compare(maxRatio="0.99"), compare(maxRatio="0")),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "exactly one of `preset` or `statistic` must be specified",
        accepted=(compare(), statistic("Rate", numerator="errors", denominator="requests")),
        refused=(
            gate(type="Compare", compare={}),
            statistic("Rate", preset="Errors", numerator="errors", denominator="requests"),
        ),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`numerator` and `denominator` must be specified when `statistic` is 'Rate' or 'Mean', and only then",
        accepted=(
            statistic("Rate", numerator='requests{code=~"5.."}', denominator="requests"),
            statistic("Mean", numerator="tokens_total", denominator="requests"),
        ),
        refused=(
            statistic("Rate"),
            statistic("Mean", numerator="tokens_total"),
            statistic("Rate", denominator="requests"),
            statistic("Exceedance", histogram="seconds", numerator="a", denominator="b"),
            compare(numerator="a", denominator="b"),
        ),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`histogram` must be specified when `statistic` is 'Exceedance' or 'Distribution', and only then",
        accepted=(statistic("Exceedance", histogram="seconds"), statistic("Distribution", histogram="score")),
        refused=(
            statistic("Exceedance"),
            statistic("Distribution"),
            statistic("Rate", numerator="a", denominator="b", histogram="seconds"),
            compare(histogram="seconds"),
        ),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`passRatio` must be greater than `maxRatio`",
        accepted=(
            compare(passRatio="1.3"),
            compare(maxRatio="1.5", passRatio="2"),
            compare(reference="Before", passRatio="2.1"),
        ),
        refused=(
            compare(passRatio="1.2"),
            compare(maxRatio="2", passRatio="2"),
            compare(reference="Before", passRatio="2"),
        ),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`maxRatio` and `passRatio` may not be specified for a distribution: its margin is `minEffect`",
        accepted=(
            compare(preset="Predictions", minEffect="0.1"),
            statistic("Distribution", histogram="score", minEffect="0.1"),
        ),
        refused=(
            compare(preset="Predictions", maxRatio="1.5"),
            compare(preset="Features", passRatio="2"),
            statistic("Distribution", histogram="score", maxRatio="1.5"),
        ),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`quantile` may not be specified unless `preset` is 'Latency' or `statistic` is 'Exceedance'",
        accepted=(
            compare(preset="Latency", quantile="0.9"),
            compare(preset="Latency"),
            statistic("Exceedance", histogram="seconds", quantile="0.9"),
        ),
        refused=(compare(quantile="0.9"), statistic("Distribution", histogram="score", quantile="0.9")),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`reference` must not be 'Training' unless `preset` is 'Predictions' or 'Features'",
        accepted=(
            compare(preset="Predictions", reference="Training"),
            compare(preset="Features", reference="Training"),
            compare(reference="Baseline"),
        ),
        refused=(compare(reference="Training"), statistic("Distribution", histogram="score", reference="Training")),
    ),
    Case(
        f"{STEP_GATE}.compare",
        "`quantile` must be greater than or equal to 0.5 and less than 1",
        accepted=(compare(preset="Latency", quantile="0.5"), compare(preset="Latency", quantile="0.9999")),
        refused=(compare(preset="Latency", quantile="0.49"), compare(preset="Latency", quantile="1")),
    ),
    Case(
        f"{STEP_GATE}.query",
        "at least one of `min` or `max` must be specified",
        accepted=(query(min="0"), query(max="-1.5")),
        refused=(query(),),
    ),
    Case(
        f"{STEP_GATE}.query",
        "`min` must be less than or equal to `max`",
        accepted=(query(min="0.1", max="0.1"), query(min="-2", max="-1")),
        refused=(query(min="10", max="9"), query(min="-1", max="-2")),
    ),
    Case(
        STEP_GATE,
        "`onFail` may not be specified when `type` is 'Approval'",
        accepted=(
            gate(type="Job", job=JOB["job"], onFail="Hold"),
            gate(type="Query", query=QUERY["query"], onFail="Alert"),
        ),
        refused=(gate(type="Approval", onFail="Hold"),),
    ),
    Case(
        STEP_GATE,
        "`compare` must be specified when `type` is 'Compare', and only then",
        accepted=(gate(type="Compare", compare={"preset": "Errors"}),),
        refused=(gate(type="Compare"), gate(type="Approval", compare={"preset": "Errors"})),
    ),
    Case(
        STEP_GATE,
        "`query` must be specified when `type` is 'Query', and only then",
        accepted=(gate(type="Query", query=QUERY["query"]),),
        refused=(gate(type="Query"), gate(type="Approval", query=QUERY["query"])),
    ),
    Case(
        STEP_GATE,
        "`job` must be specified when `type` is 'Job', and only then",
        accepted=(gate(type="Job", job=JOB["job"]),),
        refused=(gate(type="Job"), gate(type="Approval", job=JOB["job"])),
    ),
    Case(
        f"{STEP_GATE}.job",
        "exactly one of `preset` or `image` must be specified",
        accepted=(job(image="a/b:1"), check("SchemaCompatibility")),
        refused=(job(), job(image="a/b:1", preset="Accuracy")),
    ),
    Case(
        f"{STEP_GATE}.job",
        "`command` and `args` may not be specified beside `preset`",
        accepted=(
            job(image="a/b:1", command=["c"], args=["d"]),
            job(preset="Accuracy", env=[{"name": "A", "value": "1"}], deadlineSeconds=60),
        ),
        refused=(job(preset="Accuracy", command=["c"]), job(preset="Accuracy", args=["d"])),
    ),
    Case(
        f"{STEP_GATE}.job",
        "`options` and `dataClaim` may not be specified without `preset`",
        accepted=(job(preset="Accuracy", options={"data": "/data/rows.csv"}, dataClaim="rows"),),
        refused=(
            job(image="a/b:1", options={"data": "/data/rows.csv"}),
            job(image="a/b:1", options={"data": "/data/rows.csv"}, dataClaim="rows"),
        ),
    ),
    Case(
        f"{STEP_GATE}.job",
        "`options` must have no name but those that docs/checks.md has for the preset",
        accepted=(
            check("SmokePredictions", absoluteTolerance="0.001"),
            check("Accuracy", margin="0.02", label="fraud"),
            check("Fairness", segmentBy="country", minSelectionRatio="0.9"),
            check("LatencyBenchmark", peakRequestsPerSecond="40", maxRatio="1.2"),
            check("MemoryFootprint", maxShareOfLimit="0.7"),
        ),
        refused=(
            check("SchemaCompatibility", margin="0.02"),
            check("Accuracy", segmentBy="country"),
            check("Fairness", segmentBy="country", maxRatio="2"),
            check("MemoryFootprint", quantile="0.5"),
        ),
    ),
    Case(
        f"{STEP_GATE}.job.options",
        "keys must be no more than 32 characters and match",
        accepted=(check("MemoryFootprint", repeats="5"),),
        refused=(check("MemoryFootprint", **{"max-ratio": "2"}), check("MemoryFootprint", **{"m" * 33: "2"})),
    ),
    Case(
        f"{STEP_GATE}.job",
        "`options.segmentBy` must be specified when `preset` is 'Fairness'",
        accepted=(check("Fairness", segmentBy="country"),),
        refused=(check("Fairness"), check("Fairness", margin="0.02")),
    ),
    Case(
        f"{STEP_GATE}.job",
        "`options.data` must begin with '/data/' when `dataClaim` is specified",
        accepted=(job(preset="Accuracy", options={"data": "/data/rows.csv"}, dataClaim="rows"),),
        refused=(
            job(preset="Accuracy", dataClaim="rows"),
            job(preset="Accuracy", options={"margin": "0.1"}, dataClaim="rows"),
            job(preset="Accuracy", options={"data": "rows.csv"}, dataClaim="rows"),
        ),
    ),
    Case(
        "spec.rollout.steps[0]",
        "`maxSeconds` must be greater than or equal to `minSeconds`",
        accepted=(steps(step(minSeconds=60, maxSeconds=60)), steps(step(maxSeconds=1))),
        refused=(steps(step(minSeconds=60, maxSeconds=59)),),
    ),
    Case(
        "spec.rollout.steps[0]",
        "`gates` must not be of type 'Compare' when `weightPercent` is 0: the candidate must get requests",
        accepted=(
            steps(step(1, ERRORS), gates=[]),
            steps(step(0, JOB, CHECK, QUERY, APPROVAL)),
            rollout(steps=[step(100, ERRORS)], gates=[]),
        ),
        refused=(steps(step(0, ERRORS), gates=[]),),
    ),
    Case(
        "spec.rollout",
        "the last of `steps` must have `weightPercent` 100",
        accepted=(rollout(steps=[LAST]), rollout(steps=[step(100), LAST])),
        refused=(rollout(steps=[step(99)]),),
    ),
    Case(
        "spec.rollout",
        "`weightPercent` must not decrease from one step to the next",
        accepted=(steps(step(0, name="a"), step(10, name="b"), step(10, name="c")),),
        refused=(steps(step(20), step(10)),),
    ),
    Case(
        "spec.rollout",
        "`gates` of the rollout must be of type 'Compare' or 'Query': a 'Job' or an 'Approval' belongs to a step",
        accepted=(rollout(gates=[ERRORS, QUERY]), rollout(gates=[])),
        refused=(rollout(gates=[APPROVAL]), rollout(gates=[ERRORS, APPROVAL])),
    ),
    Case(
        "spec.rollout",
        "a gate of a step must not have the name of a gate of the rollout ('errors' and 'latency' are those of "
        "'Canary' when `gates` is left out)",
        accepted=(
            steps(step(10, ERRORS), gates=[QUERY]),
            steps(step(10, ERRORS), strategy="BlueGreen"),
            steps(step(10, APPROVAL), step(50, APPROVAL)),
        ),
        refused=(
            steps(step(10, QUERY), gates=[QUERY]),
            steps(step(10, ERRORS)),
            steps(step(10), step(50, ERRORS | {"name": "latency"})),
        ),
    ),
    Case(
        "spec.rollout",
        "`falseRollbackBudget` must be greater than 0 and less than or equal to 0.2",
        accepted=(rollout(falseRollbackBudget="0.2"), rollout(falseRollbackBudget="0.0001")),
        refused=(rollout(falseRollbackBudget="0"), rollout(falseRollbackBudget="0.21")),
    ),
    Case(
        "spec",
        "`server.image` must be specified when `model.source` is 'Image'",
        accepted=({"model": IMAGE_MODEL, "server": {"image": "registry.example/ranking:1"}},),
        refused=({"model": IMAGE_MODEL}, {"model": IMAGE_MODEL, "server": {"port": 8080}}),
    ),
    Case(
        "spec",
        "`rollout.progressDeadlineSeconds` must be greater than or equal to `server.startupDeadlineSeconds`: "
        "a pod must be given the time that it may take to start",
        accepted=(
            server(startupDeadlineSeconds=900),
            server(startupDeadlineSeconds=7200) | {"rollout": {"progressDeadlineSeconds": 7200}},
            rollout(progressDeadlineSeconds=10),
        ),
        refused=(server(startupDeadlineSeconds=901),),
    ),
)
