"""Is the candidate slower than stable under the same open-loop load, turn by turn on the same cores?"""

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack

import uvloop

from millgate_serving.checks import bodies, interval
from millgate_serving.checks.interval import Interval
from millgate_serving.checks.local_server import LocalServer, running
from millgate_serving.checks.open_loop import Block, Generator
from millgate_serving.checks.options import LatencyOptions
from millgate_serving.checks.subject import Subjects
from millgate_serving.checks.verdict import (
    CheckReason,
    Finding,
    at_most,
    cannot_tell,
    failed,
    ratio_at_most,
    reason_of,
    together,
)

_PEAKS = 2  # load that a release has to stand: twice the peak of a pod
_LEAST_RATE_PER_SECOND = 100.0
_PAIRS = 20  # of blocks: with 20 ratios the sixth and the fifteenth bound the median, at 2.1 % a side
_WARM_UP_SECONDS = 1.0
_ON_TIME = 0.95  # of the planned rate

Blocks = dict[str, list[Block]]


def check(subjects: Subjects, options: LatencyOptions) -> Finding:
    """Both servers run on one core and are asked in turns, A B B A …, so that whatever slows the node slows both."""
    if options.max_seconds is None:
        subjects.reference()
    versions = [subjects.candidate, *([subjects.stable] if subjects.stable else [])]
    rate = _rate(options)
    seconds = options.duration_seconds / 2 / _PAIRS
    planned = round(rate * seconds) * _PAIRS
    if planned < options.min_samples:
        message = (
            f"{options.duration_seconds:g} s at {rate:g} requests a second are {planned} requests to each, fewer than "
            f"the {options.min_samples} that are asked for"
        )
        raise cannot_tell(CheckReason.TOO_FEW_SAMPLES, message)
    asked = bodies.of(subjects, options.data)
    servers_on, own = _cores()
    with ExitStack() as stack:
        servers = [stack.enter_context(running(version, servers_on)) for version in versions]
        before = os.sched_getaffinity(0)
        stack.callback(os.sched_setaffinity, 0, before)
        os.sched_setaffinity(0, own)
        blocks = uvloop.run(_measured(servers, asked, rate, seconds))
    return _judged(blocks, options, rate)


def _rate(options: LatencyOptions) -> float:
    if options.rate_per_second is not None:
        return options.rate_per_second
    return max(_LEAST_RATE_PER_SECOND, _PEAKS * (options.peak_requests_per_second or 0))


def _cores() -> tuple[frozenset[int], frozenset[int]]:
    """One core for both servers, and the others, if there are any, for the generator."""
    cores = sorted(os.sched_getaffinity(0))
    return frozenset(cores[:1]), frozenset(cores[1:] or cores)


async def _measured(servers: Sequence[LocalServer], asked: Sequence[bytes], rate: float, seconds: float) -> Blocks:
    """The blocks of each role. Ends the check when a server dies."""
    generators = {server.subject.role: Generator(server.port, asked) for server in servers}
    blocks: Blocks = {role: [] for role in generators}
    roles = list(generators)
    try:
        for generator in generators.values():
            await generator.run(rate, _WARM_UP_SECONDS)
        for pair in range(_PAIRS):
            for role in roles if pair % 2 == 0 else reversed(roles):
                blocks[role].append(await generators[role].run(rate, seconds))
    except OSError as error:
        for server in servers:
            server.check_alive()
        message = f"a server of this check cannot be reached: {error.strerror}"
        raise cannot_tell(CheckReason.NOT_MEASURABLE, message) from error
    finally:
        for generator in generators.values():
            generator.close()
    for server in servers:
        server.check_alive()
    return blocks


def _judged(blocks: Blocks, options: LatencyOptions, rate: float) -> Finding:
    candidate, stable = blocks["candidate"], blocks.get("stable", [])
    _check_load(candidate, stable, rate)
    findings = []
    if stable:
        findings.append(_compared(candidate, stable, options, rate))
    if options.max_seconds is not None:
        findings.append(_bounded(candidate, options.max_seconds, options, rate))
    return together(findings)


