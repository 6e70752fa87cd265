"""A spec that was written before a rule existed is refused by the operator in the words of the API server."""

import re
from itertools import chain
from pathlib import Path

import pytest
from pydantic import ValidationError

from millgate.api.base import explain
from millgate.api.defaults import guardrails_of
from millgate.api.job import OPTIONS
from millgate.api.schema import nodes, structural_schema
from millgate.api.spec import CANARY_GATES, ModelDeploymentSpec, Rollout, Strategy
from tests.spec_cases import RULES
from tests.spec_parts import APPROVAL, JOB, KEYS, LAST, Case, Json, env, files, rollout, server, step, steps

# The keys of a map have a pattern of their own in pydantic: see test_a_bad_key_of_a_map_is_refused.
SAID_BY_RULES = [case for case in RULES if not case.message.startswith("keys must")]


def each(kind: str) -> list[object]:
    return [
        pytest.param(case, spec, id=f"{case.path}: {case.message[:60]} {number}")
        for case in SAID_BY_RULES
        for number, spec in enumerate(getattr(case, kind))
    ]


@pytest.mark.parametrize(("case", "spec"), each("accepted"))
def test_what_the_rule_allows_is_read(case: Case, spec: Json) -> None:
    assert ModelDeploymentSpec.model_validate(spec), case.message


@pytest.mark.parametrize(("case", "spec"), each("refused"))
def test_what_the_rule_forbids_is_refused_in_its_words(case: Case, spec: Json) -> None:
    with pytest.raises(ValidationError) as refused:
        ModelDeploymentSpec.model_validate(spec)
    assert case.message in explain(refused.value)
    assert case.path in explain(refused.value)


def test_a_bad_key_of_a_map_is_refused() -> None:
    assert ModelDeploymentSpec.model_validate(server(nodeSelector={"disk": "ssd"}))
    with pytest.raises(ValidationError, match="should match pattern"):
        ModelDeploymentSpec.model_validate(server(nodeSelector={"no spaces": "x"}))


def test_a_job_is_no_guardrail() -> None:
    """The API server has no field for it there, and says so; an older object is refused by the rule."""
    with pytest.raises(ValidationError, match="`gates` of the rollout must be of type 'Compare' or 'Query'"):
        ModelDeploymentSpec.model_validate(rollout(gates=[JOB]))
    guardrail = structural_schema(Rollout)["properties"]["gates"]["items"]
    assert {"compare", "query"} <= guardrail["properties"].keys()
    assert "job" not in guardrail["properties"]


def test_the_options_of_a_check_are_those_of_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    presets = dict(re.findall(r"^\| `(\w+)` \|[^|]+\| `(\w+)` \|$", page, re.MULTILINE))
    told: dict[str, set[str]] = {preset: set() for preset in presets.values()}
    for option, checks in re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \|", page.partition("## Options")[2], re.MULTILINE):
        for check in checks.split(", "):
            told[presets[check]].add(option)
    assert told == {preset.value: set(options) for preset, options in OPTIONS.items()}


def test_every_rule_of_the_schema_has_a_case() -> None:
    schema = structural_schema(ModelDeploymentSpec)
    messages = {rule["message"] for _, node in nodes(schema) for rule in node.get("x-kubernetes-validations", ())}
    untested = {message for message in messages if not any(message.startswith(case.message) for case in RULES)}
    assert not untested
    assert len(messages) >= len(RULES)


@pytest.mark.parametrize("path", ["/etc/millgate/keys", "/mnt/keys", "/mnt/v1.2/a_b", "/mnt/-/x"])
def test_files_are_mounted_where_no_image_has_code(path: str) -> None:
    assert ModelDeploymentSpec.model_validate(files(path))


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/etc", "/etc/millgate", "/etc/millgate/", "/mnt", "/mnt/", "/mnt/keys/", "/mnt//keys", "mnt/keys", ""),
        *("/mnt/.", "/mnt/..", "/mnt/../usr", "/mnt/x/../../usr", "/mnt/.hidden", "/mnt/a b", "/mnt/a:b", "/mnt/a\n"),
        *("/tmp/x", "/models/x", "/cache/x", "/data/x", "/var/run/secrets/x", "/run/secrets/x", "/etc/ssl", "/usr/lib"),
        *("/opt/millgate", "/app", "/home/x", "/mntx/keys", "/etc/millgatex/keys"),
    ],
)
def test_files_are_mounted_nowhere_else(path: str) -> None:
    with pytest.raises(ValidationError, match="mountPath"):
        ModelDeploymentSpec.model_validate(files(path))


@pytest.mark.parametrize(
    "spec",
    [
        steps(step(10), step(10)),
        rollout(steps=[step(10, APPROVAL, APPROVAL), LAST]),
        server(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
        server(files=[KEYS, KEYS | {"mountPath": "/mnt/others"}]),
    ],
    ids=["steps", "gates", "env", "files"],
)
def test_no_name_stands_twice_in_a_list_that_is_told_apart_by_names(spec: Json) -> None:
    with pytest.raises(ValidationError, match="must not be the same for two items"):
        ModelDeploymentSpec.model_validate(spec)


@pytest.mark.parametrize("spec", [env(value="x", valueFrom={}), rollout(analysis={}), {"model": {}, "models": []}])
def test_an_unknown_field_is_an_error(spec: Json) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        ModelDeploymentSpec.model_validate(spec)


def test_an_explanation_names_the_field_as_the_api_server_does() -> None:
    with pytest.raises(ValidationError) as refused:
        ModelDeploymentSpec.model_validate(steps(step(10, {"name": "g", "type": "Job"})))
    path, _, words = explain(refused.value).partition(": ")
    assert path == "spec.rollout.steps[0].gates[0]"
    assert words == "`job` must be specified when `type` is 'Job', and only then"


def test_the_names_that_canary_takes_are_those_of_its_gates() -> None:
    assert {gate.name for gate in guardrails_of(Rollout())} == CANARY_GATES
    others = [guardrails_of(Rollout(strategy=strategy)) for strategy in Strategy if strategy is not Strategy.CANARY]
    assert list(chain.from_iterable(others)) == []
