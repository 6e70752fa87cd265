"""Who may ask for a prediction, and how often: the first thing that happens to a request, before its body is read."""

import math
import time
from collections.abc import Callable
from typing import Final

from millgate_serving import deadline, keys, tokens
from millgate_serving.asgi import Headers, Message
from millgate_serving.mounted import Mounted
from millgate_serving.overload import Overload
from millgate_serving.protection import Protection
from millgate_serving.rate import Rate
from millgate_serving.refusal import Refusal

_CHALLENGE: Final = ((b"www-authenticate", b"Bearer"),)
_BEARER: Final = b"bearer "
_TOKEN_BEGINS: Final = b"eyJ"  # base64 of `{"`, with which the header of every JSON Web Token begins


class Admission:
    """Raises ServingError InvalidConfiguration when a mounted file cannot be read."""

    def __init__(self, protection: Protection, overload: Overload, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._overload = overload
        self._limit_seconds = protection.deadline_seconds
        self._https_only = protection.tls is not None
        self._rate: Rate | None = None
        if protection.rate_per_second:
            self._rate = Rate(protection.rate_per_second, protection.rate_burst)
        self._keys: Mounted[keys.Keys] | None = None
        if protection.api_keys_file is not None:
            file = protection.api_keys_file
            self._keys = Mounted("API keys", (file,), lambda: keys.read(file))
        self._tokens: Mounted[tokens.Tokens] | None = None
        if protection.tokens is not None:
            rules = protection.tokens
            self._tokens = Mounted(
                "keys of tokens", (rules.keys_file,), lambda: tokens.Tokens(rules, tokens.read(rules.keys_file))
            )
        self._asks_who = self._keys is not None or self._tokens is not None
        self.open = not self._asks_who and not self._https_only and self._rate is None
        """Whoever comes is let in."""

    def refresh(self) -> None:
        """Called every few seconds: what is mounted may have been changed."""
        for mounted in (self._keys, self._tokens):
            if mounted is not None:
                mounted.refresh()

    def admit(self, scope: Message, headers: Headers) -> str:
        """The client's name, empty where nobody is asked. Raises Refusal 400, 401, 403, 429 or 503."""
        self._overload.check(crowded=scope["state"]["crowded"])
        if self._https_only and scope["scheme"] != "https":
            raise Refusal(403, "predictions are answered over https only", reason="Forbidden")
        if deadline.HEADER in headers:
            deadline.seconds_of(headers, self._limit_seconds)
        client = self._client(headers) if self._asks_who else ""
        if self._rate is not None:
            self._check_rate(self._rate, client or _peer(scope), self._clock())
        return client

    def _client(self, headers: Headers) -> str:
        key = headers.get(b"x-api-key", b"")
        sent = headers.get(b"authorization", b"")
        if not key and sent[: len(_BEARER)].lower() == _BEARER:
            key = sent[len(_BEARER) :].strip()
            if self._tokens is not None and (self._keys is None or key.startswith(_TOKEN_BEGINS)):
                return self._tokens.current.client_of(key, time.time())
        if not key or self._keys is None:
            raise Refusal(401, f"credentials are needed: {self._ways()}", _CHALLENGE, "Unauthenticated")
        client = keys.client_of(self._keys.current, key)
        if client is None:
            raise Refusal(401, "the API key is not known", _CHALLENGE, "Unauthenticated")
        return client

    def _ways(self) -> str:
        ways = []
        if self._keys is not None:
            ways.append("an API key as 'authorization: Bearer …' or 'x-api-key: …'")
        if self._tokens is not None:
            ways.append("a JSON Web Token as 'authorization: Bearer …'")
        return ", or ".join(ways)

    def _check_rate(self, rate: Rate, client: str, now: float) -> None:
        wait = rate.wait_seconds(client, now)
        if wait:
            after = (b"retry-after", b"%d" % max(1, math.ceil(wait)))
            raise Refusal(429, "too many requests of this client", (after,), "RateLimited")


def _peer(scope: Message) -> str:
    """The address that the connection comes from: behind a gateway that is the gateway's."""
    client = scope["client"]
    return client[0] if client else ""
