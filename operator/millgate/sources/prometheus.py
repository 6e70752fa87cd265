"""Prometheus behind a small typed port: queries at explicit times, with a deadline, and errors that carry a reason."""

import asyncio
import base64
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from prometheus_api_client import PrometheusConnect
from urllib3.util.retry import Retry

from millgate.api.conditions import Reason
from millgate.sources.session import BoundedSession, HttpError, TooLargeError

TOKEN_VARIABLE = "MILLGATE_PROMETHEUS_TOKEN"
USER_VARIABLE = "MILLGATE_PROMETHEUS_USERNAME"
PASSWORD_VARIABLE = "MILLGATE_PROMETHEUS_PASSWORD"
MAX_POINTS = 5_000
"""Points of one range query. Prometheus refuses more than 11,000 a series."""
MAX_CONCURRENT_QUERIES = 8
MAX_RESPONSE_BYTES = 64 << 20


class MetricsError(Exception):
    """Prometheus could not be asked, or would not answer. Never a statement about the candidate."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and (Unix seconds, value) in the order of time. A scalar has no labels."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]


class Prometheus:
    """Reads from one Prometheus, or from whatever speaks its HTTP API.

    The client is synchronous, so it runs in threads of its own: a bounded number of them, so that a server that hangs
    costs threads and not the event loop. The deadline of a query counts from the call, the wait for a thread included.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 10.0,
        headers: Mapping[str, str] | None = None,
        max_concurrent_queries: int = MAX_CONCURRENT_QUERIES,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._url, credentials = _without_credentials(url)
        self._session = BoundedSession(max_response_bytes=max_response_bytes)
        self._client = PrometheusConnect(
            url=self._url,
            headers=dict(headers or {}),
            auth=credentials,
            session=self._session,
            retry=Retry(
                total=0, read=False
            ),  # the library's own policy blocks for 6 s on a 503 (facts/kopf.md, section 3)
        )
        self._threads = ThreadPoolExecutor(max_concurrent_queries, thread_name_prefix="prometheus")

    async def query(self, promql: str, at: datetime, *, lookback_seconds: int | None = None) -> tuple[Series, ...]:
        """An instant query at an explicit time. `lookback_seconds` bounds how old a sample may be.

        Raises MetricsError.
        """
        params: dict[str, Any] = {"time": f"{at.timestamp():.3f}"}
        if lookback_seconds is not None:
            params["lookback_delta"] = f"{lookback_seconds}s"

        def ask(remaining: float) -> Any:
            return self._client.custom_query(
                promql, params={**params, "timeout": f"{remaining:.3f}"}, timeout=remaining
            )

        return _series(await self._in_thread(ask))

    async def query_range(self, promql: str, start: int, end: int, step_seconds: int) -> tuple[Series, ...]:
        """A range query at the points start, start + step, … up to end (Unix seconds, both included).

        It is asked in parts where it has more points than Prometheus gives at once. Raises MetricsError.
        """
        parts = []
        for first, last in _parts(start, end, step_seconds):
            parts.append(_series(await self._in_thread(self._range_query(promql, first, last, step_seconds))))
        return _joined(parts)

    def _range_query(self, promql: str, first: int, last: int, step_seconds: int) -> Callable[[float], Any]:
        def ask(remaining: float) -> Any:
            return self._client.custom_query_range(
                promql,
                start_time=datetime.fromtimestamp(first, UTC),
                end_time=datetime.fromtimestamp(last, UTC),
                step=str(step_seconds),
                params={"timeout": f"{remaining:.3f}"},
                timeout=remaining,
            )

        return ask

    def close(self) -> None:
        """Give up the threads. A query that is under way ends by its deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    def _too_slow(self) -> str:
        return f"{self._url} did not answer within {self._timeout_seconds:g} s"

    async def _in_thread(self, ask: Callable[[float], Any]) -> Any:
        deadline = time.monotonic() + self._timeout_seconds

        def within_deadline() -> Any:
            return ask(max(0.001, deadline - time.monotonic()))

        try:
            future = asyncio.get_running_loop().run_in_executor(self._threads, within_deadline)
            return await asyncio.wait_for(future, self._timeout_seconds)
        except (TimeoutError, requests.exceptions.Timeout) as error:
            raise MetricsError(Reason.METRICS_UNAVAILABLE, self._too_slow()) from error
        except HttpError as error:
            raise _refusal(error, self._url) from error
        except TooLargeError as error:
            raise MetricsError(Reason.METRICS_UNAVAILABLE, f"the answer of {self._url} has {error}") from error
        except (JSONDecodeError, KeyError, TypeError) as error:
            message = f"{self._url} answered with something that is not Prometheus' API: is the URL right?"
            raise MetricsError(Reason.METRICS_UNAVAILABLE, message) from error
        except requests.exceptions.RequestException as error:
            # What times out while the body is read comes as a connection that was lost.
            slow = "timed out" in str(error)
            message = self._too_slow() if slow else f"{self._url} cannot be reached: {_cause(error)}"
            raise MetricsError(Reason.METRICS_UNAVAILABLE, message) from error


def authorisation(env: Mapping[str, str]) -> dict[str, str]:
    """The header with the credentials of Prometheus that the environment holds, if it holds any."""
    token = env.get(TOKEN_VARIABLE)
    if token:
        return {"Authorization": f"Bearer {token}"}
    user = env.get(USER_VARIABLE)
    if user:
        pair = f"{user}:{env.get(PASSWORD_VARIABLE, '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _without_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    """The URL that may be shown to people, and the credentials that stood in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    bare = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    credentials = (parts.username, parts.password or "") if parts.username else None
    return bare, credentials


