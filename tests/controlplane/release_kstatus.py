"""How kstatus reads an object: a port of its rules, by which Flux and `helm --wait` decide (facts as of cli-utils)."""

from typing import Any

Json = dict[str, Any]
LETTERS = ("Accepted", "Available", "Reconciling", "Stalled", "Paused", "RolledBack", "CandidateHealthy", "Ready")


def kstatus(obj: Json) -> str:
    """Terminating, InProgress, Failed or Current. The first of Reconciling and Stalled that is True decides."""
    metadata, status = obj["metadata"], obj.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != metadata["generation"]:
        return "InProgress"
    conditions = status.get("conditions") or []
    for condition in conditions:
        if condition["type"] in {"Reconciling", "Stalled"} and condition["status"] == "True":
            return "InProgress" if condition["type"] == "Reconciling" else "Failed"
    ready = next((condition["status"] for condition in conditions if condition["type"] == "Ready"), None)
    return "Current" if ready in {None, "True"} else "InProgress"


def row(obj: Json) -> str:
    """The conditions as one letter each, as a row of the state table in docs: 'TTTFFFUF'."""
    says = {entry["type"]: entry["status"][0] for entry in (obj.get("status") or {}).get("conditions") or ()}
    return "".join(says.get(kind, "-") for kind in LETTERS)
