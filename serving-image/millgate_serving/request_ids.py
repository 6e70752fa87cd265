"""The name of a request in answers, logs and feedback: the client's own where it sent one, else one of ours."""

import itertools
import secrets

from millgate_serving.asgi import Headers

HEADER = b"x-request-id"
_LONGEST = 128


class RequestIds:
    """Ours are a random prefix of the process and a counter, which costs nothing; no two pods share a prefix."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    def of(self, headers: Headers) -> str:
        """The client's `x-request-id` if it is 1 to 128 printable ASCII characters: it comes back as a header."""
        given = headers.get(HEADER, b"")
        if 0 < len(given) <= _LONGEST and given.isascii():
            text = given.decode()
            if text.isprintable():
                return text
        return f"{self._prefix}-{next(self._numbers):x}"
