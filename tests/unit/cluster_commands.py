"""A stand-in for the runner of commands: writes down what would run, and answers as the test says."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from e2e.cluster.paths import ClusterError
from e2e.cluster.processes import Result, Runner

Answer = Callable[[list[str]], Result | None]


class Commands(Runner):
    """`answer` gets the words of a command; None stands for success without a word."""

    def __init__(self, answer: Answer = lambda _: None) -> None:
        super().__init__()
        self.answer = answer
        self.seen: list[str] = []

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,  # noqa: ARG002  the real one's signature
        env: Mapping[str, str] | None = None,  # noqa: ARG002
        check: bool = True,
    ) -> Result:
        words = [str(word) for word in argv]
        self.seen.append(" ".join(words))
        result = self.answer(words) or Result(0, "", "")
        if check and result.code:
            raise ClusterError(result.err)
        return result


def by_start(answers: Mapping[str, Result]) -> Answer:
    """Answers from a table of how the command begins."""

    def answer(words: list[str]) -> Result | None:
        line = " ".join(words)
        return next((result for start, result in answers.items() if line.startswith(start)), None)

    return answer
