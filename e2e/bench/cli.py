"""The command `python -m e2e.bench`: runs rows, shows progress, prints the table."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from e2e.bench import changes, core, evidence, idle, outage, restart, verdicts
from e2e.bench.figures import Figure, as_json, as_markdown
from e2e.bench.stage import BenchError, Setting
from e2e.cluster.paths import ClusterError
from e2e.cluster.progress import phase, quiet, say

Row = Callable[[Setting], Awaitable[list[Figure]]]
ROWS: dict[str, Row] = {
    "pod": changes.pod,
    "abort": changes.abort,
    "verdict": verdicts.verdict,
    "flight": verdicts.flight,
    "restart": restart.restart,
    "outage": outage.outage,
    "idle": idle.idle,
    "start": idle.start,
    "core": core.core,
    "evidence": evidence.evidence,
}
EXAMPLE = """\
examples:
  python -m e2e.bench --quick             every row, smaller: some minutes
  python -m e2e.bench abort verdict       two rows as they stand in docs/benchmarks.md
  python -m e2e.bench idle --full         also 10,000 idle ModelDeployments
  python -m e2e.bench serving --help      model servers side by side: another command
"""


def parser() -> argparse.ArgumentParser:
    rows = "\n".join(f"  {name:<9} {(row.__doc__ or '').splitlines()[0]}" for name, row in ROWS.items())
    made = argparse.ArgumentParser(
        prog="python -m e2e.bench",
        description="Measures the operator on a real API server with KWOK's pods.",
        epilog=f"rows:\n{rows}\n\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("rows", nargs="*", metavar="ROW", type=_row, help="which ones (default: all)")
    size = made.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer samples, shorter windows, 500 objects")
    size.add_argument("--full", action="store_true", help="also the rows that take long: 10,000 objects")
    made.add_argument("--json", type=Path, metavar="FILE", help="store the samples there")
    made.add_argument("--quiet", action="store_true", help="no progress, only the table")
    return made


def _row(name: str) -> str:
    if name not in ROWS:
        raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(ROWS)}")
    return name


def main(argv: list[str] | None = None) -> int:
    """0 where every budget holds, 1 where one does not, 2 where something could not be measured."""
    arguments = parser().parse_args(argv)
    quiet(on=arguments.quiet)
    figures: list[Figure] = []
    failed: list[str] = []
    setting = Setting(quick=arguments.quick, full=arguments.full)
    for name in arguments.rows or ROWS:
        try:
            with phase(f"row {name}"):
                found = asyncio.run(_measured(ROWS[name], setting))
        except (BenchError, ClusterError, AssertionError) as error:
            failed.append(name)
            print(f"error: row {name}: {error}", file=sys.stderr)
            continue
        except KeyboardInterrupt:
            return 130
        for figure in found:
            say(f"{figure.what}: {figure.cells()[2]} {figure.cells()[3]}")
        figures += found
    print(as_markdown(figures))
    if arguments.json is not None:
        arguments.json.write_text(as_json(figures) + "\n")
    if failed:
        return 2
    return 1 if any(figure.holds is False for figure in figures) else 0


async def _measured(row: Row, setting: Setting) -> list[Figure]:
    return await row(setting)
