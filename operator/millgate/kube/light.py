"""The Kubernetes client without the parts that its packages load for everybody."""

import importlib.util
import sys


def load_less() -> None:
    """Call it before anything imports the client, in a process that needs nothing of it but `millgate.kube`.

    `kubernetes/__init__.py` and `kubernetes/aio/__init__.py` import every part there is: watches, websockets, the
    dynamic client, Google's login. That is half of a command's start, a fifth of the operator's, and 16 MB. Here both
    packages are entered without being run, so that only what is asked for by its full name is loaded.
    """
    for name in ("kubernetes", "kubernetes.aio"):
        spec = importlib.util.find_spec(name) if name not in sys.modules else None
        if spec is not None:
            sys.modules[name] = importlib.util.module_from_spec(spec)
