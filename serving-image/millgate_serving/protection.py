"""The settings of what protects the server from its clients: who may ask, how often, how long and how many at once."""

from dataclasses import dataclass
from pathlib import Path

from millgate_serving.variables import Environment, invalid, number, path

_CALLS_IN_BATCHES = 16


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a JSON Web Token must be: signed by one of the keys, for this audience, and of issuer and scope if set."""

    keys_file: Path
    audience: str
    issuer: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files, read again when they change."""

    certificate_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Protection:
    """Without any variable set: nobody is asked who they are, no rate, a deadline, and a bounded queue.

    `rate_per_second` and `rate_burst` are requests of one client; 0 is no limit. `deadline_seconds` is from a complete
    request to its answer; 0 is none. A call of the model that is still running `stuck_seconds` after its deadline
    fails the liveness probe. `concurrency` calls of a slow model run at once while `queue` more wait; with batches
    (`max_batch_rows`) these are the requests that one call may gather.
    """

    api_keys_file: Path | None = None
    tokens: TokenRules | None = None
    tls: Tls | None = None
    rate_per_second: float = 0
    rate_burst: float = 1
    deadline_seconds: float = 30
    stuck_seconds: float = 60
    concurrency: int = 1
    queue: int = 64
    max_connections: int = 1000
    cache_bytes: int = 0
    max_batch_rows: int = 0


def read(environment: Environment) -> Protection:
    """Raises ServingError InvalidConfiguration that names the variable."""
    rate = number(environment, "MILLGATE_RATE_PER_SECOND", 0, 1e6)
    batch_rows = int(number(environment, "MILLGATE_MAX_BATCH_ROWS", 0, 100_000))
    calls = _CALLS_IN_BATCHES if batch_rows else 1
    return Protection(
        api_keys_file=path(environment, "MILLGATE_API_KEYS_FILE"),
        tokens=_tokens(environment),
        tls=_tls(environment),
        rate_per_second=rate,
        rate_burst=_at_least_one(environment, "MILLGATE_RATE_BURST", max(1.0, rate), 1e6),
        deadline_seconds=number(environment, "MILLGATE_DEADLINE_SECONDS", 30, 86400),
        stuck_seconds=number(environment, "MILLGATE_STUCK_SECONDS", 60, 86400),
        concurrency=int(_at_least_one(environment, "MILLGATE_CONCURRENCY", calls, 256)),
        queue=int(number(environment, "MILLGATE_QUEUE", 64, 100_000)),
        max_connections=int(_at_least_one(environment, "MILLGATE_MAX_CONNECTIONS", 1000, 1e6)),
        cache_bytes=int(number(environment, "MILLGATE_CACHE_BYTES", 0, 2**40)),
        max_batch_rows=batch_rows,
    )


def _tokens(environment: Environment) -> TokenRules | None:
    keys_file = path(environment, "MILLGATE_JWT_KEYS_FILE")
    if keys_file is None:
        return None
    audience = environment.get("MILLGATE_JWT_AUDIENCE", "")
    if not audience:  # else a token that somebody was given for another service would open this one
        raise invalid("MILLGATE_JWT_KEYS_FILE needs MILLGATE_JWT_AUDIENCE")
    return TokenRules(
        keys_file, audience, environment.get("MILLGATE_JWT_ISSUER", ""), environment.get("MILLGATE_JWT_SCOPE", "")
    )


def _tls(environment: Environment) -> Tls | None:
    certificate = path(environment, "MILLGATE_TLS_CERTIFICATE_FILE")
    key = path(environment, "MILLGATE_TLS_KEY_FILE")
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise invalid("MILLGATE_TLS_CERTIFICATE_FILE and MILLGATE_TLS_KEY_FILE must be set together")
    return Tls(certificate, key)


def _at_least_one(environment: Environment, variable: str, default: float, largest: float) -> float:
    value = number(environment, variable, default, largest)
    if value < 1:
        raise invalid(f"{variable} must be a number from 1 to {largest:g}")
    return value
