"""`kubectl millgate`: the commands, their options and their help. What they do stands in `commands`."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from millgate import __version__
from millgate.api.request import RequestAction
from millgate.cli import simulate_command
from millgate.kube.light import load_less

_DEFAULT_TIMEOUT = "5m"
_SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")
Command = Callable[..., Any]


class _Span(click.ParamType[float]):
    """A length of time as kubectl reads it: '30s', '5m', '1h30m'; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = _SPAN.fullmatch(str(value))
        if not match or not any(match.groups()):
            self.fail(f"'{value}' must be a duration such as '30s' or '5m'", param, ctx)
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds


def _common(outputs: Sequence[str]) -> Callable[[Command], Command]:
    """The options that every command has, as kubectl names them."""
    options = (
        click.option("-n", "--namespace", metavar="NAMESPACE", help="The namespace; the context's when left out."),
        click.option("--context", metavar="NAME", help="The context of the kubeconfig to use."),
        click.option("--kubeconfig", metavar="FILE", help="The kubeconfig to use."),
        click.option("--as", "impersonate", metavar="USER", help="The user to act as."),
        click.option("-o", "--output", type=click.Choice(outputs), help="The form of the output."),
        click.option("--no-color", is_flag=True, help="No colours; NO_COLOR in the environment does the same."),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.group(
    name="kubectl millgate",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 error, 3 nothing to do, 4 refused, 5 waits for a person, 6 out of time.",
)
@click.version_option(__version__, prog_name="kubectl millgate", message="%(prog)s %(version)s")
def cli() -> None:
    """Look at ModelDeployments, and decide what a person may decide."""


@cli.command(epilog="\b\nExamples:\n  kubectl millgate get -A\n  kubectl millgate get fraud -n risk")
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="List all namespaces.")
@_common(("json", "yaml", "name", "wide"))
def get(name: str | None, *, all_namespaces: bool, **options: Any) -> int:
    """List ModelDeployments, or show one in full."""
    if name is not None and all_namespaces:
        raise click.UsageError("a NAME and --all-namespaces may not be given together")
    from millgate.cli import commands  # noqa: PLC0415 - help and usage errors need no Kubernetes client

    return commands.get(commands.Options(**options), name, all_namespaces=all_namespaces)


@cli.command(epilog="\b\nExample:\n  kubectl millgate history fraud -n risk")
@click.argument("name")
@_common(("json", "yaml", "name", "wide"))
def history(name: str, **options: Any) -> int:
    """The rollouts of a ModelDeployment, the newest first."""
    from millgate.cli import commands  # noqa: PLC0415 - as in `get`

    return commands.show_history(commands.Options(**options), name)


@cli.command(
    epilog="\b\nExamples:\n  kubectl millgate explain fraud -n risk --prometheus http://localhost:9090\n"
    "  kubectl millgate explain fraud errors -n risk --revision 7 --plot"
)
@click.argument("name")
@click.argument("gate", required=False)
@click.option("--revision", type=int, metavar="N", help="The rollout of this revision; the newest when left out.")
@click.option(
    "--prometheus",
    "prometheus_url",
    metavar="URL",
    envvar="MILLGATE_PROMETHEUS_URL",
    help="The Prometheus that the operator reads; MILLGATE_PROMETHEUS_URL in the environment does the same.",
)
@click.option(
    "--scrape-interval",
    "scrape_interval_seconds",
    type=_Span(),
    default="30s",
    show_default=True,
    envvar="MILLGATE_SCRAPE_INTERVAL",
    help="How often it scrapes, as the operator's configuration says: so long a sample counts as fresh, twice.",
)
@click.option("--plot", is_flag=True, help="Draw the course.")
@_common(("json", "yaml"))
def explain(name: str, gate: str | None, **options: Any) -> int:
    """How the verdicts of a rollout came about.

    Judges again what the operator judged, from what Prometheus still has, and prints every look.
    """
    from millgate.cli import commands  # noqa: PLC0415 - as in `get`
    from millgate.cli import explain as explaining  # noqa: PLC0415 - as in `get`

    own = {key: options.pop(key) for key in ("revision", "prometheus_url", "scrape_interval_seconds", "plot")}
    return explaining.explain(commands.Options(**options), explaining.Question(name=name, gate=gate, **own))


@dataclass(frozen=True)
class _Verb:
    """A request that a person can make, and what its help says."""

    action: RequestAction
    summary: str
    more: str

    @property
    def name(self) -> str:
        return self.action.value.lower()


_VERBS = (
    _Verb(
        RequestAction.PROMOTE,
        "Let the step in hand end.",
        "Gives the approvals that the step waits for, and lets a step go on whose checks cannot tell. "
        "Never goes past a failing check.",
    ),
    _Verb(
        RequestAction.ABORT,
        "Take the candidate back.",
        "All traffic goes to the stable version at once, and the candidate stays out until it is retried.",
    ),
    _Verb(
        RequestAction.RETRY,
        "Try a version again that was taken back.",
        "The rollout starts anew at its first step.",
    ),
    _Verb(
        RequestAction.ROLLBACK,
        "Go back to the version before.",
        "During a rollout this is an abort. After it, the running version is taken back and the newest good version "
        "before it serves again: in seconds while its pods are warm.",
    ),
    _Verb(RequestAction.PAUSE, "Freeze the weights.", "A failing check still takes the candidate back."),
    _Verb(RequestAction.RESUME, "Let the weights grow again.", "The rollout goes on where it was."),
)


def _command_of(verb: _Verb) -> click.Command:
    @click.argument("name")
    @click.option(
        "--timeout",
        "timeout_seconds",
        type=_Span(),
        default=_DEFAULT_TIMEOUT,
        show_default=True,
        help="How long to wait until it is done; 0 does not wait.",
    )
    @click.option("--dry-run", is_flag=True, help="Let the server check the request without storing it.")
    @_common(("json", "yaml", "name"))
    def ask(name: str, *, timeout_seconds: float, dry_run: bool, **options: Any) -> int:
        from millgate.cli import commands  # noqa: PLC0415 - as in `get`

        return commands.ask(
            commands.Options(**options), verb.action, name, timeout_seconds=timeout_seconds, dry_run=dry_run
        )

    example = f"\b\nExample:\n  kubectl millgate {verb.name} fraud -n risk"
    text = f"{verb.summary}\n\n{verb.more}"
    return click.command(verb.name, short_help=verb.summary, help=text, epilog=example)(ask)


for _one in _VERBS:
    cli.add_command(_command_of(_one))
cli.add_command(simulate_command.command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; the exit code. Usage errors are errors like any other: kubectl knows no code of their own."""
    try:
        return int(cli.main(args=arguments, prog_name="kubectl millgate", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return 1
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not _is_known(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


def _is_known(error: Exception) -> bool:
    """Errors that are sentences for a person. Their modules are loaded if one of them was raised."""
    from millgate.cli.commands import CommandError  # noqa: PLC0415 - as in `get`
    from millgate.cli.view import UnreadableError  # noqa: PLC0415 - as in `get`
    from millgate.kube.api import KubeError  # noqa: PLC0415 - as in `get`
    from millgate.kube.login import LoginError  # noqa: PLC0415 - as in `get`

    return isinstance(error, CommandError | UnreadableError | KubeError | LoginError)


def main() -> None:
    load_less()
    sys.exit(run())
