"""For every rule of the CRD a spec that it accepts and one that it refuses.

tests/unit asks the pydantic types, tests/controlplane the real API server: both must say the same.
"""

from tests.gate_cases import GATE_RULES
from tests.spec_parts import (
    APPROVAL,
    CHECK,
    ERRORS,
    IMAGE_MODEL,
    JOB,
    KEY,
    LAST,
    QUERY,
    Case,
    env,
    files,
    model,
    one_of_files,
    resources,
    rollout,
    server,
    step,
    steps,
)

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
    *GATE_RULES,
)
