"""How often each client may ask: a token bucket a client, in the form of one number (GCRA, ITU-T I.371).

The number is the moment at which the bucket is full again. A request moves it on by the time that one token takes; it
is refused where that would lie further ahead than a whole bucket takes to fill. A client whose moment has passed is as
good as new, so forgetting those that were silent longest changes nothing for anybody who keeps to the rate.
"""

from typing import Final

MOST_CLIENTS: Final = 10_000


class Rate:
    """Requests of each client: `burst` at once, `per_second` on average. Time is in seconds of any one clock."""

    def __init__(self, per_second: float, burst: float, most_clients: int = MOST_CLIENTS) -> None:
        self._token_seconds = 1 / per_second
        self._bucket_seconds = burst / per_second
        self._most_clients = most_clients
        self._full_at: dict[str, float] = {}

    def wait_seconds(self, client: str, now: float) -> float:
        """0 if the client may ask now, which takes a token; else in how many seconds it may."""
        full_at = max(self._full_at.pop(client, now), now) + self._token_seconds
        wait = full_at - now - self._bucket_seconds
        if wait > 1e-6:  # floating-point time: a token that is there but for a rounding error is there
            self._full_at[client] = full_at - self._token_seconds
            return wait
        self._full_at[client] = full_at
        if len(self._full_at) > self._most_clients:
            del self._full_at[next(iter(self._full_at))]
        return 0.0

    def __len__(self) -> int:
        return len(self._full_at)
