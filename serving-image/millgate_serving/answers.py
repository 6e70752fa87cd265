"""Answers that were given before, for requests that are the same to the byte: off unless it is configured.

A model whose answer depends on more than its input (the time, chance) must not be served with it.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final, Generic, TypeVar

import numpy as np

from millgate_serving.engine import Outputs
from millgate_serving.validation import Arrays

# About what Python adds to an entry, and to each byte of JSON that stands for objects of its own.
_ENTRY_BYTES: Final = 2000
_OBJECT_FACTOR: Final = 8
_LARGEST_SHARE: Final = 0.1

Asked = TypeVar("Asked")


class Answers(Generic[Asked]):
    """The most recently asked ones, in at most so many bytes, give or take what Python adds. Any thread may call it."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = Lock()
        self._kept: OrderedDict[bytes, tuple[Asked, Outputs, int]] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    @staticmethod
    def key(protocol: str, headers: Mapping[bytes, bytes], body: bytes) -> bytes:
        """What an answer depends on: the body, and how it is to be read."""
        length = headers.get(b"inference-header-content-length", b"")
        return hashlib.sha256(body).digest() + protocol.encode() + b" " + length

    def get(self, key: bytes) -> tuple[Asked, Outputs] | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self.misses += 1
                return None
            self.hits += 1
            self._kept.move_to_end(key)
            return found[0], found[1]

    def keep(self, key: bytes, asked: Asked, arrays: Arrays, outputs: Outputs, text_bytes: int) -> None:
        """`text_bytes` are those of request and answer: what arrays of objects and lists stand for."""
        size = _ENTRY_BYTES + _size(arrays, text_bytes) + _size([values for _, values in outputs], text_bytes)
        if size > self._limit_bytes * _LARGEST_SHARE:
            return
        with self._lock:
            replaced = self._kept.pop(key, None)
            self._kept[key] = asked, outputs, size
            self.bytes += size - (replaced[2] if replaced else 0)
            while self.bytes > self._limit_bytes:
                _, (_, _, evicted) = self._kept.popitem(last=False)
                self.bytes -= evicted


def _size(arrays: list[Any], text_bytes: int) -> int:
    numbers = sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
    objects = any(not isinstance(array, np.ndarray) or array.dtype == object for array in arrays)
    return int(numbers) + (text_bytes * _OBJECT_FACTOR if objects else 0)
