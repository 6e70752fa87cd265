"""Is the candidate less accurate than stable on the same held-out rows, by more than a margin?"""

from millgate_serving.checks import rows, scores
from millgate_serving.checks.interval import Alphas
from millgate_serving.checks.options import AccuracyOptions
from millgate_serving.checks.subject import Subjects
from millgate_serving.checks.verdict import CheckReason, Finding, cannot_tell, together


def check(subjects: Subjects, options: AccuracyOptions) -> Finding:
    """The rows are those of the candidate's artefact, or of a mounted file: both versions answer the same ones."""
    candidate = subjects.candidate.loaded()
    evaluation = rows.read(candidate.ready.model.directory, options.data, options.label)
    if len(evaluation) < options.min_samples:
        message = f"{len(evaluation)} rows are fewer than the {options.min_samples} that are asked for"
        raise cannot_tell(CheckReason.TOO_FEW_SAMPLES, message)
    answers = scores.judged(subjects.candidate, candidate.answers(evaluation, options.output), options.threshold)
    metric = scores.metric_of(options, answers, evaluation.labels)
    ours = scores.scored(answers, metric, evaluation)
    alphas = Alphas.of(options.alpha)
    findings = [finding for finding in [scores.bounded(ours, options, alphas)] if finding is not None]
    if subjects.stable is not None or not findings:
        stable = subjects.reference()
        theirs = scores.judged(stable, stable.loaded().answers(evaluation, options.output), options.threshold)
        compared = scores.compared(ours, scores.scored(theirs, metric, evaluation), options.margin, alphas)
        findings.insert(0, compared)
    return together(findings)
