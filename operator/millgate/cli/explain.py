"""`kubectl millgate explain`: reads a rollout's status and its metrics, judges again, and prints how it went."""

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime

from millgate.cli.commands import CommandError, Options, connection, serialise, view_of
from millgate.cli.explain_jobs import told_by_jobs
from millgate.cli.explain_page import as_json, page
from millgate.cli.explain_replay import GateCourse, Past, ReplayError, past_of, replay
from millgate.cli.verbs import Exit
from millgate.cli.view import View
from millgate.evidence.reader import EvidenceReader
from millgate.sources.prometheus import Prometheus, authorisation


@dataclass(frozen=True)
class Question:
    """Which gate of which rollout, and where its metrics are."""

    name: str
    gate: str | None
    revision: int | None
    prometheus_url: str | None
    scrape_interval_seconds: float
    plot: bool


def explain(options: Options, question: Question) -> Exit:
    try:
        return asyncio.run(_explain(options, question))
    except ReplayError as error:
        raise CommandError(str(error)) from error


async def _explain(options: Options, question: Question) -> Exit:
    async with connection(options) as (api, namespace):
        view = await view_of(api, namespace, question.name)
    past = past_of(view, question.revision, datetime.now(UTC))
    told = told_by_jobs(past)
    enough = {course.name for course in told} | ({None} if told and question.prometheus_url is None else set())
    courses = told if question.gate in enough else (*told, *await _replayed(question, past))
    _show(options, view, past, _wanted(courses, question.gate), with_plot=question.plot)
    return Exit.OK


async def _replayed(question: Question, past: Past) -> tuple[GateCourse, ...]:
    if question.prometheus_url is None:
        raise CommandError("where is Prometheus? Give --prometheus URL, or set MILLGATE_PROMETHEUS_URL")
    metrics = Prometheus(question.prometheus_url, headers=authorisation(os.environ))
    try:
        return await replay(EvidenceReader(metrics, scrape_interval_seconds=question.scrape_interval_seconds), past)
    finally:
        metrics.close()


def _wanted(courses: tuple[GateCourse, ...], gate: str | None) -> tuple[GateCourse, ...]:
    if not courses:
        raise ReplayError("no gate of this rollout reads metrics or has a Job, or none has been looked at yet")
    found = tuple(course for course in courses if gate in (None, course.name))
    if not found:
        names = ", ".join(course.name for course in courses)
        raise ReplayError(f"no gate '{gate}' was judged in this rollout; there are: {names}")
    return found


def _show(options: Options, view: View, past: Past, courses: tuple[GateCourse, ...], *, with_plot: bool) -> None:
    if options.output in {"json", "yaml"}:
        print(serialise(as_json(view, past, courses), options.output))
    else:
        print(page(view, past, courses, options.style, with_plot=with_plot))
