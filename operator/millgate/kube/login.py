"""The login to the API server: as the pod's service account, or by a kubeconfig. The library does the work."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from millgate import __version__

USER_AGENT = f"millgate/{__version__}"
_CONNECTIONS = 16
_KUBECONFIG = "~/.kube/config"
_NAMESPACE_OF_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class LoginError(Exception):
    """There are no usable credentials; only a person can help."""


class Login:
    """Credentials of one API server, which can be read again when the server refuses them.

    Tokens of a pod are read again by the library every minute; `renew` is for those of a kubeconfig, whose exec
    plugin the library runs only once.
    """

    def __init__(
        self, kubeconfig: str | None = None, context: str | None = None, impersonate: str | None = None
    ) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._impersonate = impersonate
        self.namespace = "default"
        self._configuration: Any = Configuration()
        # Retries are ours: the library's ignore deadlines and would repeat writes.
        self._configuration.retries = None
        # Each TLS connection costs a buffer of 256 KiB; more of them than this make nothing faster.
        self._configuration.connection_pool_maxsize = _CONNECTIONS
        # With `trust_env` the client looks for a ~/.netrc in a thread, for every request: two thirds of its time.
        # The environment is asked once instead, and trusted only for the proxies that it names.
        self._trust_env = bool(getproxies())
        self._configuration.client_session_kwargs = {"trust_env": self._trust_env}

    async def client(self, traces: Sequence[aiohttp.TraceConfig] = ()) -> ApiClient:
        """A client whose requests `traces` follow. Raises LoginError."""
        await self.renew()
        self._configuration.trace_configs = list(traces)
        client: Any = ApiClient(self._configuration)
        client.user_agent = USER_AGENT
        if self._impersonate:
            client.set_default_header("Impersonate-User", self._impersonate)
        return client

    async def session(self) -> tuple[str, aiohttp.ClientSession]:
        """The server's address, and a session of the same login for code that brings its own requests (watches).

        The token is looked up for each request: a pod's is replaced while the operator runs.
        """
        client: Any = await self.client()
        configuration = client.configuration

        async def authenticated(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            settings = await configuration.auth_settings()
            if "BearerToken" in settings:
                request.headers["Authorization"] = settings["BearerToken"]["value"]
            return await handler(request)

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=client.rest_client.ssl_context, limit=0),
            headers=client.default_headers,
            middlewares=(authenticated,),
            proxy=configuration.proxy,
            trust_env=self._trust_env,
        )
        return configuration.host, session

    async def renew(self) -> None:
        """Raises LoginError."""
        try:
            if self._in_cluster:
                load_incluster_config(self._configuration)
                self.namespace = _namespace_of_pod()
            else:
                path = self._kubeconfig or os.environ.get("KUBECONFIG") or _KUBECONFIG
                loader: Any = await load_kube_config(
                    config_file=path,
                    context=self._context,
                    client_configuration=self._configuration,
                    persist_config=False,
                )
                self.namespace = loader.current_context["context"].get("namespace") or self.namespace
        except (ConfigException, OSError) as error:
            raise LoginError(f"no usable credentials for a cluster: {error}") from error

    @property
    def _in_cluster(self) -> bool:
        if self._kubeconfig or self._context or os.environ.get("KUBECONFIG"):
            return False
        return "KUBERNETES_SERVICE_HOST" in os.environ or not Path(_KUBECONFIG).expanduser().exists()


def _namespace_of_pod() -> str:
    return _NAMESPACE_OF_POD.read_text().strip() if _NAMESPACE_OF_POD.exists() else "default"
