"""The plan: what nginx shall do, in plain data that knows neither Kubernetes nor nginx's syntax.

Everything is frozen and sorted, so equal plans are equal values and give equal bytes. Both renderers read only this.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway_operator.ingress.policies import (
    Balancing,
    BasicAuth,
    Canary,
    Ciphers,
    ClientAuth,
    Cors,
    Limits,
    Profile,
    Redirect,
    Rewrite,
)


def stable_id(*parts: str) -> str:
    """Return a short hash that names a thing in files and variables, where no user's text may appear."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, order=True)
class Endpoint:
    """One address that serves a backend, and its share among its neighbours."""

    address: str
    port: int
    weight: int = 1

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Upstream:
    """A backend with at least one endpoint; plain and TLS connections never share one.

    A `member` has the endpoints of another cluster, whose network can vanish without a word.
    """

    id: str
    endpoints: tuple[Endpoint, ...]
    balancing: Balancing = Balancing()
    member: bool = False


@dataclass(frozen=True)
class SplitPart:
    """What a cluster gets of a split: `share` in hundredths of a percent, 0 for one that only stands by.

    `tag` names the cluster in cookies. Without an upstream the share is answered with 503.
    """

    cluster: str
    tag: str
    upstream: str | None
    share: int


@dataclass(frozen=True)
class Split:
    """Requests for one path of a policy, spread over clusters by a key: request, client, header or cookie.

    `parts` are in the order of the clusters' names and sum to 10,000; without any everything is answered with 503.
    `spare` are the clusters that take over what another one fails to take, the first first. `cookie` binds clients to
    their cluster for `max_age` seconds (0: until the browser is closed). `labels` are the policy's namespace and name,
    and host and path of the rule.
    """

    id: str
    key: str = "request"
    key_name: str = ""
    parts: tuple[SplitPart, ...] = ()
    spare: tuple[str, ...] = ()
    cookie: str | None = None
    max_age: int = 0
    retry_after: bool = False
    labels: tuple[str, str, str, str] = ("", "", "", "")


@dataclass(frozen=True)
class Certificate:
    """A certificate chain and its key, checked to belong together."""

    id: str
    pem: bytes = field(repr=False)


@dataclass(frozen=True)
class Labels:
    """What access logs and metrics call a route by."""

    namespace: str = ""
    ingress: str = ""
    service: str = ""
    port: str = ""

    @property
    def upstream_name(self) -> str:
        """Upstream's name of a backend in access logs, which log parsers depend on."""
        return f"{self.namespace}-{self.service}-{self.port}" if self.service else ""


@dataclass(frozen=True)
class Authority:
    """Certificates that sign others (PEM, checked), and revocation lists behind them."""

    id: str
    pem: bytes = field(repr=False)


@dataclass(frozen=True)
class PasswordFile:
    """Lines `user:hash` for basic authentication, each checked."""

    id: str
    lines: bytes = field(repr=False)


@dataclass(frozen=True)
class RouteSettings:
    """What an Ingress may set for its own routes as data; None means the gateway's setting."""

    tls_redirect: bool = False
    redirect: Redirect | None = None
    cors: Cors | None = None
    limits: Limits | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    basic_auth: BasicAuth | None = None
    canaries: tuple[Canary, ...] = ()
    rewrite: Rewrite | None = None
    connect_timeout: str | None = None
    read_timeout: str | None = None
    send_timeout: str | None = None
    upstream_host: str | None = None
    forwarded_prefix: str | None = None
    response_headers: tuple[tuple[str, str], ...] = ()
    error_upstream: str | None = None  # answers Profile.intercept_errors


@dataclass(frozen=True)
class Route:
    """Requests for one path: to an upstream, to a split (by its id), or answered with `status` when there is neither.

    `regex` paths are matched from the start of the path, whatever its case, in the order that the server lists them.
    """

    path: str
    exact: bool
    upstream: str | None
    status: int = 503
    labels: Labels = Labels()
    settings: RouteSettings = RouteSettings()
    owner: str = ""
    regex: bool = False
    profile: Profile = Profile()
    split: str | None = None

    @property
    def sort_key(self) -> tuple[bool, int, str, bool]:
        """Order by path, the exact route before the prefix; regular expressions come last, the longest first."""
        return (self.regex, -len(self.path) if self.regex else 0, self.path, not self.exact)


@dataclass(frozen=True)
class Server:
    """One host: a name, `*.name` for exactly one label more, or "" for every host that no other server has.

    A host with regex routes matches the exact ones first, then the regular expressions in order, then the prefixes.
    """

    id: str
    host: str
    routes: tuple[Route, ...]
    certificate: str | None = None
    tls: bool = False
    tls_owner: str = ""
    aliases: tuple[str, ...] = ()
    client_auth: ClientAuth | None = None
    ciphers: Ciphers | None = None


@dataclass(frozen=True)
class Service:
    """A port that is passed on as a stream (`tcp`, `udp`); `upstream` has the Service's own address."""

    port: int
    protocol: str
    upstream: str | None
    accept_proxy: bool = False
    send_proxy: bool = False


@dataclass(frozen=True)
class Passthrough:
    """TLS for a name goes to its backend unopened."""

    host: str
    upstream: str
    owner: str = ""


