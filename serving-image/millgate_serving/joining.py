"""The rows of many requests as one array: most of what counting a few rows costs is numpy's calls."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def joined(arrays: Sequence[Any]) -> Any:
    """All rows as one array or list; None where they do not fit together."""
    if len(arrays) == 1:
        return arrays[0]
    if isinstance(arrays[0], list):
        return [row for rows in arrays for row in rows] if all(isinstance(rows, list) for rows in arrays) else None
    try:
        return np.concatenate(arrays)
    except ValueError:
        return None
