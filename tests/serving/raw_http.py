"""Requests as bytes on a socket, for what no HTTP client would send."""

import re
import socket


def connected(server) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def received(raw: socket.socket, answers: int) -> list[bytes]:
    """So many whole answers."""
    found, rest = [], b""
    while len(found) < answers:
        head, blank, body = rest.partition(b"\r\n\r\n")
        if blank and len(body) >= (length := int(re.findall(rb"content-length: (\d+)", head)[0])):
            found.append(head + blank + body[:length])
            rest = body[length:]
            continue
        part = raw.recv(65536)
        assert part, rest
        rest += part
    assert not rest
    return found
