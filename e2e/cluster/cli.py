"""The commands `python -m e2e.cluster` knows; everything they do is in the other modules."""

import argparse
import os
import sys
from pathlib import Path

from e2e.cluster import forward, provider
from e2e.cluster.controlplane import Options
from e2e.cluster.paths import ClusterError
from e2e.cluster.status import SIZES

EXAMPLES = """examples:
  python -m e2e.cluster up                          # a cluster with pods: yours, kind, or a bare node
  python -m e2e.cluster up --size control-plane     # API server, controllers, fake pods: for tests, no root
  python -m e2e.cluster exec kubectl get pods -A
  python -m e2e.cluster forward 9090 10.96.0.20:9090
  python -m e2e.cluster down

environment:
  MILLGATE_KUBECONFIG   use this cluster and start none
  MILLGATE_CACHE        where binaries, images and state lie (default ~/.cache/millgate; keep it short)
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m e2e.cluster",
        description="A Kubernetes cluster for development and tests.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str, example: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example:\n  python -m e2e.cluster {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.add_argument("--name", help="the cluster's name (default: made from the checkout's path)")
        return made

    up = command("up", "start the cluster, or find it running", "up --size control-plane --audit")
    up.add_argument("--size", choices=SIZES, default="node", help="node: real pods; control-plane: fake ones, no root")
    up.add_argument("--audit", action="store_true", help="control-plane: write log/audit.jsonl, a line a request")
    up.add_argument("--nodes", type=int, default=1, help="control-plane: fake nodes (default 1)")
    down = command("down", "end the cluster; nothing of it stays but the cache", "down --purge")
    down.add_argument("--purge", action="store_true", help="also remove its imported images and keys from the cache")
    load = command("load-image", "make images in tar files known to the cluster", "load-image build/operator.tar")
    load.add_argument("tar", nargs="+", type=Path)
    status = command("status", "what runs; ends with 1 where nothing does", "status --json")
    status.add_argument("--json", action="store_true", help="for programs")
    command("kubeconfig", "print the path of the kubeconfig", "kubeconfig")
    run = command("exec", "run a command in the cluster's network, KUBECONFIG set", "exec kubectl get nodes")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="CMD")
    ahead = command("forward", "make an address inside reachable from here", "forward 9090 10.96.0.20:9090")
    ahead.add_argument("port", type=int, help="listen on 127.0.0.1:PORT (0: any free port, printed)")
    ahead.add_argument("target", help="IP:PORT inside")
    return top


def run(arguments: argparse.Namespace) -> int:
    if arguments.command == "up":
        options = Options(audit=arguments.audit, nodes=arguments.nodes)
        cluster = provider.choose(arguments.name, arguments.size, options)
        cluster.up()
        print(cluster.status().as_text())
        return 0
    if arguments.command == "down":
        for each in provider.to_end(arguments.name):
            each.down(purge=arguments.purge)
        return 0
    cluster = provider.find(arguments.name)
    if arguments.command == "status":
        status = cluster.status()
        print(status.as_json() if arguments.json else status.as_text())
        return 0 if status.running else 1
    if arguments.command == "kubeconfig":
        print(cluster.status().kubeconfig)
        return 0
    return _inside(arguments, cluster)


def _inside(arguments: argparse.Namespace, cluster: provider.Cluster) -> int:
    status = cluster.status()
    if not status.running:
        raise ClusterError(f"{status.as_text()}; start it with: python -m e2e.cluster up")
    if arguments.command == "load-image":
        for tar in arguments.tar:
            cluster.load_image(tar)
    elif arguments.command == "forward":
        forward.serve(status, arguments.port, arguments.target)
    else:
        argv = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
        if not argv:
            raise ClusterError("exec what? for example: python -m e2e.cluster exec kubectl get nodes")
        words, environment = provider.inside(status, argv)
        os.execvpe(words[0], words, environment)  # noqa: S606  the user's own command
    return 0


def main(argv: list[str] | None = None) -> int:
    try:
        return run(parser().parse_args(argv))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
