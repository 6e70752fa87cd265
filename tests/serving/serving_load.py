"""Clients under which a server is stopped: kept-alive and fresh connections that count what they get."""

import threading
import time
from dataclasses import dataclass, field

from serving_process import Server, ask


@dataclass
class Load:
    """Runs until `stop`. Fresh connections end earlier, as kube-proxy ends them: when the pod has left the Service."""

    server: Server
    body: bytes
    kept_alive: int
    fresh: int
    answers: list[tuple[float, int, bool]] = field(default_factory=list)
    """When it was asked, the status, and whether the connection ends."""
    lost: list[str] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._stop, self._no_new = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=self._keep_alive) for _ in range(self.kept_alive)]
        self._threads += [threading.Thread(target=self._fresh) for _ in range(self.fresh)]
        for thread in self._threads:
            thread.start()
        return self

    def leave_service(self) -> None:
        """From now on nobody opens a connection to this pod."""
        self._no_new.set()

    def __exit__(self, *_: object) -> None:
        self._no_new.set()
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _keep_alive(self) -> None:
        connection = self.server.connect()
        while not self._stop.is_set():
            if self._ask(connection):
                connection.close()
                if self._no_new.is_set():
                    return
                connection = self.server.connect()

    def _fresh(self) -> None:
        while not self._no_new.is_set():
            connection = self.server.connect()
            self._ask(connection)
            connection.close()

    def _ask(self, connection) -> bool:
        """Whether the connection has to be given up."""
        asked_at = time.monotonic()
        try:
            answer = ask(connection, "POST", "/predict", self.body)
        except OSError as error:  # http.client's own errors on a broken connection are OSError too
            self.lost.append(repr(error))
            return True
        self.answers.append((asked_at, answer.status, answer.closes))
        return answer.closes
