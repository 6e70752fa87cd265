"""JSON of what files hold: beside JSON's own values, the moments of Parquet, which come with nanoseconds."""

from typing import Any

import msgspec


def _written(value: Any) -> str:
    """A Timestamp of pandas is a datetime that msgspec does not know."""
    if hasattr(value, "isoformat"):
        text: str = value.isoformat()
        return text
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


encode = msgspec.json.Encoder(enc_hook=_written).encode
"""Raises TypeError, or ValueError, for what JSON cannot hold."""
