"""HTTPS and HTTP on one port: the first byte of a connection tells which. The certificate may change meanwhile.

The kubelet and Prometheus ask the same port without TLS, so probes and metrics go on as they are; predictions are
refused there (`admission`).
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from millgate_serving.mounted import Mounted
from millgate_serving.protection import Tls

_HANDSHAKE: Final = b"\x16"  # the content type of the first record of TLS (RFC 8446, section 5.1)
_FIRST_BYTE_SECONDS = 60.0  # a client may connect before it has something to ask
_HANDSHAKE_SECONDS = 10.0
_ACCEPT_AGAIN_SECONDS = 1.0
_ACCEPTED_AT_ONCE = 100


def certificate(files: Tls) -> Mounted[ssl.SSLContext]:
    """Raises ServingError InvalidConfiguration."""

    def read() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            # An encrypted key would ask for its password on a terminal that nobody sits at.
            context.load_cert_chain(files.certificate_file, files.key_file, password=lambda: "")
        except (ssl.SSLError, ValueError):
            raise ValueError("they are not a certificate and the key that belongs to it, in PEM") from None
        return context

    return Mounted("TLS", (files.certificate_file, files.key_file), read)


class EitherServer:
    """Accepts for uvicorn, which only closes it: in place of the `asyncio.Server` that knows one of the two."""

    def __init__(
        self,
        listener: socket.socket,
        context: Mounted[ssl.SSLContext],
        protocol: Callable[[], asyncio.Protocol],
        most: int,
    ) -> None:
        """`most` connections may be about to begin at the same time."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._context = context
        self._protocol = protocol
        self._most = most
        self._beginning: set[asyncio.Task[None]] = set()
        self._closed = False
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        self._closed = True
        self._loop.remove_reader(self._listener)
        for task in self._beginning:
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._beginning, return_exceptions=True)

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no file descriptor is left; some will be
                self._loop.remove_reader(self._listener)
                self._loop.call_later(_ACCEPT_AGAIN_SECONDS, self._listen)
                return
            if len(self._beginning) >= self._most:
                connection.close()
                continue
            task = self._loop.create_task(self._begin(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        """A client that goes away or speaks no TLS that we know is nobody's error but its own."""
        connection.setblocking(False)
        try:
            async with asyncio.timeout(_FIRST_BYTE_SECONDS):
                first = await self._first_byte(connection)
            if not first:
                connection.close()
                return
            is_tls = first == _HANDSHAKE
            await self._loop.connect_accepted_socket(
                self._protocol,
                connection,
                ssl=self._context.current if is_tls else None,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if is_tls else None,
            )
        except (OSError, asyncio.CancelledError):
            connection.close()

    async def _first_byte(self, connection: socket.socket) -> bytes:
        """Left where it is, for whoever reads the connection then."""
        try:
            return connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            pass
        readable = self._loop.create_future()
        self._loop.add_reader(connection, _resolve, readable)
        try:
            await readable
        finally:
            self._loop.remove_reader(connection)
        return connection.recv(1, socket.MSG_PEEK)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
