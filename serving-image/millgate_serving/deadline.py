"""How long a request may take: the server's limit, which a client may shorten and never lengthen."""

import re
from typing import Final

from millgate_serving.asgi import Headers
from millgate_serving.refusal import Refusal

HEADER: Final = b"x-request-timeout-ms"
_WHOLE = re.compile(rb"[0-9]{1,9}")


def seconds_of(headers: Headers, limit_seconds: float) -> float:
    """Seconds from a complete request to its answer; infinity where there is no limit (0) and no wish.

    Raises Refusal 400.
    """
    limit = limit_seconds or float("inf")
    wish = headers.get(HEADER)
    if wish is None:
        return limit
    if not _WHOLE.fullmatch(wish) or int(wish) == 0:
        raise Refusal(400, f"{HEADER.decode()} must be whole milliseconds from 1 to 999999999")
    return min(int(wish) / 1000, limit)
