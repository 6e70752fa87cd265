"""Millgate's own server in the comparison: as delivered, and with everything on that a careful team would turn on."""

from dataclasses import replace
from pathlib import Path

from e2e.bench.serving.cases import Form

KEY = "bench-key-of-forty-characters-0123456789"


def variables(folder: Path, port: int, model: Path, *, everything: bool) -> dict[str, str]:
    """What the operator sets on a pod; `folder` is the server's own."""
    plain = {
        "MILLGATE_MODEL_NAME": "m",
        "MILLGATE_MODEL_VERSION": "1",
        "MILLGATE_REVISION": "r0000001",
        "MILLGATE_MODEL_PATH": str(model),
        "MILLGATE_MODEL_DIR": str(folder / "models"),
        "MILLGATE_TERMINATION_LOG": str(folder / "termination-log"),
        "MILLGATE_PORT": str(port),
        "MILLGATE_DRAIN_SECONDS": "0",
    }
    return plain | (_everything(folder) if everything else {})


def _everything(folder: Path) -> dict[str, str]:
    """Keys, a rate, a line for each request, one prediction of a hundred kept and masked, labels that may come later.

    The model brings ranges for its inputs, rules for its outputs and the distribution of its training.
    """
    keys = folder / "keys"
    keys.write_text(f"bench {KEY}\n")
    return {
        "MILLGATE_API_KEYS_FILE": str(keys),
        "MILLGATE_RATE_PER_SECOND": "1000000",
        "MILLGATE_ACCESS_LOG": "all",
        "MILLGATE_ACCESS_LOG_LINES_PER_SECOND": "0",
        "MILLGATE_MASK_FIELDS": "f19",
        "MILLGATE_PREDICTION_LOG_DIR": str(folder / "predictions"),
        "MILLGATE_PREDICTION_LOG_SHARE": "0.01",
        "MILLGATE_FEEDBACK_ROWS": "100000",
    }


def guarded(form: Form) -> Form:
    """The same with the key that the server asks for."""

    def body(rows: list[list[float]]) -> tuple[bytes, dict[str, str]]:
        content, headers = form.body(rows)
        return content, headers | {"authorization": f"Bearer {KEY}"}

    return replace(form, body=body)
