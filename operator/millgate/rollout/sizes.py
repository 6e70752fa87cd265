"""How many pods each revision needs, so that pod counts make the share of a step (traffic type `Replicas`)."""

from collections.abc import Sequence

from millgate.api.defaults import needs_baseline
from millgate.api.spec import ModelDeploymentSpec, Step

# With `spec.replicas` left out and no autoscaler that has set it yet, one pod serves.
REPLICAS_WITHOUT_A_NUMBER = 1


def stable_size(spec: ModelDeploymentSpec) -> int:
    """Pods of the stable revision: never fewer than the user or the autoscaler asks for."""
    return spec.replicas if spec.replicas is not None else REPLICAS_WITHOUT_A_NUMBER


def pods_for_weight(stable_pods: int, weight_percent: int, *, with_baseline: bool = False) -> int:
    """Pods beside `stable_pods` that come nearest to a share of `weight_percent` of all pods.

    With a baseline there are as many pods again that serve stable: a share w needs w * stable / (1 - 2w) pods instead
    of w * stable / (1 - w). Stable keeps its size and the candidate has at most as many, so a share above a half (with
    a baseline above a third) runs as that until the switch to 100, for which the candidate has stable's size. At least
    one pod, also at weight 0: gates need something to ask.
    """
    others_percent = 100 - weight_percent * (2 if with_baseline else 1)
    if others_percent <= weight_percent:
        return stable_pods
    return max(1, round(stable_pods * weight_percent / others_percent))


def candidate_size(spec: ModelDeploymentSpec, steps: Sequence[Step], index: int) -> int:
    """Pods of the candidate in a step. A step without traffic prepares the size of the step after it."""
    live = next((step for step in steps[index:] if step.weight_percent > 0), steps[-1])
    with_baseline = needs_baseline(spec.rollout, live)
    return pods_for_weight(stable_size(spec), live.weight_percent, with_baseline=with_baseline)
