"""The rule of thumb to compare with: an error rate over a threshold, looked at every minute, for a number of checks.

As Flagger's documentation sets it (a success rate of at least 99 % over one minute) with the failure limit of 3 of Argo
Rollouts' documentation, so that the fourth failed check takes the candidate back. A minute without requests is a failed
check there, and so is one in which metrics cannot be read.
"""

from dataclasses import dataclass

CHECK_SECONDS = 60.0


@dataclass(frozen=True)
class RuleOfThumb:
    """The candidate is taken back at the `failed_checks`-th minute in which more than `max_error_rate` has failed."""

    max_error_rate: float = 0.01
    failed_checks: int = 4
