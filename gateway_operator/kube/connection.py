"""The one place that imports the Kubernetes client library.

The library finds credentials (kubeconfig, the pod's own) and renews them; requests and answers stay raw JSON, because
its typed models are slow under watch load.
"""

from __future__ import annotations

import os
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies_environment

import aiohttp
from kubernetes.aio import client, config
from prometheus_client import Counter

from gateway_operator.errors import ConfigError, Unavailable

REQUESTS = Counter("rest_client_requests_total", "Requests to API servers.", ["code", "method", "host"])

# Of each TLS connection asyncio keeps a buffer of this size, and takes as much for every read; a TLS record has 16 KB.
# There is a connection for each watch, so with asyncio's 256 KB they would be much of the process.
SSLProtocol.max_size = 32 * 1024

_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_USERS_FILE = Path("~/.kube/config")


@dataclass(frozen=True)
class Credentials:
    """How one API server is reached, all in memory: PEM texts, and nothing secret in a repr."""

    server: str
    ca: str | None = None  # None: the machine's own authorities
    certificate: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    server_name: str | None = None
    verify: bool = True


class Connection:
    """Credentials and a pool of connections to one API server."""

    def __init__(self, configuration: Any) -> None:
        # Python 3.13 checks certificates more strictly than the CAs of many live clusters (no key usage) allow.
        configuration.disable_strict_ssl_verification = True
        # Reading the environment costs more than a request, for it includes ~/.netrc, which no API server is meant by.
        configuration.client_session_kwargs = {"trust_env": bool(getproxies_environment())}
        self._configuration = configuration
        self._server = urlsplit(configuration.host).netloc
        self._client = client.ApiClient(configuration)

    @classmethod
    async def open(cls, kubeconfig: Path | None, context: str | None, pool: int | None = None) -> Connection:
        """Find credentials: the file given, $KUBECONFIG, the pod's own, the user's file. Raises ConfigError.

        `pool` is how many requests may be open at once.
        """
        configuration = client.Configuration(connection_pool_maxsize=pool)
        file = kubeconfig or _default_file()
        try:
            if file is None:
                config.load_incluster_config(client_configuration=configuration)
            else:
                await config.load_kube_config(str(file), context=context, client_configuration=configuration)
        except (config.ConfigException, OSError) as error:
            raise ConfigError(f"no credentials for a cluster: {file or _IN_CLUSTER}: {error}") from error
        return cls(configuration)

    @classmethod
    def of(cls, credentials: Credentials) -> Connection:
        """Make a connection from credentials that lie in no file. Raises ConfigError when a certificate is no good."""
        configuration = client.Configuration(host=credentials.server)
        configuration.ca_cert_data = credentials.ca
        configuration.verify_ssl = credentials.verify
        configuration.tls_server_name = credentials.server_name
        if credentials.token:
            configuration.api_key["BearerToken"] = f"Bearer {credentials.token}"
        try:
            with _in_memory(credentials) as path:
                configuration.cert_file = path
                return cls(configuration)
        except (ssl.SSLError, ValueError) as error:  # its text could repeat what is secret
            raise ConfigError("the CA, the certificate or the key can't be read as PEM, or don't fit") from error
        finally:
            configuration.cert_file = None

    @property
    def host(self) -> str:
        """The API server's URL."""
        return str(self._configuration.host)

    @property
    def configuration(self) -> Any:
        """The library's configuration: host, CA, certificate and token sources."""
        return self._configuration

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        body: Any,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - handed to aiohttp, which enforces it
    ) -> aiohttp.ClientResponse:
        """Send one request and return the answer with its body unread. Raises Unavailable when there is none."""
        sent = dict(headers)
        await self._client.update_params_for_auth(sent, [], ["BearerToken"], path, method, body)
        url = f"{self.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = await self._client.call_api(method, url, header_params=sent, body=body, _request_timeout=timeout)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            REQUESTS.labels("<error>", method, self._server).inc()
            text = str(error) or type(error).__name__
            raise Unavailable(0, "Unreachable", f"{self.host} can't be reached: {text}") from error
        response: aiohttp.ClientResponse = answer.response
        REQUESTS.labels(str(response.status), method, self._server).inc()
        return response


@contextmanager
def _in_memory(credentials: Credentials) -> Iterator[str | None]:
    """Give certificate and key a path that no disk knows, since OpenSSL reads them from files only."""
    if not credentials.certificate or not credentials.key:
        yield None
        return
    handle = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(handle, f"{credentials.certificate}\n{credentials.key}\n".encode())
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _default_file() -> Path | None:
    """Where credentials are when nobody says: None means the pod's own."""
    if os.environ.get("KUBECONFIG"):
        return Path(os.environ["KUBECONFIG"])
    return None if _IN_CLUSTER.exists() else _USERS_FILE.expanduser()
