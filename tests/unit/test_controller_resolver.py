"""Which revision is meant: the registry is asked beside the loop, and what is known outlives its silence."""

import asyncio
from typing import Any

import pytest

from millgate.api.conditions import Reason
from millgate.api.revision import ModelIdentity
from millgate.api.spec import Model, ModelDeploymentSpec, ModelSource
from millgate.controller.config import Config, RegistryConfig
from millgate.controller.resolver import Resolver
from millgate.controller.telemetry import Telemetry
from millgate.sources.registry import RegistryError
from tests.unit.until import until

KEY = ("risk", "fraud")
KEYS = {"name": "keys", "mountPath": "/mnt/keys", "configMapName": "keys"}
CONFIG = Config(
    registries=(RegistryConfig(name="default", uri="http://mlflow:5000", poll_seconds=1),),
    default_serving_image="registry.example/serving:1",
    allowed_image_prefixes=("registry.example/",),
)


class Registry:
    """Says what the test says. `asked` counts."""

    def __init__(self) -> None:
        self.version = "1"
        self.error: Exception | None = None
        self.asked = 0
        self.answering = asyncio.Event()
        self.answering.set()

    async def resolve(self, model: Model) -> ModelIdentity:
        self.asked += 1
        await self.answering.wait()
        if self.error is not None:
            raise self.error
        return ModelIdentity(
            source=ModelSource.MLFLOW, registry=model.registry, name=model.name, version=model.version or self.version
        )