def _refusal(error: HttpError, url: str) -> MetricsError:
    said = " ".join(error.body.split())[:300]
    status = error.status
    if status == requests.codes.forbidden and "host" in said.lower() and "invalid" in said.lower():
        message = f"{url} refuses the Host header that its own address gives: allow it there ({said})"
        return MetricsError(Reason.METRICS_HOST_REFUSED, message)
    if status in (requests.codes.unauthorized, requests.codes.forbidden) or 300 <= status < 400:
        message = f"{url} wants other credentials than the operator has (HTTP {status}: {said})"
        return MetricsError(Reason.METRICS_UNAUTHORISED, message)
    if status in (requests.codes.bad_request, requests.codes.unprocessable_entity):
        return MetricsError(Reason.QUERY_REFUSED, f"{url} refuses the query (HTTP {status}: {said})")
    return MetricsError(Reason.METRICS_UNAVAILABLE, f"{url} answered HTTP {status}: {said}")


def _cause(error: BaseException) -> str:
    """The innermost fact of a chain of wrapped errors: 'Connection refused', not the name of a pool."""
    text = str(error)
    for phrase in ("Name or service not known", "Temporary failure in name resolution", "No address associated"):
        if phrase in text:
            return "its name cannot be resolved"
    for phrase in ("Connection refused", "Connection reset", "No route to host", "Network is unreachable"):
        if phrase in text:
            return phrase.lower()
    return type(error).__name__


def _parts(start: int, end: int, step_seconds: int) -> Sequence[tuple[int, int]]:
    points = range(start, end + 1, step_seconds)
    chunks = [points[index : index + MAX_POINTS] for index in range(0, len(points), MAX_POINTS)]
    return [(chunk[0], chunk[-1]) for chunk in chunks]


def _series(result: Any) -> tuple[Series, ...]:
    """The typed form of `data.result`: of a vector, a matrix, or a scalar's pair."""
    try:
        if len(result) == 2 and isinstance(result[0], int | float):
            return (Series({}, (_sample(result),)),)
        return tuple(
            Series(one["metric"], tuple(_sample(pair) for pair in one.get("values") or [one["value"]]))
            for one in result
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        message = "the answer has no numbers in it: native histograms and strings cannot be judged"
        raise MetricsError(Reason.QUERY_REFUSED, message) from error


def _sample(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def _joined(parts: Sequence[tuple[Series, ...]]) -> tuple[Series, ...]:
    if len(parts) == 1:
        return parts[0]
    samples: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for series in (one for part in parts for one in part):
        samples.setdefault(tuple(sorted(series.labels.items())), []).extend(series.samples)
    return tuple(Series(dict(labels), tuple(found)) for labels, found in samples.items())
