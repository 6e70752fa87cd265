"""What the Compare gates of a policy ask in each step with traffic, and what must be told apart to answer it. Pure."""

from dataclasses import dataclass

from millgate.api.defaults import gates_of, steps_of
from millgate.api.spec import Compare, Rollout, Statistic
from millgate.gates.presets import statistic_of
from millgate.simulate.cluster import is_played
from millgate.simulate.scene import Detail


@dataclass(frozen=True, eq=False)
class Question:
    """A Compare gate as it is asked from one step with traffic on, without a break: `first_step` counts those steps."""

    name: str
    compare: Compare
    first_step: int


Asked = tuple[tuple[Question, ...], ...]
"""For each step with traffic, what is asked in it."""


def questions(rollout: Rollout) -> Asked:
    asked: list[tuple[Question, ...]] = []
    for index, step in enumerate(step for step in steps_of(rollout) if step.weight_percent > 0):
        before = {(one.name, one.compare): one for one in (asked[-1] if asked else ())}
        found = [(gate.name, gate.compare) for gate in gates_of(rollout, step) if is_played(gate)]
        asked.append(
            tuple(
                before.get((name, compare), Question(name, compare, index))
                for name, compare in found
                if compare is not None
            )
        )
    return tuple(asked)


def detail_of(asked: Asked) -> Detail:
    """What the gates need to be told apart."""
    compares = [one.compare for step in asked for one in step]
    return Detail(
        by_age=any(compare.warmup_seconds > 0 for compare in compares),
        by_segment=any(compare.segment_by is not None for compare in compares),
        predictions=any(statistic_of(compare) is Statistic.DISTRIBUTION for compare in compares),
    )
