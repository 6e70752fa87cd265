"""Verdicts: is the candidate worse than stable, is a number inside its bounds. Pure: no I/O and no clock."""
