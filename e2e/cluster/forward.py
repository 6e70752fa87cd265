"""A port of this machine's loopback that leads to an address inside the cluster's network namespace."""

import os
import socket
import sys
import threading

from e2e.cluster.paths import ClusterError
from e2e.cluster.processes import MARK, enter_network
from e2e.cluster.status import Status

CONNECT_SECONDS = 5.0
CHUNK_BYTES = 65536


def serve(status: Status, port: int, target: str) -> None:
    """Until interrupted. A socket belongs to the namespace it was made in: listen first, then enter, then connect."""
    if status.state and os.environ.get(MARK) != status.state:  # begin anew with the mark, so that `down` ends this too
        os.execve(  # noqa: S606
            sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, MARK: status.state}
        )
    host, _, inner_port = target.rpartition(":")
    if not host or not inner_port.isdigit():
        raise ClusterError(f"{target!r} is not IP:PORT")
    listener = socket.create_server(("127.0.0.1", port))
    if status.namespace_pid:
        enter_network(status.namespace_pid)
    print(f"127.0.0.1:{listener.getsockname()[1]} → {target}", flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=_join, args=[client, (host, int(inner_port))], daemon=True).start()


def _join(client: socket.socket, address: tuple[str, int]) -> None:
    try:
        upstream = socket.create_connection(address, timeout=CONNECT_SECONDS)
    except OSError:
        client.close()
        return
    upstream.settimeout(None)
    back = threading.Thread(target=_pump, args=[upstream, client], daemon=True)
    back.start()
    _pump(client, upstream)
    back.join()
    client.close()
    upstream.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
