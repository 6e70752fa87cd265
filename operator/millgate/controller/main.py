"""The command `millgate-operator`: reads its configuration, runs the operator, ends with its exit code."""

import argparse
import asyncio
import gc
import logging
import os
import sys
from collections.abc import Sequence

from millgate import __version__
from millgate.controller import log
from millgate.controller.config import CONFIG_VARIABLE, EXAMPLE, ConfigError, load_config
from millgate.kube.light import load_less

EXIT_MISUSE = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit codes: 0 asked to stop, 1 the lease or the watches were lost, 2 the configuration cannot be used."""
    parsed = _parser().parse_args(arguments)
    if parsed.config:
        os.environ[CONFIG_VARIABLE] = parsed.config
    try:
        config = load_config()
    except ConfigError as error:
        sys.stderr.write(f"millgate-operator: {error}\n")
        sys.exit(EXIT_MISUSE)
    log.set_up(config.log_level)
    load_less()
    from millgate.controller.process import run_process  # noqa: PLC0415 - it imports what `load_less` makes smaller

    # What was imported stays for good: a full collection that looks at all of it again stops the loop for a tenth of a
    # second on a slow machine.
    gc.collect()
    gc.freeze()
    code = asyncio.run(run_process(config))
    logging.shutdown()
    # Threads that still wait for a registry or a metrics store would hold the exit until their deadline.
    os._exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="millgate-operator",
        description="Releases models on Kubernetes step by step. In a pod it logs in as the pod's service account,\n"
        "elsewhere by KUBECONFIG. One process at a time acts; more of them are hot standbys.",
        epilog=f"example:\n  millgate-operator --config config.yaml\n\nwith config.yaml:\n\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help=f"the configuration; the same as setting {CONFIG_VARIABLE}")
    parser.add_argument("--version", action="version", version=f"millgate-operator {__version__}")
    return parser
