"""Does an object of the cluster hold what Millgate wants of it already? Then nothing is written: promise `quiet`."""

from typing import Any

# A selector belongs to one writer as a whole: one with a label more selects other pods.
_WHOLE = frozenset({"selector"})


def holds(wanted: Any, found: Any) -> bool:
    """True when `found` has everything that `wanted` names. What others (and the server's defaults) add is theirs."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            key in found and (found[key] == value if key in _WHOLE else holds(value, found[key]))
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and all(any(holds(item, other) for other in found) for item in wanted)
    return bool(wanted == found)
