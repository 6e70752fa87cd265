"""The command `python -m e2e.bench serving`: installs the servers, measures what is not known yet, prints the table."""

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec

from e2e.bench.serving import environments, loadgen, report, subject
from e2e.bench.serving.process import ServerError
from e2e.bench.serving.servers import SERVERS, Server
from e2e.bench.serving.sidebyside import LOAD_CORE, Bench, Found, Plan, TooLoudError
from e2e.cluster.paths import REPO_ROOT, ClusterError, cache
from e2e.cluster.progress import phase, quiet, say

QUICK = Plan(seconds=2.0, warmup_seconds=0.5, rounds=1)
PAGE = REPO_ROOT / "docs/benchmarks.md"
BEGIN, END = "<!-- serving: begin -->", "<!-- serving: end -->"
EPILOG = """\
Each server is pinned to core 0 and the load generator to core 1. Its answers are compared with scikit-learn's before
anything is measured. A run in which others took more than --max-foreign of the machine is discarded and repeated.
Every figure is stored as soon as it is known: the same command goes on where it ended; --again forgets.

exit code: 0 measured and every aim holds, 1 an aim does not, 2 something could not be measured: run it again
"""


def parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {server.name:<15} {server.title.strip('*')} {server.note}" for server in SERVERS)
    made = argparse.ArgumentParser(
        prog="python -m e2e.bench serving",
        description="Holds model servers side by side on one core.",
        epilog=f"servers:\n{names}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("servers", nargs="*", metavar="SERVER", type=_server, help="which ones (default: all)")
    made.add_argument("--quick", action="store_true", help="2 s a run, once: to see that everything works")
    made.add_argument("--max-foreign", type=float, default=Plan.max_foreign, metavar="SHARE", help="(default: 0.06)")
    made.add_argument("--again", action="store_true", help="forget what is known of these servers")
    made.add_argument("--install-only", action="store_true", help="install and train, measure nothing")
    made.add_argument("--results", type=Path, metavar="DIR", help="where results lie (default: in the cache)")
    made.add_argument("--json", type=Path, metavar="FILE", help="store all results there, too")
    made.add_argument("--markdown", type=Path, metavar="FILE", help="store the table there, too")
    made.add_argument("--docs", action="store_true", help="put the table into docs/benchmarks.md")
    made.add_argument("--quiet", action="store_true", help="no progress, only the table")
    return made


def _server(name: str) -> Server:
    for server in SERVERS:
        if server.name == name:
            return server
    raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(server.name for server in SERVERS)}")


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    quiet(on=arguments.quiet)
    if (os.cpu_count() or 1) < 2 or shutil.which("taskset") is None:
        print("error: two cores and the program taskset are needed", file=sys.stderr)
        return 2
    kind = "quick" if arguments.quick else "full"
    folder = arguments.results or cache() / "bench" / "serving" / f"results-{kind}"
    plan = replace(QUICK if arguments.quick else Plan(), max_foreign=arguments.max_foreign)
    os.sched_setaffinity(0, {LOAD_CORE})  # nothing of this program runs where the servers do
    chosen: list[Server] = arguments.servers or list(SERVERS)
    try:
        loadgen.binary()
        bench = Bench(plan, subject.made(), folder)
        if arguments.again:
            for server in chosen:
                bench.file(server).unlink(missing_ok=True)
        unmeasured = _measure(bench, chosen, plan.rounds, install_only=arguments.install_only)
    except (ClusterError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        say("what is known is kept; the same command goes on")
        return 130
    if arguments.install_only:
        return 0
    code = _tell(folder, arguments)
    return 2 if unmeasured else code


def _measure(bench: Bench, chosen: list[Server], rounds: int, *, install_only: bool) -> bool:
    """Whether something could not be measured; the other servers are measured all the same."""
    for server in chosen:
        if server.requirements:
            environments.installed(server)
    if install_only:
        return False
    failed = False
    for number in range(rounds):
        for server in chosen:
            try:
                with phase(f"round {number + 1} of {rounds}: {server.name}"):
                    bench.measure(server, number)
            except (ServerError, TooLoudError, loadgen.LoadError, subprocess.TimeoutExpired) as error:
                failed = True
                print(f"error: {error}", file=sys.stderr)
    return failed


def _tell(folder: Path, arguments: argparse.Namespace) -> int:
    known = {
        server.name: msgspec.json.decode(file.read_bytes(), type=Found)
        for server in SERVERS
        if (file := folder / f"{server.name}.json").exists()
    }
    text = report.table(known)
    goals = report.goals(known)
    print(text)
    for said, holds in goals:
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {said}")
    if arguments.markdown:
        arguments.markdown.write_text(f"{text}\n")
    if arguments.docs:
        PAGE.write_text(with_table(PAGE.read_text(), text))
    if arguments.json:
        document = {"machine": report.machine(), "servers": known}
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    return 0 if all(holds for _, holds in goals) else 1


def with_table(page: str, table: str) -> str:
    """The page with this table between the two marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"
