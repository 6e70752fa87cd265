"""API keys: which client a key belongs to. Only hashes are kept, and a key is found by its hash.

How long a lookup takes depends on the hash of what was sent, which tells nothing about any key (no early end of a
comparison of the keys themselves), and does not grow with the number of clients.
"""

import hashlib
from pathlib import Path
from typing import Final

SHORTEST_KEY: Final = 16
_HASHED = "sha256:"
_LONGEST_CLIENT = 64

Keys = dict[bytes, str]
"""Clients by the sha256 of their key."""


def read(file: Path) -> Keys:
    """One `client key` a line; a key as it is, or as `sha256:<64 hexadecimal digits>` of it. `#` begins a comment.

    A client may have several keys, so that one can be changed without a gap. An empty file lets nobody in.
    Raises ValueError that names the line, and never repeats it.
    """
    keys: Keys = {}
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            words = line.decode("ascii").split()
        except UnicodeDecodeError:
            raise ValueError(f"line {number}: only ASCII is allowed") from None
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2:
            raise ValueError(f"line {number}: a line is 'client key'")
        client, key = words
        if len(client) > _LONGEST_CLIENT:
            raise ValueError(f"line {number}: a client's name has at most {_LONGEST_CLIENT} characters")
        digest = _digest(key, number)
        if keys.setdefault(digest, client) != client:
            raise ValueError(f"line {number}: two clients have the same key")
    return keys


def client_of(keys: Keys, key: bytes) -> str | None:
    """None when it is nobody's key."""
    return keys.get(hashlib.sha256(key).digest())


def _digest(key: str, number: int) -> bytes:
    if key.startswith(_HASHED):
        text = key.removeprefix(_HASHED)
        try:
            digest = bytes.fromhex(text)
        except ValueError:
            digest = b""
        if len(digest) != hashlib.sha256().digest_size:
            raise ValueError(f"line {number}: a hashed key is {_HASHED}<64 hexadecimal digits>")
        return digest
    if len(key) < SHORTEST_KEY:
        raise ValueError(f"line {number}: a key needs at least {SHORTEST_KEY} characters")
    return hashlib.sha256(key.encode()).digest()
