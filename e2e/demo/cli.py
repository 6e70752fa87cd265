"""The commands of `python -m e2e.demo`: up, down, status."""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e2e.cluster import provider
from e2e.cluster.controlplane import Options
from e2e.cluster.paths import ClusterError
from e2e.cluster.progress import phase, say
from e2e.demo import images, report, stack, story, trained
from e2e.demo.kubectl import CommandError, Kubectl
from e2e.demo.watch import StoryError


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m e2e.demo", description="Real models, released and taken back.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in (
        ("up", "bring everything up, tell the story, print its table; the cluster stays up"),
        ("down", "end the demo's cluster; on a cluster that is not ours, remove what the demo put there"),
        ("status", "what runs of the demo"),
    ):
        made = commands.add_parser(name, help=summary, description=summary)
        made.add_argument("--name", help="the cluster's name (default: made from the checkout's path)")
    return top


def up(name: str | None) -> int:
    """0 where every claim of the table holds, else 1."""
    begun = time.monotonic()
    setting = prepare(name)
    with phase("tell the story"):
        told = story.tell(setting, say)
    print(f"\n{report.render(told)}\n\n  all of it took {time.monotonic() - begun:.0f} s\n")
    print(how_to_go_on(name))
    broken = [claim.name for claim in report.claims(told) if not claim.holds]
    if broken:
        print(f"error: not as promised: {'; '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def prepare(name: str | None) -> story.Setting:
    """Cluster, images, registry, Prometheus, Millgate and the trained models: everything but the releases."""
    cluster = provider.choose(name, "node", Options())
    with ThreadPoolExecutor() as pool:
        training = pool.submit(trained.models)
        with phase("build the images"):
            made = images.build(cluster)
        cluster.up()
        with phase("give the images to the cluster"):
            images.load(cluster, made)
        kubectl = Kubectl(cluster.status())
        with phase("clear what an earlier demo left"):
            stack.clear(kubectl)
        with phase("install MLflow"):
            stack.install_platform(kubectl, made)
        folder = training.result()
        registering = stack.Registering(kubectl, folder)
        try:
            with phase("install Millgate and Prometheus"):
                stack.install_millgate(kubectl, made)
                stack.await_millgate(kubectl)
            with phase("register three versions in MLflow"):
                versions = registering.finish()
        finally:
            registering.stop()
    plugin = Path(sys.executable).with_name("kubectl-millgate")
    return story.Setting(kubectl, made, folder, versions, str(plugin))


def how_to_go_on(name: str | None) -> str:
    """Commands that work as they stand, from the root of the checkout."""
    status = provider.find(name).status()
    programs = Path(sys.executable).parent
    programs = programs.relative_to(Path.cwd()) if programs.is_relative_to(Path.cwd()) else programs
    named = f" --name {name}" if name else ""
    inside = f"{programs}/python -m e2e.cluster exec{named} " if status.namespace_pid else ""
    return "\n".join(
        [
            "The cluster stays up, and the clients go on. Look around:",
            *([] if inside else [f"  export KUBECONFIG={status.kubeconfig}"]),
            f"  {inside}kubectl get modeldeployments,pods -n {stack.MODEL_NAMESPACE}",
            f"  {inside}kubectl describe modeldeployment {stack.NAME} -n {stack.MODEL_NAMESPACE}",
            f"  {inside}{programs}/kubectl-millgate history {stack.NAME} -n {stack.MODEL_NAMESPACE}",
            "Stop:",
            f"  {f'python -m e2e.demo down{named}' if name else 'make demo-down'}",
        ]
    )


def down(name: str | None) -> int:
    cluster = provider.choose(name, "node", Options())
    status = cluster.status()
    if status.provider == "existing" and status.running:
        kubectl = Kubectl(status)
        stack.clear(kubectl)
        kubectl.command(["helm", "uninstall", "millgate", "-n", stack.OPERATOR_NAMESPACE, "--ignore-not-found"])
        kubectl.run("delete", "namespace", *stack.NAMESPACES, "--ignore-not-found")
    cluster.down()
    return 0


def show_status(name: str | None) -> int:
    cluster = provider.find(name).status()
    print(cluster.as_text())
    if not cluster.running:
        return 1
    print(Kubectl(cluster).run("get", "modeldeployments,pods", "-n", stack.MODEL_NAMESPACE))
    return 0


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    command = {"up": up, "down": down, "status": show_status}[arguments.command]
    try:
        return command(arguments.name)
    except (ClusterError, CommandError, StoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
