"""What comes next in a rollout, and what a person can do about it. Pure."""

from millgate.api.conditions import ConditionType, Reason
from millgate.api.defaults import steps_of
from millgate.api.status import Condition, RolloutStatus, Stage
from millgate.cli.page import Page
from millgate.cli.text import relative
from millgate.cli.view import View, version_name, version_of


def upcoming(page: Page) -> list[str]:
    """What Millgate does next if nobody does anything, or whom it waits for."""
    rollout = page.view.status.rollout
    paused = page.view.condition(ConditionType.PAUSED)
    if paused is not None and paused.status == "True":
        return [_until_a_person_acts(page, paused)]
    if rollout is None or rollout.stage is Stage.ROLLING_BACK:
        return []
    return _by_itself(page, rollout)


def git_says(page: Page) -> list[str]:
    """Millgate never writes `spec`, so after a rollback Git still asks for the version that was taken back."""
    view = page.view
    if view.managed_by is None or view.taken_back is None or view.in_flight is not None:
        return []
    version = version_name(view.taken_back.model_version)
    return [f"{view.managed_by} still asks for {version}: it shows as failed until Git asks for another version"]


def after_a_rollback(page: Page) -> list[str]:
    view, taken_back = page.view, page.view.taken_back
    if view.in_flight is not None or taken_back is None:
        return []
    version = version_name(taken_back.model_version)
    lines = (
        _is_it_burning(view),
        f"what happened, in order: kubectl events -n {view.namespace} --for mdep/{view.name}",
        "fix forward: ask for another version in `spec.model`",
        f"or try {version} again: {page.command('retry')}",
    )
    return [f"{number}) {line}" for number, line in enumerate(lines, start=1)]


def way_back(page: Page) -> list[str]:
    """The command that undoes what is going on, or what has just been done."""
    view = page.view
    rollout, stable, previous = view.in_flight, view.status.stable, view.status.previous
    if rollout is not None and rollout.stage is not Stage.ROLLING_BACK and stable is not None:
        return [f"{page.command('abort')}   (all traffic to {version_of(stable)})"]
    if rollout is None and previous is not None:
        return [f"{page.command('rollback')}   ({version_of(previous)} is warm: seconds)"]
    return []


def _until_a_person_acts(page: Page, paused: Condition) -> str:
    if paused.reason == Reason.PAUSED_BY_SPEC:
        return "no weight grows until `spec.paused` is false"
    if paused.reason == Reason.PAUSED_BY_USER:
        return f"no weight grows until: {page.command('resume')}"
    return f"waits for a person: {page.command('promote')}   (or abort)"


def _by_itself(page: Page, rollout: RolloutStatus) -> list[str]:
    status = page.view.status
    if rollout.stage is Stage.PREPARING:
        return [f"the first step, when the preflight and the pods of {version_of(status.candidate)} are ready"]
    if rollout.stage is Stage.STEPPING and rollout.step_start_time is None:
        return [f"step {rollout.step_name}, when its pods are ready{_deadline(page, rollout)}"]
    if rollout.stage is Stage.STEPPING:
        return [f"{_next_weight(page.view, rollout)}{_when(page, rollout)}{_deadline(page, rollout)}"]
    if status.previous is not None and rollout.deadline_time is not None:
        warm = f"{version_of(status.previous)} is kept warm until {relative(rollout.deadline_time, page.now)}"
        return [*_asked_after_promotion(page), warm]
    return []


def _asked_after_promotion(page: Page) -> list[str]:
    """A gate failed while the old revision is warm, and its failure is a question: nothing answers it by itself."""
    healthy = page.view.condition(ConditionType.CANDIDATE_HEALTHY)
    if healthy is None or healthy.reason != Reason.AWAITING_DECISION:
        return []
    return [f"a person is asked: {page.command('rollback')}   (or promote, to let it pass)"]


def _next_weight(view: View, rollout: RolloutStatus) -> str:
    if view.status.stable is None:
        return "promotion"
    if view.spec is None or rollout.step_index is None:
        return "the next step"
    later = steps_of(view.spec.rollout)[rollout.step_index + 1 :]
    return f"{later[0].weight_percent}%" if later else "promotion"


def _when(page: Page, rollout: RolloutStatus) -> str:
    time = rollout.next_step_time
    if time is None or time <= page.now:
        return " as soon as all checks pass"
    return f" at {relative(time, page.now)} if all checks pass"


def _deadline(page: Page, rollout: RolloutStatus) -> str:
    return f" · deadline {relative(rollout.deadline_time, page.now)}" if rollout.deadline_time else ""


def _is_it_burning(view: View) -> str:
    stable = view.status.stable
    if stable is None:
        return "no version serves"
    if view.holds(ConditionType.AVAILABLE):
        return f"nothing is burning: {version_of(stable)} has {stable.ready_replicas} ready pods"
    return f"look at {version_of(stable)} first: it is not available"
