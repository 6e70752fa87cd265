"""How a request is declined: a status, one sentence for the client, and the headers that belong to it."""

Header = tuple[bytes, bytes]


class Refusal(Exception):  # noqa: N818 - not a failure of ours: an answer
    """A request that is answered by `status` and a sentence for the client.

    `reason` is one of few words for metrics; the sentence may name fields, and so it never becomes a label.
    """

    def __init__(self, status: int, message: str, headers: tuple[Header, ...] = (), reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.reason = reason


class OutputRefused(Exception):  # noqa: N818 - what the model answered is no answer
    """The model's answer breaks a rule that the model itself declares. `message` names the rule, never a value."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
