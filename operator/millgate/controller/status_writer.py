"""The one writer of a ModelDeployment's status: once a reconcile, only when it differs, only over what was read."""

import logging
from datetime import datetime

from pydantic import ValidationError

from millgate.api.base import explain
from millgate.api.conditions import ConditionType, Reason
from millgate.api.status import Condition, Status
from millgate.kube.api import MODEL_DEPLOYMENT, Json, KubeApi

logger = logging.getLogger(__name__)


def status_of(cr: Json) -> Status:
    """The stored status. Raises pydantic.ValidationError: guessing at a rollout in flight would be worse."""
    return Status.model_validate(cr.get("status") or {})


async def write_status(api: KubeApi, cr: Json, status: Status) -> bool:
    """Store the status if it differs from what `cr` carries. Returns whether it was written.

    Raises KubeError; Conflict when the object has changed since `cr` was read, so that nothing is decided on old facts.
    """
    if status.to_json() == status_of(cr).to_json() and cr.get("status"):
        return False
    metadata = cr["metadata"]
    stored = {
        "apiVersion": MODEL_DEPLOYMENT.api_version,
        "kind": MODEL_DEPLOYMENT.kind,
        "metadata": {
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "status": status.to_json(),
    }
    await api.apply(MODEL_DEPLOYMENT, stored, subresource="status")
    return True


def refused_spec(cr: Json, error: ValidationError, now: datetime) -> Status:
    """The status of a spec that cannot be read. What serves goes on serving; nothing is decided about it."""
    before = status_of(cr)
    message = explain(error)[:2048]
    said = {
        ConditionType.ACCEPTED: ("False", message),
        ConditionType.RECONCILING: ("False", ""),
        ConditionType.STALLED: ("True", message),
        ConditionType.READY: ("False", message),
    }
    generation = cr["metadata"]["generation"]
    conditions = []
    for type_ in ConditionType:
        old = next((condition for condition in before.conditions if condition.type == type_), None)
        if type_ in said:
            status, text = said[type_]
            moved = old is None or old.status != status
            conditions.append(
                Condition.model_validate(
                    {
                        "type": type_.value,
                        "status": status,
                        "reason": Reason.INVALID_SPEC.value,
                        "message": text,
                        "observedGeneration": generation,
                        "lastTransitionTime": now if moved or old is None else old.last_transition_time,
                    }
                )
            )
        elif old is not None:
            conditions.append(old.model_copy(update={"observed_generation": generation}))
    return before.model_copy(update={"conditions": tuple(conditions), "observed_generation": generation})
