"""Is the candidate worse than stable in any segment, and are its positive decisions spread evenly over the segments?"""

from collections.abc import Iterable, Mapping, Sequence

from millgate_serving.checks import interval, rows, scores
from millgate_serving.checks.interval import Alphas
from millgate_serving.checks.options import FairnessOptions
from millgate_serving.checks.rows import Evaluation
from millgate_serving.checks.scores import Answers, Scored
from millgate_serving.checks.subject import Subject, Subjects
from millgate_serving.checks.verdict import CheckReason, Finding, Verdict, cannot_tell, reason_of, together, weight

_MAX_SEGMENTS = 100
_SHOWN_CHARACTERS = 64

Segments = Mapping[str, Sequence[int]]
"""The rows of each segment that has enough of them."""


def check(subjects: Subjects, options: FairnessOptions) -> Finding:
    if not options.segment_by:
        raise cannot_tell(CheckReason.OPTIONS_INVALID, "segmentBy: the name of a column is needed")
    candidate = subjects.candidate.loaded()
    evaluation = rows.read(candidate.ready.model.directory, options.data, options.label, options.segment_by)
    segments, left_out = _segments(evaluation, options)
    answers = scores.judged(subjects.candidate, candidate.answers(evaluation, options.output), options.threshold)
    metric = scores.metric_of(options, answers, evaluation.labels)
    ours = scores.scored(answers, metric, evaluation)
    findings = []
    if subjects.stable is not None:
        theirs = _of_stable(subjects.stable, evaluation, options, ours)
        findings.append(_worst_difference(ours, theirs, segments, options))
    bounded = _worst_bound(ours, segments, options)
    selection = _selection(answers, evaluation, segments, options) if metric == "Accuracy" else None
    findings += [finding for finding in (bounded, selection) if finding is not None]
    if not findings:
        subjects.reference()  # ends the check: there is nothing to hold it against
    counted = {"segments": len(segments), "segmentsLeftOut": left_out}
    result = together(findings)
    message = result.message
    if left_out:
        message += f" ({left_out} segments with fewer than {options.min_samples} rows were left out)"
    return Finding(result.verdict, message, result.reason, result.decided_by, {**result.figures, **counted})


def _segments(evaluation: Evaluation, options: FairnessOptions) -> tuple[Segments, int]:
    found: dict[str, list[int]] = {}
    for index, name in enumerate(evaluation.segments):
        found.setdefault(name, []).append(index)
    enough = {name: chosen for name, chosen in sorted(found.items()) if len(chosen) >= options.min_samples}
    if not enough:
        message = (
            f"none of the {len(found)} segments of '{options.segment_by}' has the {options.min_samples} rows that are "
            f"asked for; the largest has {max(map(len, found.values()))}"
        )
        raise cannot_tell(CheckReason.TOO_FEW_SAMPLES, message)
    if len(enough) > _MAX_SEGMENTS:
        message = f"segmentBy: '{options.segment_by}' has {len(enough)} segments, at most {_MAX_SEGMENTS} are compared"
        raise cannot_tell(CheckReason.OPTIONS_INVALID, message)
    return enough, len(found) - len(enough)


def _of_stable(stable: Subject, evaluation: Evaluation, options: FairnessOptions, ours: Scored) -> Scored:
    answers = scores.judged(stable, stable.loaded().answers(evaluation, options.output), options.threshold)
    return scores.scored(answers, ours.metric, evaluation)


def _worst_difference(ours: Scored, theirs: Scored, segments: Segments, options: FairnessOptions) -> Finding:
    """All segments must pass, so each may at the full alpha; one is enough to fail, so each has its share of it."""
    alphas = Alphas.of(options.alpha, len(segments))
    compared = [
        scores.compared(ours.of(chosen), theirs.of(chosen), options.margin, alphas, _where(options, name))
        for name, chosen in segments.items()
    ]
    return _worst(compared, ours)


def _worst_bound(ours: Scored, segments: Segments, options: FairnessOptions) -> Finding | None:
    alphas = Alphas.of(options.alpha, len(segments))
    bounds = [
        scores.bounded(ours.of(chosen), options, alphas, _where(options, name)) for name, chosen in segments.items()
    ]
    found = [finding for finding in bounds if finding is not None]
    return _worst(found, ours) if found else None


def _worst(findings: Iterable[Finding], ours: Scored) -> Finding:
    """The heaviest verdict, and among those the worst figure: of accuracy small ones are bad, of errors large ones."""
    sign = -1 if ours.metric == "Accuracy" else 1
    return max(findings, key=lambda found: (weight(found.verdict), sign * found.figures[found.decided_by]))


def _selection(
    answers: Answers, evaluation: Evaluation, segments: Segments, options: FairnessOptions
) -> Finding | None:
    """The four-fifths rule of the Uniform Guidelines (29 CFR 1607.4 D), with their caveat for small samples.

    A ratio below the bound is a failure only if the two rates differ significantly; else it cannot be told.
    """
    positive = _positive(answers, evaluation, options)
    if positive is None or options.min_selection_ratio == 0 or len(segments) < 2:
        return None
    hits = {name: sum(answers[index] == positive for index in chosen) for name, chosen in segments.items()}
    rates = {name: hits[name] / len(chosen) for name, chosen in segments.items()}
    low, high = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    ratio = rates[low] / rates[high] if rates[high] else 1.0
    message = (
        f"positive decisions{_where(options, low)} are {ratio:.3f} times as frequent as"
        f"{_where(options, high)} ({rates[low]:.4f} against {rates[high]:.4f}), "
        f"{options.min_selection_ratio:g} is asked for"
    )
    verdict = Verdict.PASS
    if ratio < options.min_selection_ratio:
        pairs = len(segments) * (len(segments) - 1)  # it is the most extreme one of so many
        sure = interval.rates_differ(
            (hits[low], len(segments[low])), (hits[high], len(segments[high])), options.alpha / pairs
        )
        verdict = Verdict.FAIL if sure else Verdict.UNKNOWN
        message += "" if sure else ", but so few rows may differ by chance; more rows would tell"
    figures = {"selectionRatio": ratio, "selectionRateLow": rates[low], "selectionRateHigh": rates[high]}
    return Finding(verdict, message, reason_of(verdict), "selectionRatio", figures)


def _positive(answers: Answers, evaluation: Evaluation, options: FairnessOptions) -> float | str | None:
    """The answer that is a positive decision; None where nobody has said so and it is no question of 0 and 1."""
    texts = any(isinstance(value, str) for value in answers)
    if options.positive is None:
        seen = {rows.as_number(value) for value in (*answers, *evaluation.labels)}
        return None if texts or not seen <= {0.0, 1.0} else 1.0
    positive = options.positive if texts else rows.as_number(options.positive)
    labels = set(map(str, evaluation.labels)) if texts else {rows.as_number(value) for value in evaluation.labels}
    if positive is None or positive not in labels:
        raise cannot_tell(CheckReason.OPTIONS_INVALID, "positive: no row of the data has this label")
    return positive


def _where(options: FairnessOptions, name: str) -> str:
    return f" where {options.segment_by} is '{name[:_SHOWN_CHARACTERS]}'"
