"""An HTTP session that keeps its word: one deadline for the whole answer, a bound on its size, no redirects."""

import time
from typing import Any

import requests

CHUNK_BYTES = 1 << 16
LONGEST_IN_URL = 2_000
"""Characters of a query that may stand in a URL; many a proxy cuts or refuses longer ones."""


class HttpError(Exception):
    """An answer other than 200. The body is what the server said, cut to a readable length."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body


class TooLargeError(Exception):
    """The answer is larger than the caller is willing to hold in memory."""


class BoundedSession(requests.Session):
    """Gives whole answers or raises; `requests` itself limits neither the time nor the size of a body that trickles in.

    The `timeout` of a request is the deadline for all of it, in seconds.
    """

    def __init__(self, *, max_response_bytes: int) -> None:
        super().__init__()
        self.max_response_bytes = max_response_bytes

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        deadline = time.monotonic() + kwargs["timeout"]
        kwargs.update(stream=True, allow_redirects=False)  # a redirect leads to a login page, or out of the cluster
        if kwargs.get("method") == "GET" and len((kwargs.get("params") or {}).get("query", "")) > LONGEST_IN_URL:
            kwargs |= {"method": "POST", "data": kwargs["params"], "params": None}
        with super().request(*args, **kwargs) as response:
            body = self._read(response, deadline)
        if response.status_code != requests.codes.ok:
            raise HttpError(response.status_code, body[:2048].decode(errors="replace"))
        response._content = body  # noqa: SLF001 - how requests itself stores a body that was streamed
        return response

    def _read(self, response: requests.Response, deadline: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in response.iter_content(CHUNK_BYTES):
            size += len(part)
            if size > self.max_response_bytes:
                raise TooLargeError(f"more than {self.max_response_bytes:,} bytes")
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout("the answer came too slowly")
            parts.append(part)
        return b"".join(parts)
