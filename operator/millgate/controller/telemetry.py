"""The operator's own metrics, as Prometheus reads them from /metrics."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from millgate import __version__
from millgate.api.status import Status, Verdict
from millgate.kube.api import Call
from millgate.kube.queue import WorkQueue

Key = tuple[str, str]  # namespace, name of a ModelDeployment

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_IDLE = "Idle"
_VERDICTS = {Verdict.PASS: 1.0, Verdict.FAIL: -1.0, Verdict.INCONCLUSIVE: 0.0, Verdict.PENDING: 0.0}


class Telemetry:
    """Counts what the operator does. It holds figures of ModelDeployments, never the objects."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        own = self.registry
        Gauge("millgate_build_info", "The version of Millgate; always 1.", ["version"], registry=own).labels(
            __version__
        ).set(1)
        self._reconciles = Counter(
            "millgate_reconciles", "Reconciles of ModelDeployments by result.", ["result"], registry=own
        )
        for result in ("success", "conflict", "error"):
            self._reconciles.labels(result)
        self._seconds = Histogram(
            "millgate_reconcile_duration_seconds", "How long a reconcile took.", buckets=_SECONDS, registry=own
        )
        self._writes = Counter(
            "millgate_actions",
            "Actions of plans that were performed, by kind and result.",
            ["action", "result"],
            registry=own,
        )
        self._status_writes = Counter("millgate_status_writes", "Writes of a status.", registry=own)
        self._hints = Counter(
            "millgate_watch_hints", "Watch events that put a key on the queue.", ["kind"], registry=own
        )
        self._leader = Gauge("millgate_leader", "1 while this process holds the lease.", registry=own)
        self._leader.set(0)
        self._calls = Histogram(
            "millgate_api_request_duration_seconds",
            "Requests to the API server; code 0 had no answer.",
            ["verb", "kind", "code"],
            buckets=_SECONDS,
            registry=own,
        )
        self._lookups = Counter(
            "millgate_registry_lookups",
            "Questions to model registries by result.",
            ["registry", "result"],
            registry=own,
        )
        self._looks = Counter(
            "millgate_evidence_reads", "Readings of a step's evidence by result.", ["result"], registry=own
        )
        self._rollouts = _Rollouts()
        own.register(self._rollouts)

    def watch_queue(self, queue: WorkQueue[Key]) -> None:
        """Depth and age are read from the queue itself, at each scrape."""
        self.registry.register(_QueueFigures(queue))

    def reconciled(self, result: str, seconds: float) -> None:
        self._reconciles.labels(result).inc()
        self._seconds.observe(seconds)

    def performed(self, action: str, result: str) -> None:
        self._writes.labels(action, result).inc()

    def status_written(self) -> None:
        self._status_writes.inc()

    def hinted(self, kind: str) -> None:
        self._hints.labels(kind).inc()

    def leads(self, *, leading: bool) -> None:
        self._leader.set(1 if leading else 0)

    def called(self, call: Call) -> None:
        self._calls.labels(call.verb, call.kind, str(call.status)).observe(call.seconds)

    def looked_up(self, registry: str, result: str) -> None:
        self._lookups.labels(registry, result).inc()

    def evidence_read(self, result: str) -> None:
        self._looks.labels(result).inc()

    def show(self, key: Key, status: Status) -> None:
        self._rollouts.show(key, status)

    def forget(self, key: Key) -> None:
        self._rollouts.forget(key)

    def known(self) -> set[Key]:
        """The ModelDeployments that were reconciled and not forgotten since."""
        return self._rollouts.keys()

    def in_flight(self, key: Key) -> bool:
        """A rollout of it was in flight, or its warm revision was kept, when it was reconciled last."""
        return self._rollouts.in_flight(key)

    def page(self) -> bytes:
        return generate_latest(self.registry)


class _Rollouts(Collector):
    """Where each ModelDeployment stands. Built at a scrape, so that a series of a past stage cannot linger."""

    def __init__(self) -> None:
        self._stands: dict[Key, tuple[str, str, bool]] = {}
        self._gates: dict[Key, tuple[tuple[str, str, str], ...]] = {}

    def show(self, key: Key, status: Status) -> None:
        ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
        stage = status.rollout.stage.value if status.rollout else _IDLE
        self._stands[key] = (stage, ready.reason if ready else "", ready is not None and ready.status == "True")
        if status.rollout and status.gates:
            self._gates[key] = tuple((gate.name, gate.step, gate.verdict.value) for gate in status.gates)
        else:
            self._gates.pop(key, None)

    def forget(self, key: Key) -> None:
        self._stands.pop(key, None)
        self._gates.pop(key, None)

    def in_flight(self, key: Key) -> bool:
        return self._stands.get(key, (_IDLE,))[0] != _IDLE

    def keys(self) -> set[Key]:
        return set(self._stands)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        info = GaugeMetricFamily(
            "millgate_rollout_info",
            "The stage of each ModelDeployment and the reason of its Ready condition; always 1.",
            labels=["namespace", "name", "stage", "reason"],
        )
        ready = GaugeMetricFamily(
            "millgate_modeldeployment_ready", "1 when Ready is True.", labels=["namespace", "name"]
        )
        for key, (stage, reason, is_ready) in self._stands.items():
            info.add_metric([*key, stage, reason], 1.0)
            ready.add_metric([*key], 1.0 if is_ready else 0.0)
        verdict = GaugeMetricFamily(
            "millgate_gate_verdict",
            "The newest verdict of each gate of a step in hand: 1 pass, 0 cannot tell, -1 fail.",
            labels=["namespace", "name", "gate", "step"],
        )
        for key, gates in self._gates.items():
            for gate, step, said in gates:
                verdict.add_metric([*key, gate, step], _VERDICTS[Verdict(said)])
        return [info, ready, verdict]


class _QueueFigures(Collector):
    def __init__(self, queue: WorkQueue[Key]) -> None:
        self._queue = queue

    def collect(self) -> Iterable[GaugeMetricFamily]:
        state = self._queue.state()
        return [
            GaugeMetricFamily("millgate_queue_depth", "Keys that wait to be taken.", value=state.ready),
            GaugeMetricFamily("millgate_queue_busy", "Keys that are worked on.", value=state.busy),
            GaugeMetricFamily(
                "millgate_queue_oldest_seconds",
                "How long the oldest waiting key has waited.",
                value=state.oldest_seconds,
            ),
        ]
