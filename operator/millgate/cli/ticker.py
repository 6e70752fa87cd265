"""Says on stderr that a command is still waiting: a spinner on a terminal, a line now and then in a log."""

from dataclasses import dataclass, field
from typing import TextIO

from millgate.cli.text import Style, span

_FRAMES = "|/-\\"
_SECONDS_BETWEEN_LINES = 3.0


@dataclass
class Ticker:
    """`tick` as often as you like; it decides what is worth writing."""

    stream: TextIO
    style: Style
    is_terminal: bool
    _frame: int = 0
    _last_line: float = 0.0
    _drawn: int = field(default=0)

    def tick(self, text: str, elapsed_seconds: float) -> None:
        if self.is_terminal:
            self._frame = (self._frame + 1) % len(_FRAMES)
            line = self.style.finish(f"{_FRAMES[self._frame]} {text} ({span(elapsed_seconds)})")
            self._draw(line)
        elif elapsed_seconds - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = elapsed_seconds
            self.stream.write(self.style.finish(f"{text} ({span(elapsed_seconds)})\n"))
            self.stream.flush()

    def clear(self) -> None:
        """The spinner leaves no trace."""
        if self._drawn:
            self._draw("")

    def _draw(self, line: str) -> None:
        self.stream.write("\r" + line.ljust(self._drawn) + ("" if line else "\r"))
        self.stream.flush()
        self._drawn = len(line)
