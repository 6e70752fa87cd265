"""A mounted file that is read again when it changes: Kubernetes swaps the files of a Secret while the pod runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from millgate_serving.failure import ServingError
from millgate_serving.logs import log
from millgate_serving.variables import invalid

Content = TypeVar("Content")
_Stamp = tuple[tuple[int, int, int], ...]


class Mounted(Generic[Content]):
    """`current` is what `read` made of the files; after a change that cannot be read it is still the old one.

    `read` raises ValueError with a sentence that repeats nothing of the content. The first reading raises ServingError
    InvalidConfiguration; later ones are told in the log, once for each change.
    """

    def __init__(self, what: str, files: tuple[Path, ...], read: Callable[[], Content]) -> None:
        self._what = what
        self._files = files
        self._read = read
        self._stamp = self._stamped()
        self.current = self._content()

    def refresh(self) -> bool:
        """Whether there is something new. Meant for every few seconds: it costs one `stat` a file."""
        stamp = self._stamped()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.current = self._content()
        except ServingError as error:
            log("mounted file not read, the old content stays", "error", what=self._what, message=error.message)
            return False
        log("mounted file read again", what=self._what)
        return True

    def _stamped(self) -> _Stamp | None:
        """Through the symbolic link, which is what Kubernetes swaps. None while a file is missing."""
        try:
            stats = [file.stat() for file in self._files]
        except OSError:
            return None
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _content(self) -> Content:
        names = ", ".join(str(file) for file in self._files)
        try:
            return self._read()
        except OSError as error:
            raise invalid(f"{self._what}: cannot read {names}: {error.strerror or type(error).__name__}") from error
        except ValueError as error:
            raise invalid(f"{self._what}: {names}: {error}") from None
