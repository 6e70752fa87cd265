"""`millgate-serving health`: for engines that ask a command instead of a path, such as Docker's HEALTHCHECK."""

import http.client
import os

_TIMEOUT_SECONDS = 2.5


def run() -> int:
    """0 when the server in this container is ready, 1 when it is not. It is asked without TLS, as the kubelet asks."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(os.environ.get("MILLGATE_PORT") or 8080), timeout=_TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", "/readyz")
        return int(connection.getresponse().status != 200)
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()
