"""`kubectl millgate simulate`: what a policy would do to good and to bad candidates, before anyone ships it."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from millgate.api.base import explain
from millgate.api.names import API_VERSION
from millgate.api.spec import ModelDeploymentSpec
from millgate.cli.commands import CommandError, Options
from millgate.cli.picture import PictureError, write
from millgate.cli.simulate_plot import Row, picture, usual_run
from millgate.cli.simulate_runs import Plan, play_all, play_one, processors
from millgate.cli.simulate_table import assumptions, table
from millgate.cli.ticker import Ticker
from millgate.simulate.candidates import CANDIDATES
from millgate.simulate.figures import Result
from millgate.simulate.rule import RuleOfThumb
from millgate.simulate.traffic import Traffic

KIND = "ModelDeployment"


@dataclass(frozen=True)
class Asked:
    """What the command line asks for. `file` is a path, or '-' for stdin; without `candidates` all are played."""

    file: str
    candidates: tuple[str, ...]
    runs: int
    seed: int
    processes: int | None
    traffic: Traffic
    rule: RuleOfThumb
    plot: Path | None = None


def simulate(options: Options, asked: Asked) -> int:
    """Play the rollouts, print the table or JSON, and draw the picture where one is asked for."""
    spec = read_spec(_text(asked.file), asked.file)
    names = asked.candidates or tuple(candidate.name for candidate in CANDIDATES)
    text = spec.model_dump_json(by_alias=True, exclude_none=True)
    plan = Plan(text, asked.traffic, asked.rule, names, asked.runs, asked.seed)
    results = _played(plan, asked.processes or processors(), options)
    if asked.plot is not None:
        _draw(plan, results, asked.plot)
    if options.output == "json":
        print(json.dumps(_as_json(plan, results), indent=4, ensure_ascii=False))
    else:
        print(options.style.finish("\n".join(table(results, asked.rule, options.style))))
        print(options.style.finish("\n".join(assumptions(spec, asked.traffic))))
    return 0


def _played(plan: Plan, processes: int, options: Options) -> Sequence[Result]:
    ticker = Ticker(sys.stderr, options.style, is_terminal=sys.stderr.isatty())
    began = time.monotonic()

    def tell(played: int, of: int) -> None:
        ticker.tick(f"{played:,} of {of:,} rollouts played", time.monotonic() - began)

    try:
        return play_all(plan, processes, tell)
    finally:
        ticker.clear()


def _draw(plan: Plan, results: Sequence[Result], file: Path) -> None:
    rows = [Row(result, play_one(plan, result.candidate, usual_run(result))) for result in results]
    traffic = plan.traffic
    errors = f"{100 * traffic.error_rate:.3g} % errors"
    heading = f"{plan.runs:,} rollouts each at {traffic.requests_per_second:g} requests/s, {errors}"
    try:
        write(picture(rows, heading), file, heading)
    except PictureError as error:
        raise CommandError(str(error)) from error


def read_spec(text: str, source: str) -> ModelDeploymentSpec:
    """The spec of the one ModelDeployment in a YAML text. Raises CommandError, which names the field that is wrong."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document]
    except yaml.YAMLError as error:
        raise CommandError(f"{source} is not YAML: {error}") from error
    found = [one for one in documents if isinstance(one, dict) and one.get("kind") == KIND]
    if len(found) != 1:
        raise CommandError(f"{source} holds {len(found)} objects of kind {KIND} where one is needed")
    version = found[0].get("apiVersion")
    if version != API_VERSION:
        raise CommandError(f"{source}: apiVersion: '{version}' where '{API_VERSION}' is known")
    try:
        return ModelDeploymentSpec.model_validate(found[0].get("spec") or {})
    except ValidationError as error:
        raise CommandError(f"{source}: {explain(error)}") from error


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error


def _as_json(plan: Plan, results: Sequence[Result]) -> dict[str, Any]:
    traffic, rule = plan.traffic, plan.rule
    return {
        "seed": plan.seed,
        "runs": plan.runs,
        "traffic": {
            "requestsPerSecond": traffic.requests_per_second,
            "errorRate": traffic.error_rate,
            "latencyMedianSeconds": traffic.latency_median_seconds,
            "latencySigma": traffic.latency_sigma,
            "dailySwing": traffic.daily_swing,
            "errorSwing": traffic.error_swing,
            "startHour": traffic.start_hour,
            "clusterSize": traffic.cluster_size,
        },
        "ruleOfThumb": {"maxErrorRate": rule.max_error_rate, "failedChecks": rule.failed_checks},
        "candidates": [result.to_json() for result in results],
    }
