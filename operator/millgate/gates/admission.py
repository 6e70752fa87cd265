"""Which gates of a spec could never be asked, and where in the spec they stand: known before anything is released."""

from collections.abc import Iterator

from millgate.api.defaults import steps_of
from millgate.api.spec import Gate, GateType, ModelDeploymentSpec
from millgate.gates.promql import Names, QueryRefusedError, prepare
from millgate.gates.selectors import checked

_SOME_REVISION = "r000000000"
"""Which revisions will be compared is not known yet. It changes nothing: a value cannot change a query's shape."""


def query_problem(namespace: str, name: str, spec: ModelDeploymentSpec) -> str | None:
    """The first query or metric that may not be asked for, with its field; None when all may."""
    names = Names(namespace, name, candidate=_SOME_REVISION, stable=_SOME_REVISION)
    for field, gate in _gates(spec):
        for part, text in _texts(gate):
            try:
                if gate.type is GateType.QUERY:
                    prepare(text, names)
                else:
                    checked(text)
            except QueryRefusedError as error:
                return f"`{field}.{part}`: {error}"
    return None


def _texts(gate: Gate) -> Iterator[tuple[str, str]]:
    """What the gate asks for in a user's own words."""
    if gate.query is not None:
        yield "query.promql", gate.query.promql
    if gate.compare is not None:
        compare = gate.compare
        named = {"numerator": compare.numerator, "denominator": compare.denominator, "histogram": compare.histogram}
        yield from ((f"compare.{part}", text) for part, text in named.items() if text is not None)


def _gates(spec: ModelDeploymentSpec) -> Iterator[tuple[str, Gate]]:
    for index, gate in enumerate(spec.rollout.gates or ()):
        yield f"spec.rollout.gates[{index}]", gate
    for number, step in enumerate(steps_of(spec.rollout)):
        for index, gate in enumerate(step.gates or ()):
            yield f"spec.rollout.steps[{number}].gates[{index}]", gate