def _check_load(candidate: Sequence[Block], stable: Sequence[Block], rate: float) -> None:
    """Ends the check when the figures would not be those of the load that was asked for."""
    failures = sum(block.server_errors for block in candidate)
    total = sum(block.planned for block in candidate)
    if failures:
        message = f"the candidate's server answered {failures} of {total} requests with an error of its own"
        raise failed(CheckReason.MODEL_RAISED, message)
    if any(block.server_errors or block.client_errors for block in stable):
        message = "the stable version does not answer these requests: rows that both versions know are needed"
        raise cannot_tell(CheckReason.STABLE_UNAVAILABLE, message)
    if any(block.client_errors for block in candidate):
        raise cannot_tell(CheckReason.DATA_INVALID, "the candidate refuses these requests as wrong")
    every = (*candidate, *stable)
    reached = sum(block.planned for block in every) / sum(block.sending_seconds for block in every)
    if reached < rate * _ON_TIME:
        message = f"only {reached:.0f} of {rate:g} requests a second could be sent: give the Job more cores"
        raise cannot_tell(CheckReason.LOAD_NOT_REACHED, message)


def _compared(candidate: Sequence[Block], stable: Sequence[Block], options: LatencyOptions, rate: float) -> Finding:
    """The median over pairs of neighbouring blocks: a stretch in which the node was busy is one pair of many."""
    ours, theirs = _quantiles(candidate, options.quantile), _quantiles(stable, options.quantile)
    ratio = interval.median_of([a / b for a, b in zip(ours, theirs, strict=True)], options.alpha)
    name = _name(options.quantile)
    quick, slow = _overall(stable, options.quantile), _overall(candidate, options.quantile)
    message = (
        f"{name} is {ratio.value:.2f} times stable's ({100 - 200 * options.alpha:g} % interval: {ratio.low:.2f} to "
        f"{ratio.high:.2f}), {options.max_ratio:g} is allowed: {_ms(slow)} against {_ms(quick)} at {rate:g} requests a "
        f"second{_overloaded(candidate)}"
    )
    figures = {
        "candidateSeconds": slow,
        "stableSeconds": quick,
        "candidateMedianSeconds": _overall(candidate, 0.5),
        "stableMedianSeconds": _overall(stable, 0.5),
        "ratePerSecond": rate,
        "requests": sum(block.planned for block in candidate),
        "refused": sum(block.refused + block.unanswered for block in candidate),
    }
    return ratio_at_most(ratio, options.max_ratio, message, figures)


def _bounded(candidate: Sequence[Block], bound: float, options: LatencyOptions, rate: float) -> Finding:
    latencies = [latency for block in candidate for latency in block.latencies]
    found: Interval = interval.quantile_of(latencies, options.quantile, options.alpha)
    verdict = at_most(found, bound)
    message = (
        f"{_name(options.quantile)} is {_ms(found.value)} ({100 - 200 * options.alpha:g} % interval: {_ms(found.low)} "
        f"to {_ms(found.high)}) at {rate:g} requests a second, {_ms(bound)} is allowed{_overloaded(candidate)}"
    )
    figures = {
        "candidateSeconds": found.value,
        "candidateSecondsLow": found.low,
        "candidateSecondsHigh": found.high,
        "maxSeconds": bound,
        "ratePerSecond": rate,
        "requests": len(latencies),
    }
    return Finding(verdict, message, reason_of(verdict), "candidateSeconds", figures)


def _quantiles(blocks: Sequence[Block], quantile: float) -> list[float]:
    return [interval.nearest_rank(sorted(block.latencies), quantile) for block in blocks]


def _overall(blocks: Sequence[Block], quantile: float) -> float:
    return interval.nearest_rank(sorted(latency for block in blocks for latency in block.latencies), quantile)


def _overloaded(blocks: Sequence[Block]) -> str:
    refused = sum(block.refused + block.unanswered for block in blocks)
    return f"; {refused} requests to the candidate got no answer or 503" if refused else ""


def _name(quantile: float) -> str:
    return f"p{100 * quantile:g}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms" if math.isfinite(seconds) else "unknown"
