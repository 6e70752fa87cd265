"""Which revision a ModelDeployment asks for: the registry's answers, looked up beside the loop and kept fresh.

A reconcile never waits for a registry. It takes the newest answer there is; a newer one that differs wakes the
ModelDeployments that use it.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from millgate.api.conditions import Reason
from millgate.api.names import LABEL_ALLOW_USE
from millgate.api.revision import ModelIdentity, revision_of
from millgate.api.server import MAKE_CODE_TOLD, makes_code
from millgate.api.spec import Job, Model, ModelDeploymentSpec, ModelSource
from millgate.api.status import Resolution
from millgate.controller.config import Config
from millgate.controller.telemetry import Key, Telemetry
from millgate.gates.admission import query_problem
from millgate.kube.api import SERVICE_ACCOUNT, KubeApi
from millgate.kube.queue import WorkQueue
from millgate.rollout.snapshot import Problem, Target
from millgate.sources.registry import RegistryError

logger = logging.getLogger(__name__)

# A version does not move; it is asked for again because a model can be deleted and made anew under the same number.
_VERSION_POLLS = 10
_CONCURRENT_LOOKUPS = 8
_BACKOFF_BASE_SECONDS = 1.0


class Registry(Protocol):
    """A model registry. Raises RegistryError, and nothing else, within its own deadline."""

    async def resolve(self, model: Model) -> ModelIdentity: ...


@dataclass(frozen=True)
class Reference:
    """One question to a registry: `spec.model`, which is the same for all ModelDeployments that ask it."""

    model: Model

    @property
    def key(self) -> str:
        """As it stands in `status.resolution.key`."""
        return self.model.model_dump_json(by_alias=True, exclude_none=True)


@dataclass(frozen=True)
class Answer:
    """What is known: the newest identity, and why the newest question was not answered."""

    model: ModelIdentity | None = None
    error: RegistryError | None = None


class Resolver:
    """Answers `target` at once, and asks the registries in the background for as long as somebody uses the answer."""

    def __init__(  # noqa: PLR0913 - the parts that it joins
        self,
        config: Config,
        registries: Mapping[str, Registry],
        api: KubeApi,
        telemetry: Telemetry,
        *,
        wake: Callable[[Key], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._registries = registries
        self._api = api
        self._telemetry = telemetry
        self._wake = wake
        self._jitter = jitter
        self._answers: dict[Reference, Answer] = {}
        self._users: defaultdict[Reference, set[Key]] = defaultdict(set)
        self._uses: dict[Key, Reference] = {}
        self._queue: WorkQueue[Reference] = WorkQueue(base_seconds=_BACKOFF_BASE_SECONDS, spread=jitter)

    async def target(self, key: Key, spec: ModelDeploymentSpec, known: Resolution | None) -> Target:
        """The revision that `spec` asks for, as far as it is known now. `known` is what status remembers.

        Raises KubeError when a ServiceAccount has to be read and cannot be.
        """
        problem = self._image_problem(spec) or _code_problem(spec) or _query_problem(key, spec)
        problem = problem or await self._account_problem(key, spec)
        if problem is not None:
            self.forget(key)
            return Target(problem=problem, permanent=True)
        if spec.model.source is ModelSource.IMAGE:
            self.forget(key)
            identity = ModelIdentity(
                source=ModelSource.IMAGE,
                registry=spec.model.registry,
                name=spec.model.name,
                version=spec.model.version or "",
            )
            return self._resolved(spec, identity, Reference(spec.model).key)
        return self._from_registry(key, spec, known)

    def forget(self, key: Key) -> None:
        """The ModelDeployment is gone, or asks no registry any longer."""
        reference = self._uses.pop(key, None)
        if reference is None:
            return
        self._users[reference].discard(key)
        if not self._users[reference]:
            del self._users[reference]
            self._answers.pop(reference, None)
            self._queue.forget(reference)

    async def run(self) -> None:
        """Ask the registries, for ever."""
        slots = asyncio.Semaphore(_CONCURRENT_LOOKUPS)
        async with asyncio.TaskGroup() as group:
            while True:
                await slots.acquire()
                reference = await self._queue.get()
                task = group.create_task(self._look_up(reference))
                task.add_done_callback(lambda _: slots.release())

    def _from_registry(self, key: Key, spec: ModelDeploymentSpec, known: Resolution | None) -> Target:
        if spec.model.registry not in self._registries:
            self.forget(key)
            names = ", ".join(sorted(self._registries)) or "none"
            message = f"the operator's configuration has no registry '{spec.model.registry}'; it has: {names}"
            return Target(problem=Problem(Reason.UNKNOWN_REGISTRY, message), permanent=True)
        reference = Reference(spec.model)
        self._use(key, reference)
        answer = self._answers.get(reference, Answer())
        remembered = known.model if known is not None and known.key == reference.key else None
        identity = answer.model or remembered
        problem = Problem(answer.error.reason, str(answer.error)) if answer.error is not None else None
        if identity is None:
            pending = Problem(Reason.RESOLVING, f"registry '{spec.model.registry}' is being asked")
            return Target(problem=problem or pending, permanent=answer.error is not None and answer.error.permanent)
        return replace(self._resolved(spec, identity, reference.key), problem=problem)

    def _resolved(self, spec: ModelDeploymentSpec, identity: ModelIdentity, key: str) -> Target:
        revision = revision_of(identity, spec.server, self._config.default_serving_image or "")
        return Target(revision=revision, resolution=Resolution(model=identity, key=key, hash=revision.hash))

    def _image_problem(self, spec: ModelDeploymentSpec) -> Problem | None:
        if spec.server.image is None and self._config.default_serving_image is None:
            message = "`server.image` must be specified: the operator's configuration has no defaultServingImage"
            return Problem(Reason.INVALID_SPEC, message)
        for image in _images(spec):
            if not self._config.allows_image(image):
                allowed = ", ".join(self._config.allowed_image_prefixes) or "none"
                message = f"image '{image}' begins with none of the allowed prefixes: {allowed}"
                return Problem(Reason.IMAGE_NOT_ALLOWED, message[:1024])
        return None

    async def _account_problem(self, key: Key, spec: ModelDeploymentSpec) -> Problem | None:
        name = spec.server.service_account_name
        if name is None:
            return None
        account = await self._api.get(SERVICE_ACCOUNT, key[0], name)
        if account is None:
            return Problem(Reason.REF_NOT_FOUND, f"there is no ServiceAccount '{name}' in namespace {key[0]}")
        if (account["metadata"].get("labels") or {}).get(LABEL_ALLOW_USE) != "true":
            message = f"ServiceAccount '{name}' is not labelled '{LABEL_ALLOW_USE}: \"true\"'"
            return Problem(Reason.REF_NOT_PERMITTED, message)
        return None

    def _use(self, key: Key, reference: Reference) -> None:
        if self._uses.get(key) == reference:
            return
        self.forget(key)
        self._uses[key] = reference
        if not self._users[reference]:
            self._queue.add(reference)
        self._users[reference].add(key)

    async def _look_up(self, reference: Reference) -> None:
        registry = reference.model.registry
        before = self._answers.get(reference, Answer())
        try:
            answer = Answer(model=await self._registries[registry].resolve(reference.model))
        except RegistryError as error:
            answer = Answer(model=before.model, error=error)
            self._telemetry.looked_up(registry, error.reason.value)
        except Exception:
            # A defect in reading one model's entry must not end the operator of all the others.
            logger.exception("a registry's answer could not be read", extra={"reference": reference.key})
            answer = Answer(before.model, RegistryError(Reason.REGISTRY_ERROR, "its answer could not be read"))
            self._telemetry.looked_up(registry, Reason.REGISTRY_ERROR.value)
        else:
            self._telemetry.looked_up(registry, "success")
        if reference in self._users:
            self._learn(reference, before, answer)
        self._queue.done(reference)

    def _learn(self, reference: Reference, before: Answer, answer: Answer) -> None:
        self._answers[reference] = answer
        poll_seconds = self._poll_seconds(reference.model)
        if answer.error is None:
            self._queue.succeeded(reference)
            self._queue.after(reference, poll_seconds * (0.9 + 0.2 * self._jitter()))
        elif self._queue.failed(reference) > poll_seconds:
            self._queue.after(reference, poll_seconds)
        if _says(before) != _says(answer):
            level = logging.INFO if answer.error is None else logging.WARNING
            logger.log(level, "registry answered", extra={"reference": reference.key, "answer": _says(answer)})
            for key in tuple(self._users[reference]):
                self._wake(key)

    def _poll_seconds(self, model: Model) -> float:
        found = self._config.registry(model.registry)
        seconds = found.poll_seconds if found is not None else 30.0
        return seconds if model.alias is not None else seconds * _VERSION_POLLS


def _code_problem(spec: ModelDeploymentSpec) -> Problem | None:
    """The pod of a check has the server's files, and the variables of its gate beside the server's.

    No rule of the CRD, which is too dear for a list within lists.
    """
    presets = [job for job in _jobs(spec) if job.preset is not None]
    if not spec.server.files or not any(makes_code(job.env or ()) for job in presets):
        return None
    message = f"{MAKE_CODE_TOLD} `preset` where the server has `files`: they make code of files"
    return Problem(Reason.INVALID_SPEC, message)


def _query_problem(key: Key, spec: ModelDeploymentSpec) -> Problem | None:
    """A query that may not be asked is told at once, and not when its step begins."""
    message = query_problem(*key, spec)
    return None if message is None else Problem(Reason.INVALID_SPEC, message[:1024])


def _says(answer: Answer) -> str:
    identity = answer.model.model_dump_json() if answer.model is not None else ""
    return f"{identity} {answer.error.reason.value}: {answer.error}" if answer.error is not None else identity


def _images(spec: ModelDeploymentSpec) -> list[str]:
    """Every image that the spec names."""
    return [image for image in (spec.server.image, *(job.image for job in _jobs(spec))) if image is not None]


def _jobs(spec: ModelDeploymentSpec) -> list[Job]:
    return [gate.job for step in spec.rollout.steps or () for gate in step.gates or () if gate.job is not None]
