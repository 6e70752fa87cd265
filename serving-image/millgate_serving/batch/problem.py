"""Why a batch cannot be scored although its model can be served: a sentence for the person who started it."""


class BatchError(Exception):
    """The files or the options do not allow it; trying again changes nothing."""
