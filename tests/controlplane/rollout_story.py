"""Rollouts told as counters: what the pods of both revisions counted second by second, and what is asked about it."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from millgate.api.spec import Compare, ComparePreset, Gate, GateType, ModelDeploymentSpec, Query
from millgate.api.status import RolloutStatus, Stage, Status, StepRecord, Track
from millgate.evidence.reader import EvidenceRequest, evidence_request
from tests.controlplane.prometheus_process import NOON

SCRAPE_SECONDS = 5
INTERVAL_SECONDS = 10
CANDIDATE, STABLE = "r000000new", "r000000old"
BUCKETS = ("0.1", "0.25", "0.5", "1.0", "+Inf")
# Each story has a namespace and a stretch of time of its own, so that all can share one Prometheus.
_numbers = itertools.count()

Written = tuple[Mapping[str, str], list[tuple[float, float]]]


def errors_gate(**compare: object) -> Gate:
    return Gate(name="errors", type=GateType.COMPARE, compare=Compare(preset=ComparePreset.ERRORS, **compare))


def latency_gate(**compare: object) -> Gate:
    return Gate(name="latency", type=GateType.COMPARE, compare=Compare(preset=ComparePreset.LATENCY, **compare))


def query_gate(promql: str, *, at_most: str, name: str = "share") -> Gate:
    return Gate(name=name, type=GateType.QUERY, query=Query(promql=promql, max=at_most))


@dataclass(frozen=True)
class Behaviour:
    """How one pod answers. `error_share(t)`: the share that fails t seconds after the anchor."""

    requests_per_second: float
    error_share: Callable[[float], float] = lambda _: 0.0
    slow_share: float = 0.0
    from_second: float = -4000.0
    until_second: float = 1000.0
    late_error_series: bool = False


@dataclass
class Story:
    """A rollout whose first step with traffic began half a second before `anchor`."""

    gates: tuple[Gate, ...]
    steps: tuple[tuple[str, int, float], ...] = (("canary-10", 10, -0.5),)
    namespace: str = field(default_factory=lambda: f"story-{next(_numbers)}")
    anchor: int = NOON
    stage: Stage = Stage.STEPPING
    interval_seconds: int = INTERVAL_SECONDS

    def at(self, seconds: float) -> datetime:
        """`seconds` after the anchor."""
        return datetime.fromtimestamp(self.anchor, UTC) + timedelta(seconds=seconds)

    def status(self, seconds: float) -> Status:
        begun = [step for step in self.steps if step[2] <= seconds]
        records = tuple(
            StepRecord(name=name, weight_percent=weight, start_time=self.at(start)) for name, weight, start in begun
        )
        rollout = RolloutStatus(
            id=f"fraud-2-{CANDIDATE}",
            stage=self.stage,
            start_time=self.at(-30),
            stage_start_time=self.at(-30),
            step_name=records[-1].name if records else None,
            steps=records,
        )
        return Status(stable=track(STABLE), candidate=track(CANDIDATE), rollout=rollout)

    def request(self, seconds: float) -> EvidenceRequest:
        steps = [{"name": name, "weightPercent": weight} for name, weight, _ in self.steps]
        last = [] if steps and steps[-1]["weightPercent"] == 100 else [{"name": "all", "weightPercent": 100}]
        spec = ModelDeploymentSpec.model_validate(
            {
                "model": {"name": "fraud", "version": "2"},
                "rollout": {
                    "intervalSeconds": self.interval_seconds,
                    "steps": [*steps, *last],
                    "gates": [gate.model_dump(mode="json", by_alias=True, exclude_none=True) for gate in self.gates],
                },
            }
        )
        asked = evidence_request("uid", self.namespace, "fraud", spec, self.status(seconds))
        assert asked is not None
        return asked

    def counters(self, pods: Mapping[str, tuple[str, Behaviour]]) -> list[Written]:
        """What Prometheus would have scraped of the pods: {pod: (revision, behaviour)}."""
        return [series for pod, (revision, how) in pods.items() for series in self._pod(pod, revision, how)]

    def _pod(self, pod: str, revision: str, how: Behaviour) -> Iterator[Written]:
        own = {"namespace": self.namespace, "pod": pod, "revision": revision, "model": "fraud", "version": "2"}
        requests: list[tuple[float, float]] = []
        errors: list[tuple[float, float]] = []
        slow: list[tuple[float, float]] = []
        answered = failed = dragged = 0.0
        second = how.from_second
        while second <= how.until_second:
            moment = self.anchor + second
            requests.append((moment, float(int(answered))))
            if int(failed) > 0 or not how.late_error_series:
                errors.append((moment, float(int(failed))))
            slow.append((moment, float(int(dragged))))
            answered += how.requests_per_second * SCRAPE_SECONDS
            failed += how.requests_per_second * SCRAPE_SECONDS * how.error_share(second)
            dragged += how.requests_per_second * SCRAPE_SECONDS * how.slow_share
            second += SCRAPE_SECONDS
        yield {**own, "__name__": "millgate_requests_total", "code": "200"}, requests
        if errors:
            yield {**own, "__name__": "millgate_request_errors_total"}, errors
        yield {**own, "__name__": "millgate_request_duration_seconds_count"}, requests
        for le in BUCKETS:
            fast = [(moment, total - late) for (moment, total), (_, late) in zip(requests, slow, strict=True)]
            bucket = fast if le in ("0.1", "0.25") else requests
            yield {**own, "__name__": "millgate_request_duration_seconds_bucket", "le": le}, bucket


def track(revision: str) -> Track:
    return Track(revision=1, hash=revision, model_version="2", workload_name=f"fraud-{revision}")
