"""Reading one environment variable of a certain kind, or saying which one is wrong and what it may be."""

from collections.abc import Mapping
from pathlib import Path

from millgate_serving.failure import Reason, ServingError

Environment = Mapping[str, str]


def invalid(message: str) -> ServingError:
    return ServingError(Reason.INVALID_CONFIGURATION, message)


def flag(environment: Environment, variable: str) -> bool:
    """False unless set. Raises ServingError InvalidConfiguration for anything but true and false."""
    text = environment.get(variable) or "false"
    if text not in {"true", "false"}:
        raise invalid(f"{variable} must be true or false")
    return text == "true"


def number(environment: Environment, variable: str, default: float, largest: float) -> float:
    """From 0 to `largest`. Raises ServingError InvalidConfiguration for anything else."""
    text = environment.get(variable, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1
    if not 0 <= value <= largest:
        raise invalid(f"{variable} must be a number from 0 to {largest:g}")
    return value


def path(environment: Environment, variable: str) -> Path | None:
    text = environment.get(variable, "")
    return Path(text) if text else None
