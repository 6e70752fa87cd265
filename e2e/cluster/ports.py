"""Picks loopback ports for a control plane."""

import random
import socket
from collections.abc import Callable

# Below the range from which the kernel gives ports to clients: nobody is handed ours while a component restarts.
LOWEST, HIGHEST = 18000, 31999


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def pick(count: int, *, free: Callable[[int], bool] = is_free, chance: random.Random | None = None) -> list[int]:
    """`count` different ports; at random, so that clusters which start at the same moment rarely choose alike."""
    candidates = (chance or random.SystemRandom()).sample(range(LOWEST, HIGHEST + 1), HIGHEST - LOWEST + 1)
    chosen: list[int] = []
    for port in candidates:
        if len(chosen) == count:
            break
        if free(port):
            chosen.append(port)
    return chosen
