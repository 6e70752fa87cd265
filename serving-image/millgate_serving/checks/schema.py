"""Is every request that stable accepts still accepted by the candidate, and everything it answers still answered?"""

from collections.abc import Iterator

from millgate_serving import example
from millgate_serving.checks.options import SchemaOptions
from millgate_serving.checks.subject import Asked, Subjects
from millgate_serving.checks.verdict import CheckReason, Finding, Verdict
from millgate_serving.measured import output_names
from millgate_serving.refusal import Refusal
from millgate_serving.signature import Column, Signature, Tensor

_SHOWN = 3


def check(subjects: Subjects, _options: SchemaOptions) -> Finding:
    """By the signatures, by the names of the outputs, and by stable's own input example."""
    reference = subjects.reference()
    candidate, stable = subjects.candidate.loaded(), reference.loaded()
    old, new = stable.ready.model.signature, candidate.ready.model.signature
    problems = [*inputs_broken(old, new), *outputs_broken(old, new), *_answers_broken(stable, candidate)]
    if not problems:
        problems += _example_refused(stable, candidate)
    figures = {"inputs": len(new.inputs), "outputs": len(new.outputs), "incompatible": len(problems)}
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        message = "; ".join(problems[:_SHOWN]) + more
        return Finding(Verdict.FAIL, message, CheckReason.SCHEMA_INCOMPATIBLE, "incompatible", figures)
    message = f"inputs and outputs of stable are those of the candidate (inputs: {len(old.inputs)})"
    added = [item.name for item in new.inputs if item.name not in {known.name for known in old.inputs}]
    if added:
        message += f"; new and optional: {', '.join(added)}"
    return Finding(Verdict.PASS, message, figures=figures)


def inputs_broken(old: Signature, new: Signature) -> Iterator[str]:
    """A sentence for each input by which a request that `old` accepts could be refused, or mean something else."""
    known = {item.name: item for item in new.inputs}
    for item in old.inputs:
        found = known.pop(item.name, None)
        if found is None:
            yield f"{_called(item)} is gone"
        elif isinstance(item, Tensor) or isinstance(found, Tensor):
            if not _tensor_fits(item, found):
                yield f"{_called(item)} was {item.short} and is {found.short}"
        elif item.type != found.type:
            yield f"{_called(item)} was {item.type} and is {found.type}"
        elif found.required and not item.required:
            yield f"{_called(item)} was optional and is required"
    for added in known.values():
        if not isinstance(added, Column) or added.required:
            yield f"{_called(added)} is new and required"


def _called(item: Column | Tensor) -> str:
    return f"input '{item.name}'" if item.name else "the input"


def outputs_broken(old: Signature, new: Signature) -> Iterator[str]:
    """A signature may be silent about outputs; then there is nothing to hold against it."""
    if not new.outputs:
        return
    known = dict(new.outputs)
    for name, kind in old.outputs:
        called = f"output '{name}'" if name else "the output"
        if name not in known:
            yield f"{called} is gone"
        elif known[name] != kind:
            yield f"{called} was {kind} and is {known[name]}"


def _tensor_fits(old: Column | Tensor, new: Column | Tensor) -> bool:
    """Open Inference Protocol: the same type, and each length equal or now free (-1)."""
    if not isinstance(old, Tensor) or not isinstance(new, Tensor) or old.type != new.type:
        return False
    return len(old.shape) == len(new.shape) and all(
        theirs in {ours, -1} for ours, theirs in zip(old.shape, new.shape, strict=True)
    )


def _answers_broken(stable: Asked, candidate: Asked) -> Iterator[str]:
    """What /predict answers beside the predictions, which signatures seldom name."""
    names = output_names(candidate.ready.engine.outputs)
    for name in output_names(stable.ready.engine.outputs):
        if name not in names:
            yield f"the answer's '{name}' is gone; it has {', '.join(names[:10])}"


def _example_refused(stable: Asked, candidate: Asked) -> Iterator[str]:
    """The signatures agree; ranges and enumerations of the candidate may still be narrower."""
    document = stable.ready.model.example
    if document is None:
        return
    try:
        candidate.ready.predict(candidate.ready.decode(example.request_body(document)))
    except Refusal as refusal:
        yield f"stable's own input example is refused: {refusal.message}"
    except Exception as error:  # noqa: BLE001 - whatever the model raises is the model's failure
        yield f"the candidate raised {type(error).__name__} on stable's own input example"
