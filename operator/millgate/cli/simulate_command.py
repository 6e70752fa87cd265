"""`kubectl millgate simulate`: its options and its help. What it does stands in `simulate`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from millgate.cli.picture import FORMS
from millgate.simulate.candidates import CANDIDATES
from millgate.simulate.rule import RuleOfThumb
from millgate.simulate.traffic import Traffic

Command = Callable[..., Any]
_PLAIN, _RULE = Traffic(), RuleOfThumb()
SUMMARY = "Try a rollout's policy on good and on bad candidates."
EPILOG = """\b
Examples:
  kubectl millgate simulate -f fraud.yaml
  kubectl millgate simulate -f fraud.yaml --rate 8 --error-rate 0.002 --candidate 2x --candidate late --plot fraud.svg
"""


class Picture(click.ParamType[Path]):
    """A file to draw into, its form by its ending."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if path.suffix not in FORMS:
            self.fail(f"'{value}' must end in one of {', '.join(FORMS)}", param, ctx)
        return path


_OPTIONS = (
    click.option("-f", "--filename", "file", required=True, metavar="FILE", help="The ModelDeployment; '-' is stdin."),
    click.option(
        "--candidate",
        "candidates",
        multiple=True,
        type=click.Choice([candidate.name for candidate in CANDIDATES]),
        help="Play this candidate only; may be repeated.",
    ),
    click.option("--runs", type=click.IntRange(1, 1_000_000), default=200, show_default=True, help="Rollouts each."),
    click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same rollouts."),
    click.option("--processes", type=click.IntRange(1, 256), help="All processors when left out."),
    click.option(
        "--rate",
        "requests_per_second",
        type=click.FloatRange(0, 1e6, min_open=True),
        default=_PLAIN.requests_per_second,
        show_default=True,
        help="Requests a second, to both revisions together.",
    ),
    click.option(
        "--daily-swing",
        type=click.FloatRange(0, 1),
        default=_PLAIN.daily_swing,
        show_default=True,
        help="How far the rate moves about its mean in a day; its peak is at 15:00.",
    ),
    click.option(
        "--start-hour",
        type=click.FloatRange(0, 24),
        default=_PLAIN.start_hour,
        show_default=True,
        help="The time of day at which the rollout begins.",
    ),
    click.option(
        "--error-rate",
        type=click.FloatRange(0, 1, max_open=True),
        default=_PLAIN.error_rate,
        show_default=True,
        help="The share of stable's answers that are errors.",
    ),
    click.option(
        "--error-swing",
        type=click.FloatRange(0, 1),
        default=_PLAIN.error_swing,
        show_default=True,
        help="How far that share moves in a day, with the rate.",
    ),
    click.option(
        "--cluster-size",
        type=click.FloatRange(1, 1000),
        default=_PLAIN.cluster_size,
        show_default=True,
        help="How many errors come together, as with retries.",
    ),
    click.option(
        "--latency-ms",
        type=click.FloatRange(0, 1e6, min_open=True),
        default=1000 * _PLAIN.latency_median_seconds,
        show_default=True,
        help="Stable's median latency; latencies are lognormal.",
    ),
    click.option(
        "--latency-sigma",
        type=click.FloatRange(0.01, 5),
        default=_PLAIN.latency_sigma,
        show_default=True,
        help="The standard deviation of its logarithm.",
    ),
    click.option(
        "--thumb-error-rate",
        type=click.FloatRange(0, 1),
        default=_RULE.max_error_rate,
        show_default=True,
        help="The rule of thumb: the error rate above which a check fails.",
    ),
    click.option(
        "--thumb-checks",
        type=click.IntRange(1, 1000),
        default=_RULE.failed_checks,
        show_default=True,
        help="The rule of thumb: the failed check that takes the candidate back.",
    ),
    click.option("--plot", type=Picture(), help="Draw into this file: .svg, .html or .png."),
    click.option("-o", "--output", type=click.Choice(["json"]), help="The form of the output."),
    click.option("--no-color", is_flag=True, help="No colours; NO_COLOR in the environment does the same."),
)


def _with_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _help() -> str:
    width = max(len(candidate.name) for candidate in CANDIDATES)
    listed = "\n".join(f"  {candidate.name:{width}}  {candidate.says}" for candidate in CANDIDATES)
    return f"""{SUMMARY}

Plays rollouts of a ModelDeployment on synthetic traffic with a virtual clock, by the operator's own decisions and
gates, and tells how often each kind of candidate is promoted and rolled back, how long that takes, and how many
requests get a bad answer meanwhile. No cluster is asked.

\b
Candidates:
{listed}
"""


@click.command("simulate", short_help=SUMMARY, help=_help(), epilog=EPILOG)
@_with_options
def command(  # noqa: PLR0913  # the options, one by one
    *,
    file: str,
    candidates: tuple[str, ...],
    runs: int,
    seed: int,
    processes: int | None,
    latency_ms: float,
    thumb_error_rate: float,
    thumb_checks: int,
    plot: Path | None,
    output: Literal["json"] | None,
    no_color: bool,
    **traffic: float,
) -> int:
    from millgate.cli import commands, simulate  # noqa: PLC0415 - help and usage errors need no simulation

    asked = simulate.Asked(
        file=file,
        candidates=tuple(dict.fromkeys(candidates)),
        runs=runs,
        seed=seed,
        processes=processes,
        traffic=Traffic(latency_median_seconds=latency_ms / 1000, **traffic),
        rule=RuleOfThumb(thumb_error_rate, thumb_checks),
        plot=plot,
    )
    return simulate.simulate(commands.Options(output=output, no_color=no_color), asked)
