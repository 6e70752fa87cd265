"""What a rollout that ends leaves behind, so that its verdicts can be reached again while metrics of it are kept."""

from millgate.api.policy import policy_digest
from millgate.api.status import HistoryEntry, Stage, Status
from millgate.rollout.draft import Draft
from millgate.rollout.snapshot import Snapshot


def recorded(draft: Draft, snapshot: Snapshot) -> Draft:
    """With the anchors of the evidence in the entries of history that have just been made."""
    before, history = snapshot.status, draft.status.history
    if history == before.history:
        return draft
    named = tuple(entry if entry in before.history else _with_anchors(entry, before, snapshot) for entry in history)
    return draft.with_status(history=named)


def _with_anchors(entry: HistoryEntry, before: Status, snapshot: Snapshot) -> HistoryEntry:
    rollout = before.rollout
    if rollout is None:
        return entry
    # Promotion swaps roles: what was stable is the warm one before it.
    stable = before.previous if rollout.stage is Stage.PROMOTING else before.stable
    return entry.model_copy(
        update={
            "stable_hash": stable.hash if stable is not None else None,
            "steps": rollout.steps,
            "policy": policy_digest(snapshot.spec.rollout),
        }
    )