@dataclass(frozen=True)
class Settings:
    """What holds for all hosts; the names are those of the ConfigMap's keys with underscores."""

    use_forwarded_headers: bool
    compute_full_forwarded_for: bool
    forwarded_for_header: str
    proxy_real_ip_cidr: tuple[str, ...]
    enable_real_ip: bool
    use_proxy_protocol: bool
    proxy_body_size: str
    proxy_connect_timeout: str
    proxy_read_timeout: str
    proxy_send_timeout: str
    proxy_buffer_size: str
    proxy_buffers_number: int
    proxy_buffering: str
    proxy_request_buffering: str
    proxy_next_upstream: str
    proxy_next_upstream_timeout: str
    proxy_next_upstream_tries: int
    client_header_buffer_size: str
    client_header_timeout: str
    client_body_buffer_size: str
    client_body_timeout: str
    large_client_header_buffers: str
    keep_alive: str
    keep_alive_requests: int
    use_http2: bool
    use_gzip: bool
    gzip_level: int
    gzip_min_length: int
    gzip_types: tuple[str, ...]
    upstream_keepalive_connections: int
    upstream_keepalive_timeout: str
    upstream_keepalive_requests: int
    upstream_keepalive_time: str
    worker_processes: str
    max_worker_connections: int
    worker_shutdown_timeout: str
    server_name_hash_max_size: int
    server_name_hash_bucket_size: int
    map_hash_bucket_size: int
    ssl_protocols: str
    ssl_ciphers: str
    http_redirect_code: int
    hsts: bool
    hsts_max_age: int
    hsts_include_subdomains: bool
    hsts_preload: bool
    ssl_reject_handshake: bool
    log_format_upstream: str
    log_format_escape_json: bool
    error_log_level: str
    disable_access_log: bool
    server_tokens: bool
    proxy_busy_buffers_size: str | None
    proxy_max_temp_file_size: str
    proxy_http_version: str
    proxy_cookie_domain: tuple[str, str] | None  # as in Profile
    proxy_cookie_path: tuple[str, str] | None
    proxy_redirect_from: str
    proxy_redirect_to: str
    proxy_add_original_uri_header: bool
    add_headers: tuple[tuple[str, str], ...]  # on every answer
    proxy_set_headers: tuple[tuple[str, str], ...]  # to every backend; values may hold variables of HEADER_VARIABLES
    hide_headers: tuple[str, ...]
    allow_backend_server_header: bool
    generate_request_id: bool
    http2_max_concurrent_streams: int
    ignore_invalid_headers: bool
    enable_underscores_in_headers: bool
    limit_rate: int  # KiB a second; 0 is no limit
    limit_rate_after: int  # KiB
    limit_req_status_code: int
    limit_conn_status_code: int
    block_cidrs: tuple[str, ...]
    block_user_agents: tuple[str, ...]  # whole texts, or `~` (`~*`: any case) and a regular expression
    block_referers: tuple[str, ...]
    worker_cpu_affinity: str
    max_worker_open_files: int
    enable_multi_accept: bool
    reuse_port: bool
    bind_address: tuple[str, ...]
    disable_ipv6: bool
    proxy_headers_hash_max_size: int
    proxy_headers_hash_bucket_size: int
    variables_hash_max_size: int
    variables_hash_bucket_size: int
    ssl_ecdh_curve: str
    ssl_buffer_size: str
    ssl_session_cache: bool
    ssl_session_cache_size: str
    ssl_session_tickets: bool
    ssl_session_timeout: str
    ssl_early_data: bool
    log_format_escape_none: bool
    access_log_path: str
    http_access_log_path: str  # "" is access_log_path
    error_log_path: str
    disable_http_access_log: bool
    skip_access_log_urls: tuple[str, ...]

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> Settings:
        """Pick the settings out of the ConfigMap's typed values; what names another ConfigMap is filled in later."""
        values = dict(values) | {"add-headers": (), "proxy-set-headers": ()}
        return cls(**{item.name: values[item.name.replace("_", "-")] for item in dataclasses.fields(cls)})


@dataclass(frozen=True)
class Machine:
    """What the nginx that will read the text is like: its version, how many workers fit, its ports and folders."""

    http_port: int = 80
    https_port: int = 443
    status_port: int = 10246
    ipv6: bool = False
    cpus: int = 1
    nginx_version: tuple[int, ...] = (1, 26, 3)
    run_dir: str = "/run/gateway"
    modules: str = "/usr/lib/nginx/modules"  # where ndk_http_module.so and the others lie
    lua: str = ""  # the folder of our Lua files as nginx sees it; "" where nginx has no Lua
    memory: int = 0  # bytes that the pod may use; 0 where nobody said
    data_size: int = 16 << 20  # bytes of memory for the data of a running nginx, a power of two
    inner_https_port: int = 10442  # on loopback, behind the stream that looks at names for ssl-passthrough
    inner_stream_port: int = 10443  # on loopback, where that stream takes the PROXY protocol off again


@dataclass(frozen=True)
class Plan:
    """All that a renderer needs. `servers` holds exactly one with host "" (the default server)."""

    machine: Machine
    settings: Settings
    servers: tuple[Server, ...]
    upstreams: tuple[Upstream, ...]
    certificates: tuple[Certificate, ...]
    default_certificate: str
    authorities: tuple[Authority, ...] = ()
    password_files: tuple[PasswordFile, ...] = ()
    services: tuple[Service, ...] = ()
    passthroughs: tuple[Passthrough, ...] = ()
    passthrough_enabled: bool = False
    metrics: bool = True
    splits: tuple[Split, ...] = ()
    cut: tuple[str, ...] = ()  # addresses with ports of clusters that are down for sure: nothing waits for them