class Accounts:
    """ServiceAccounts of the namespace, by name."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {}

    async def get(self, _kind: object, _namespace: str, name: str) -> dict[str, Any] | None:
        found = self.labels.get(name)
        return None if found is None else {"metadata": {"labels": found}}


def spec(model: dict[str, Any] | None = None, **fields: Any) -> ModelDeploymentSpec:
    return ModelDeploymentSpec.model_validate({"model": model or {"name": "fraud", "alias": "live"}, **fields})


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def woken() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def resolver(registry, accounts, woken):
    made = Resolver(CONFIG, {"default": registry}, accounts, Telemetry(), wake=woken.append, jitter=lambda: 0.0)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()


async def test_an_image_needs_no_registry(resolver, registry):
    asked = spec({"source": "Image", "name": "fraud", "version": "7"}, server={"image": "registry.example/f:7"})
    target = await resolver.target(KEY, asked, None)
    assert target.revision is not None
    assert (target.revision.model_version, target.revision.image) == ("7", "registry.example/f:7")
    assert target.problem is None
    assert registry.asked == 0


async def test_the_loop_never_waits_and_is_woken_by_the_answer(resolver, registry, woken):
    registry.answering.clear()
    target = await resolver.target(KEY, spec(), None)
    assert target.revision is None
    assert target.problem.reason is Reason.RESOLVING
    assert not target.permanent
    registry.answering.set()
    await until(lambda: woken == [KEY])
    target = await resolver.target(KEY, spec(), None)
    assert target.revision.model_version == "1"
    assert target.revision.image == "registry.example/serving:1"
    assert target.resolution.hash == target.revision.hash


async def test_an_alias_that_moves_wakes_those_that_follow_it(resolver, registry, woken):
    await resolver.target(KEY, spec(), None)
    await resolver.target(("risk", "other"), spec(), None)
    await until(lambda: len(woken) == 2)
    registry.version = "2"
    await until(lambda: len(woken) == 4)
    assert set(woken[2:]) == {KEY, ("risk", "other")}
    assert (await resolver.target(KEY, spec(), None)).revision.model_version == "2"


async def test_an_answer_that_stays_the_same_wakes_nobody(resolver, registry, woken):
    await resolver.target(KEY, spec(), None)
    await until(lambda: registry.asked >= 2)
    assert woken == [KEY]


async def test_what_status_remembers_holds_while_the_registry_is_silent(resolver, registry, woken):
    await resolver.target(KEY, spec(), None)
    await until(lambda: woken)
    remembered = (await resolver.target(KEY, spec(), None)).resolution
    after_a_restart = Resolver(CONFIG, {"default": registry}, Accounts(), Telemetry(), wake=lambda _: None)
    target = await after_a_restart.target(KEY, spec(), remembered)
    assert target.revision.model_version == "1"
    assert target.problem is None


async def test_what_status_remembers_of_another_question_is_not_used(resolver, registry, woken):
    await resolver.target(KEY, spec(), None)
    await until(lambda: woken)
    remembered = (await resolver.target(KEY, spec(), None)).resolution
    registry.answering.clear()
    target = await resolver.target(KEY, spec({"name": "fraud", "version": "9"}), remembered)
    assert target.revision is None
    assert target.problem.reason is Reason.RESOLVING


async def test_a_registry_that_goes_away_is_told_beside_what_is_known(resolver, registry, woken):
    await resolver.target(KEY, spec(), None)
    await until(lambda: len(woken) == 1)
    registry.error = RegistryError(Reason.REGISTRY_UNREACHABLE, "connection refused")
    await until(lambda: len(woken) == 2)
    target = await resolver.target(KEY, spec(), None)
    assert target.revision.model_version == "1"
    assert target.problem.reason is Reason.REGISTRY_UNREACHABLE
    registry.error = None
    await until(lambda: len(woken) == 3)
    assert (await resolver.target(KEY, spec(), None)).problem is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RegistryError(Reason.MODEL_NOT_FOUND, "no such", permanent=True), (Reason.MODEL_NOT_FOUND, True)),
        (RegistryError(Reason.REGISTRY_UNREACHABLE, "refused"), (Reason.REGISTRY_UNREACHABLE, False)),
        (KeyError("a defect"), (Reason.REGISTRY_ERROR, False)),
    ],
)
async def test_a_failure_is_told_and_asked_again_until_it_goes_away(resolver, registry, woken, error, told):
    registry.error = error
    await resolver.target(KEY, spec(), None)
    await until(lambda: len(woken) == 1)
    target = await resolver.target(KEY, spec(), None)
    assert (target.problem.reason, target.permanent) == told
    assert target.revision is None
    registry.error = None
    await until(lambda: len(woken) == 2)
    assert (await resolver.target(KEY, spec(), None)).revision is not None


async def test_nobody_is_asked_any_longer_once_nobody_uses_the_answer(resolver, registry):
    await resolver.target(KEY, spec(), None)
    await until(lambda: registry.asked >= 1)
    resolver.forget(KEY)
    asked = registry.asked
    await asyncio.sleep(1.3)
    assert registry.asked == asked


async def test_one_that_asks_a_new_question_lets_the_old_one_go(resolver, registry, woken):
    await resolver.target(KEY, spec(), None)
    await until(lambda: len(woken) == 1)
    await resolver.target(KEY, spec({"name": "fraud", "version": "9"}), None)
    await until(lambda: len(woken) == 2)
    asked = registry.asked
    await asyncio.sleep(1.3)  # the alias was asked for every second
    assert registry.asked == asked


def query_gate(promql, name="share"):
    return {"name": name, "type": "Query", "query": {"promql": promql, "max": "1"}}


def rate(numerator, denominator):
    return {"statistic": "Rate", "numerator": numerator, "denominator": denominator}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"server": {"image": "elsewhere.example/x:1"}}, Reason.IMAGE_NOT_ALLOWED),
        (
            {
                "rollout": {
                    "steps": [
                        {
                            "name": "all",
                            "weightPercent": 100,
                            "gates": [{"name": "j", "type": "Job", "job": {"image": "elsewhere.example/x"}}],
                        }
                    ]
                }
            },
            Reason.IMAGE_NOT_ALLOWED,
        ),
        ({"model": {"name": "fraud", "version": "1", "registry": "other"}}, Reason.UNKNOWN_REGISTRY),
        ({"server": {"serviceAccountName": "missing"}}, Reason.REF_NOT_FOUND),
        ({"server": {"serviceAccountName": "unlabelled"}}, Reason.REF_NOT_PERMITTED),
    ],
)
async def test_what_the_platform_does_not_allow_is_refused_by_name(resolver, accounts, registry, fields, reason):
    accounts.labels = {"unlabelled": {}, "good": {"millgate.dev/allow-use": "true"}}
    target = await resolver.target(KEY, spec(**fields), None)
    assert (target.problem.reason, target.permanent, target.revision) == (reason, True, None)
    assert registry.asked == 0


@pytest.mark.parametrize(
    ("server", "job", "refused"),
    [
        ({"files": [KEYS]}, {"preset": "SchemaCompatibility"}, True),
        ({"files": [KEYS]}, {"image": "registry.example/checks:1"}, False),
        ({}, {"preset": "SchemaCompatibility"}, False),
    ],
    ids=["a check of the server's image", "an image of somebody else", "no files"],
)
async def test_the_environment_of_a_check_makes_no_code_of_the_servers_files(resolver, server, job, refused):
    job |= {"env": [{"name": "PYTHONPATH", "value": "/mnt/keys"}]}
    step = {"name": "all", "weightPercent": 100, "gates": [{"name": "j", "type": "Job", "job": job}]}
    target = await resolver.target(KEY, spec(server=server, rollout={"steps": [step]}), None)
    assert (target.problem.reason is Reason.INVALID_SPEC) is refused
    assert ("make code of files" in target.problem.message) is refused


@pytest.mark.parametrize(
    ("rollout", "words"),
    [
        ({"gates": [query_gate('up{namespace="other"}')]}, "`spec.rollout.gates[0].query.promql`: this could leave"),
        (
            {"gates": [query_gate("up"), query_gate("a b", "late")]},
            "gates[1].query.promql`: not PromQL, at character 3",
        ),
        (
            {"steps": [{"name": "all", "weightPercent": 100, "gates": [query_gate("sum(up")]}]},
            "`spec.rollout.steps[0].gates[0].query.promql`: not PromQL: unclosed left parenthesis, at character 7",
        ),
        (
            {"gates": [{"name": "x", "type": "Compare", "compare": rate("e{", "r")}]},
            "`spec.rollout.gates[0].compare.numerator`: 'e{' is not a selector",
        ),
        (
            {"gates": [{"name": "x", "type": "Compare", "compare": rate("e", 'r{a="b" or c="d"}')}]},
            "`spec.rollout.gates[0].compare.denominator`",
        ),
    ],
)
async def test_a_query_that_may_not_be_asked_is_refused_with_its_field_and_its_character(resolver, rollout, words):
    target = await resolver.target(KEY, spec(rollout=rollout), None)
    assert (target.problem.reason, target.permanent, target.revision) == (Reason.INVALID_SPEC, True, None)
    assert words in target.problem.message


async def test_a_query_without_a_namespace_is_good(resolver):
    target = await resolver.target(KEY, spec(rollout={"gates": [query_gate("sum(up)")]}), None)
    assert target.problem.reason is Reason.RESOLVING


async def test_a_labelled_service_account_may_be_used(resolver, accounts):
    accounts.labels = {"good": {"millgate.dev/allow-use": "true"}}
    asked = spec(
        {"source": "Image", "name": "f", "version": "1"},
        server={"image": "registry.example/f", "serviceAccountName": "good"},
    )
    assert (await resolver.target(KEY, asked, None)).problem is None


async def test_without_a_default_image_one_must_be_given():
    resolver = Resolver(Config(), {}, Accounts(), Telemetry(), wake=lambda _: None)
    target = await resolver.target(KEY, spec(), None)
    assert target.problem.reason is Reason.INVALID_SPEC
    assert "defaultServingImage" in target.problem.message
