"""Waiting for something to become so, with a deadline."""

import asyncio
from collections.abc import Callable


async def until(check: Callable[[], object], *, seconds: float = 5.0) -> None:
    """Raises TimeoutError when `check` is still false after `seconds`."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)
