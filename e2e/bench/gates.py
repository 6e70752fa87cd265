"""The command `python -m e2e.bench.gates`: rolls synthetic rollouts through the gates and says which promises hold."""

import argparse
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from e2e.bench.gates_cells import CELLS, HEAD, Cell
from e2e.bench.gates_judged import Outcome
from e2e.cluster.progress import quiet, say

CHUNK = 250
EXAMPLE = """\
examples:
  python -m e2e.bench.gates --runs 200               all cells, in a few minutes
  python -m e2e.bench.gates --only 'base|R8'         the cells of the report, 10,000 rollouts each
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m e2e.bench.gates",
        description="Simulates rollouts and judges them with the product's own code.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--runs", type=int, default=10_000, metavar="N", help="rollouts in each cell (default: 10000)")
    made.add_argument("--only", type=re.compile, metavar="REGEX", help="the cells whose group or name it is found in")
    made.add_argument("--seed", type=int, default=1, help="the same seed gives the same figures (default: 1)")
    made.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="(default: 2)")
    made.add_argument("--quiet", action="store_true", help="no progress, only the table")
    return made


@dataclass(frozen=True)
class Chunk:
    """Some runs of one cell, with a seed of their own: the figures do not depend on who computes them and when."""

    cell: int
    first: int
    runs: int
    seed: int


def main(argv: Sequence[str] | None = None) -> int:
    """0 where every promise holds, 1 where one does not. Interrupted, it shows what there is."""
    arguments = parser().parse_args(argv)
    quiet(on=arguments.quiet)
    wanted = [i for i, cell in enumerate(CELLS) if _is_wanted(cell, arguments.only)]
    found: dict[int, list[Outcome]] = defaultdict(list)
    begun = time.monotonic()
    try:
        with get_context("fork").Pool(arguments.processes) as pool:
            chunks = list(_chunks(wanted, arguments.runs, arguments.seed))
            for done, (index, outcomes) in enumerate(pool.imap_unordered(_rolled_out, chunks), start=1):
                found[index] += outcomes
                if len(found[index]) == arguments.runs:
                    say(f"{done}/{len(chunks)} " + ", ".join(filter(None, CELLS[index].row(found[index]))))
    except KeyboardInterrupt:
        say(f"interrupted after {time.monotonic() - begun:.0f} s")
    known = [index for index in wanted if found[index]]
    rows = [HEAD, ("---",) * len(HEAD), *(CELLS[index].row(found[index]) for index in known)]
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return 0 if all(CELLS[index].holds(found[index]) for index in known) else 1


def _is_wanted(cell: Cell, only: re.Pattern[str] | None) -> bool:
    return only is None or only.search(f"{cell.group} {cell.name}") is not None


def _chunks(cells: Sequence[int], runs: int, seed: int) -> Iterator[Chunk]:
    for cell in cells:
        for first in range(0, runs, CHUNK):
            yield Chunk(cell, first, min(CHUNK, runs - first), seed)


def _rolled_out(chunk: Chunk) -> tuple[int, list[Outcome]]:
    random = np.random.default_rng([chunk.seed, chunk.cell, chunk.first])
    return chunk.cell, [CELLS[chunk.cell].rollout(random) for _ in range(chunk.runs)]


if __name__ == "__main__":
    sys.exit(main())
