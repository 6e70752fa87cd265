"""How good answers are against the truth, and how two versions' answers to the same rows compare."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from millgate_serving.checks import interval, rows
from millgate_serving.checks.interval import Alphas, Interval
from millgate_serving.checks.options import AccuracyOptions, FairnessOptions, Metric
from millgate_serving.checks.subject import Subject, numbers
from millgate_serving.checks.verdict import CheckReason, Finding, Verdict, at_least, at_most, cannot_tell, reason_of

Options = AccuracyOptions | FairnessOptions


Answers = list[float] | list[str]
"""Of one version, as they are held against the truth."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One number a row: 1 for right and 0 for wrong, or the absolute error."""

    metric: Metric
    values: Sequence[float]

    def of(self, chosen: Sequence[int]) -> "Scored":
        return Scored(self.metric, [self.values[index] for index in chosen])

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)


def judged(subject: Subject, answers: Sequence[Any], threshold: float | None) -> Answers:
    """Texts stay texts; all else is a number, and a decision where a threshold is given."""
    if any(isinstance(value, str) for value in answers):
        if threshold is not None:
            raise cannot_tell(CheckReason.OPTIONS_INVALID, "threshold: the model's output is text, not a number")
        return [str(value) for value in answers]
    found = numbers(subject, answers)
    return found if threshold is None else [1.0 if value >= threshold else 0.0 for value in found]


def metric_of(options: Options, answers: Answers, labels: Sequence[Any]) -> Metric:
    """What is asked for; else by the data: what has fractions is no class."""
    texts = any(isinstance(value, str) for value in answers)
    if options.metric is not None:
        if texts and options.metric == "AbsoluteError":
            raise cannot_tell(CheckReason.OPTIONS_INVALID, "metric: the model answers with texts, which have no error")
        return options.metric
    if texts or options.threshold is not None:
        return "Accuracy"
    truths = [rows.as_number(label) for label in labels]
    values = [value for value in (*answers, *truths) if isinstance(value, float)]  # a label that is none is told later
    return "Accuracy" if all(value.is_integer() for value in values) else "AbsoluteError"


def scored(answers: Answers, metric: Metric, evaluation: rows.Evaluation) -> Scored:
    """Ends the check when labels and answers cannot be compared."""
    if any(isinstance(value, str) for value in answers):
        texts = [str(label) for label in evaluation.labels]
        return Scored(metric, [float(a == b) for a, b in zip(answers, texts, strict=True)])
    truths = rows.as_numbers(evaluation.file, evaluation.labels)
    errors = [abs(answer - truth) for answer, truth in zip(map(float, answers), truths, strict=True)]
    return Scored(metric, [float(error == 0) for error in errors] if metric == "Accuracy" else errors)


def compared(candidate: Scored, stable: Scored, margin: float, alphas: Alphas, where: str = "") -> Finding:
    """Non-inferiority on the same rows: is the candidate worse by more than `margin`?"""
    if candidate.metric == "Accuracy":
        return _accuracy_compared(candidate, stable, margin, alphas, where)
    ratio = interval.ratio_of_means(candidate.values, stable.values, alphas)
    verdict = at_most(ratio, 1 + margin)
    message = (
        f"the mean absolute error{where} is {ratio.value:.4g} times stable's "
        f"({_percent(alphas)} interval: {ratio.low:.4g} to {ratio.high:.4g}), {1 + margin:.4g} is allowed: "
        f"{candidate.mean:.4g} against {stable.mean:.4g} on {len(candidate.values)} rows"
    )
    figures = {"ratio": ratio.value, "ratioLow": ratio.low, "ratioHigh": ratio.high}
    figures |= _figures(candidate, margin) | {"stable": stable.mean}
    return Finding(verdict, message + _advice(verdict), reason_of(verdict), "ratio", figures)


def _accuracy_compared(candidate: Scored, stable: Scored, margin: float, alphas: Alphas, where: str) -> Finding:
    pairs = list(zip(candidate.values, stable.values, strict=True))
    gained, lost = (sum(ours > theirs for ours, theirs in pairs), sum(ours < theirs for ours, theirs in pairs))
    difference = interval.paired_difference(gained, lost, len(pairs), alphas)
    verdict = at_least(difference, -margin)
    points = difference.scaled(100)
    message = (
        f"accuracy{where} differs from stable's by {points.value:+.2f} points "
        f"({_percent(alphas)} interval: {points.low:+.2f} to {points.high:+.2f}), {-100 * margin:g} is allowed: "
        f"{candidate.mean:.4f} against {stable.mean:.4f} on {len(pairs)} rows"
    )
    figures = {"difference": difference.value, "differenceLow": difference.low, "differenceHigh": difference.high}
    figures |= _figures(candidate, margin) | {"stable": stable.mean, "gained": gained, "lost": lost}
    return Finding(verdict, message + _advice(verdict), reason_of(verdict), "difference", figures)


def bounded(candidate: Scored, options: Options, alphas: Alphas, where: str = "") -> Finding | None:
    """Against the absolute bound, if there is one for the metric."""
    if candidate.metric == "Accuracy" and options.min_accuracy is not None:
        found = interval.share(round(sum(candidate.values)), len(candidate.values), alphas)
        verdict = at_least(found, options.min_accuracy)
        return _bound(candidate, "accuracy" + where, found, (verdict, f"at least {options.min_accuracy:g}", alphas))
    if candidate.metric == "AbsoluteError" and options.max_error is not None:
        found = interval.mean(candidate.values, alphas)
        verdict = at_most(found, options.max_error)
        name = "the mean absolute error" + where
        return _bound(candidate, name, found, (verdict, f"at most {options.max_error:g}", alphas))
    return None


def _bound(candidate: Scored, name: str, found: Interval, asked: tuple[Verdict, str, Alphas]) -> Finding:
    verdict, allowed, alphas = asked
    count = len(candidate.values)
    message = (
        f"{name} is {found.value:.4g} ({_percent(alphas)} interval: {found.low:.4g} to {found.high:.4g}) "
        f"on {count} rows, {allowed} is asked for"
    )
    figure = "accuracy" if candidate.metric == "Accuracy" else "absoluteError"
    figures = {figure: found.value, figure + "Low": found.low, figure + "High": found.high}
    return Finding(verdict, message + _advice(verdict), reason_of(verdict), figure, figures)


def _figures(candidate: Scored, margin: float) -> dict[str, float]:
    return {"margin": margin, "candidate": candidate.mean, "rows": len(candidate.values)}


def _percent(alphas: Alphas) -> str:
    """Both ends err with `alpha`: together twice that."""
    return f"{100 * (1 - 2 * alphas.good):g} %"


def _advice(verdict: Verdict) -> str:
    return "; more rows would tell" if verdict is Verdict.UNKNOWN else ""
