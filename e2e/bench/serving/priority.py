"""The first place on a processor, for what is measured and what measures it."""

import contextlib
from pathlib import Path

_HIGHEST = -20


def before_all_else(pid: int) -> None:
    """Of a process that leads a session, as far as this machine lets us: it wants root and Linux's autogroups.

    Linux shares a processor between sessions first, so the nice of a process means nothing to others. A kernel thread
    that tidies memory had half of a server's core for 100 ms every five seconds, 8 ms at a time: the tail of every
    server's latencies.
    """
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(_HIGHEST))
