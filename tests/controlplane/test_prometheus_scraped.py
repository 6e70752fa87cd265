"""Verdicts while a real Prometheus scrapes: live reading agrees with reading again, and what vanishes is missed."""

import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from millgate.api.status import GateStatus
from millgate.evidence.reader import EvidenceReader
from millgate.sources.prometheus import Prometheus
from tests.controlplane.prometheus_process import SCRAPE_SECONDS, Page, PrometheusProcess
from tests.controlplane.rollout_story import CANDIDATE, STABLE, Story, errors_gate

DEADLINE_SECONDS = 40.0
TICK_SECONDS = 0.1


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    shown = Page()
    yield shown
    shown.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, page: Page) -> Iterator[PrometheusProcess]:
    process = PrometheusProcess(tmp_path_factory.mktemp("prometheus"), page)
    process.start()
    yield process
    process.stop()


class Pods:
    """One pod of each revision, counting as time goes by; the candidate's error series is born with its first error."""

    def __init__(self, page: Page, namespace: str) -> None:
        self._page = page
        self._namespace = namespace
        self._counted = {STABLE: [0, 0], CANDIDATE: [0, 0]}
        self.candidate_fails = False
        self.candidate_is_there = True

    async def run(self) -> None:
        while True:
            self.answer(STABLE, 20, 0)
            if self.candidate_is_there:
                self.answer(CANDIDATE, 5, 5 if self.candidate_fails else 0)
            await asyncio.sleep(TICK_SECONDS)

    def answer(self, revision: str, requests: int, errors: int) -> None:
        counted = self._counted[revision]
        counted[0] += requests
        counted[1] += errors
        own = {"namespace": self._namespace, "pod": revision, "revision": revision, "model": "fraud", "version": "2"}
        self._page.set("millgate_requests_total", counted[0], code="200", **own)
        if counted[1] or revision == STABLE:
            self._page.set("millgate_request_errors_total", counted[1], **own)

    def remove_candidate(self) -> None:
        """The pod is gone; when it comes back its counters begin at zero."""
        self.candidate_is_there = False
        self._counted[CANDIDATE] = [0, 0]
        self._page.drop(revision=CANDIDATE)


async def until(expected: tuple[str, str], story: Story, live: EvidenceReader, fresh: EvidenceReader) -> GateStatus:
    """Look at each point of the grid until the verdict is as expected; each look is held against a fresh process."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        now = datetime.now(UTC)
        request = story.request(now.timestamp() - story.anchor)
        (status,) = await live.judge(request, now)
        fresh.forget("uid")
        assert await fresh.judge(request, now) == (status,)
        if (status.verdict.value, status.reason) == expected:
            return status
        assert time.monotonic() < deadline, status
        await asyncio.sleep(max(0.0, request.next_look(datetime.now(UTC)).timestamp() - time.time()))


async def scraped(client: Prometheus, story: Story) -> None:
    """Both pods are known to Prometheus."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    promql = f'millgate_requests_total{{namespace="{story.namespace}"}}'
    while len(await client.query(promql, datetime.now(UTC))) < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(TICK_SECONDS)


async def test_a_rollout_is_followed_live_through_a_pass_a_lost_pod_and_a_fail(
    server: PrometheusProcess, page: Page
) -> None:
    story = Story(gates=(errors_gate(min_samples=50),), interval_seconds=1)
    pods = Pods(page, story.namespace)
    client = Prometheus(server.url, timeout_seconds=10)
    live, fresh = (EvidenceReader(client, scrape_interval_seconds=SCRAPE_SECONDS) for _ in range(2))
    counting = asyncio.create_task(pods.run())
    try:
        await scraped(client, story)
        story = replace(story, anchor=math.floor(time.time()))
        passed = await until(("Pass", "NotWorse"), story, live, fresh)
        assert passed.value == "0"

        pods.remove_candidate()
        missed = await until(("Inconclusive", "NoData"), story, live, fresh)
        assert "no fresh counters of the candidate" in missed.message

        pods.candidate_is_there = pods.candidate_fails = True
        failed = await until(("Fail", "WorseThanStable"), story, live, fresh)
        assert "failed" in failed.message
        assert failed.evidence == "100 %"
    finally:
        counting.cancel()
        client.close()
