"""What tests of evidence share: a client that counts its questions, fresh readers, and pods that behave."""

from dataclasses import dataclass, field
from datetime import datetime

from millgate.api.spec import Compare, Gate, GateType
from millgate.api.status import GateStatus
from millgate.evidence.reader import EvidenceReader
from millgate.sources.prometheus import Prometheus, Series
from tests.controlplane.rollout_story import SCRAPE_SECONDS, Behaviour, Story


@dataclass
class Counting:
    """The client of Prometheus, with a note of each question."""

    client: Prometheus
    asked: list[str] = field(default_factory=list)

    async def query(self, promql: str, at: datetime, *, lookback_seconds: int | None = None) -> tuple[Series, ...]:
        self.asked.append(promql)
        return await self.client.query(promql, at, lookback_seconds=lookback_seconds)

    async def query_range(self, promql: str, start: int, end: int, step_seconds: int) -> tuple[Series, ...]:
        self.asked.append(promql)
        return await self.client.query_range(promql, start, end, step_seconds)


def reader(metrics: Counting | Prometheus) -> EvidenceReader:
    """A fresh process: it knows nothing."""
    return EvidenceReader(metrics, scrape_interval_seconds=SCRAPE_SECONDS)


def said(status: GateStatus) -> tuple[str, str]:
    return status.verdict.value, status.reason


async def judge(metrics: Counting | Prometheus, story: Story, seconds: float) -> tuple[GateStatus, ...]:
    """What a fresh process says at `seconds` after the anchor."""
    return await reader(metrics).judge(story.request(seconds), story.at(seconds))


def gate(name: str, **compare: object) -> Gate:
    return Gate(name=name, type=GateType.COMPARE, compare=Compare(**compare))


def steady(share: float) -> Behaviour:
    return Behaviour(requests_per_second=50, error_share=lambda _: share)


def candidate(share: float, **more: object) -> Behaviour:
    return Behaviour(requests_per_second=10, error_share=lambda _: share, from_second=-20, **more)
