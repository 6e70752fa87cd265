"""What the process itself costs: CPU, memory, files, by the names that every Prometheus dashboard knows."""

import os
import resource
import time
from pathlib import Path
from typing import Final

from millgate_serving.distribution_text import header

_STARTED_UNIX_SECONDS: Final = time.time()
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def process_lines(labels: str) -> list[str]:
    """Prometheus text. Only Linux tells all of them."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    values = [
        ("process_cpu_seconds_total", "counter", "CPU seconds.", round(usage.ru_utime + usage.ru_stime, 3)),
        ("process_start_time_seconds", "gauge", "Start as Unix seconds.", round(_STARTED_UNIX_SECONDS, 3)),
        *_of_linux(),
    ]
    return [line for name, kind, text, n in values for line in (*header(name, kind, text), f"{name}{{{labels}}} {n}")]


def _of_linux() -> list[tuple[str, str, str, float]]:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return []
    return [
        ("process_resident_memory_bytes", "gauge", "Resident memory.", pages * _PAGE_BYTES),
        ("process_open_fds", "gauge", "Open files and connections.", files),
    ]
