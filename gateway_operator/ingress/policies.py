"""What one route asks for beyond "send it there": frozen values, checked, free of Kubernetes and of nginx's syntax.

`Profile` holds what nginx takes from its configuration only; routes with equal profiles share text, and a new profile
costs a reload. Everything else is data that a running nginx can take.

The order in which a request meets them is the same in both renderers, and is nginx's own: redirect to TLS, redirect,
CORS preflight, limits, source ranges, client certificate, basic and external authentication, canary, rewrite, backend.
"""

from __future__ import annotations

from dataclasses import dataclass

# Texts that may hold variables hold them as `${name}`, and only these.
URL_VARIABLES = frozenset(
    {"host", "http_host", "best_http_host", "server_name", "scheme", "pass_access_scheme", "request_uri"}
    | {"escaped_request_uri", "uri", "args", "is_args", "query_string", "request_method", "remote_addr", "request_id"}
)
HASH_VARIABLES = URL_VARIABLES | {"binary_remote_addr", "the_real_ip", "remote_user", "server_port", "ssl_client_s_dn"}
HASH_PREFIXES = ("http_", "cookie_", "arg_")  # each with a name of letters, digits and _ behind it


@dataclass(frozen=True)
class UpstreamTls:
    """How TLS to a backend is made. `pair` and `authority` are ids of `Plan.certificates` and `Plan.authorities`."""

    pair: str | None = None
    authority: str | None = None
    verify: bool = False
    verify_depth: int = 1
    name: str | None = None
    server_name: bool = False
    ciphers: str | None = None
    protocols: str | None = None


@dataclass(frozen=True)
class ExternalAuth:
    """A subrequest that decides (`auth-url`). `upstream` is the id of the upstream that answers it.

    `host` goes into Host (and SNI; with its port where that isn't the scheme's), or is "" for the request's own host;
    `uri` is path and query; `signin` is where clients go on 401, with the parameter `redirect_param` holding the URL
    they wanted unless it is "". `uri`, `signin` and `request_redirect` may hold variables of `URL_VARIABLES`.
    """

    upstream: str
    tls: bool
    host: str
    uri: str
    method: str | None = None
    signin: str | None = None
    redirect_param: str = "rd"
    response_headers: tuple[str, ...] = ()
    request_redirect: str | None = None
    always_set_cookie: bool = False


@dataclass(frozen=True)
class Profile:
    """Directives that nginx reads from its configuration only; None means the gateway's setting."""

    protocol: str = "http"  # http, https, grpc or grpcs
    tls: UpstreamTls | None = None
    body_size: str | None = None
    client_body_buffer_size: str | None = None
    buffer_size: str | None = None
    buffers_number: int | None = None
    busy_buffers_size: str | None = None
    max_temp_file_size: str | None = None
    buffering: str | None = None
    request_buffering: str | None = None
    http_version: str | None = None
    next_upstream: str | None = None
    next_upstream_tries: int | None = None
    next_upstream_timeout: str | None = None
    cookie_domain: tuple[str, str] | None = None  # from, to; ("off", "") for none
    cookie_path: tuple[str, str] | None = None
    redirect: tuple[str, str] | None = None  # Location headers: from, to; ("off", "") or ("default", "")
    connection_header: str | None = None
    intercept_errors: tuple[int, ...] = ()  # answered by Route.error_upstream
    external_auth: ExternalAuth | None = None
    basic_auth: bool = False
    satisfy_any: bool = False
    cors: bool = False  # the backend's own Access-Control headers are dropped
    access_log: bool = True
    limit_rate: int | None = None  # KiB a second of an answer; 0 is no limit
    limit_rate_after: int | None = None  # KiB


@dataclass(frozen=True)
class Redirect:
    """An answer instead of a backend. `url` is absolute, `//host...` (the request's scheme) or a path."""

    code: int
    url: str
    append_uri: bool = False


@dataclass(frozen=True)
class Rewrite:
    """The URI that the backend gets; `$1` to `$9` are the groups of the route's regular expression."""

    target: str


@dataclass(frozen=True)
class Cors:
    """`origins` are literal, `*`, or have one `*` label (`https://*.example.com`, any port with `:*`)."""

    origins: tuple[str, ...] = ("*",)
    methods: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = True
    max_age: int = 1728000


@dataclass(frozen=True)
class Limits:
    """Per client address; None is no limit. Bursts are `rate * burst_multiplier`; `exempt` are networks."""

    rps: int | None = None
    rpm: int | None = None
    connections: int | None = None
    burst_multiplier: int = 5
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True)
class BasicAuth:
    """`file` is the id of one of `Plan.password_files`."""

    file: str
    realm: str = "Authentication Required"


@dataclass(frozen=True)
class ClientAuth:
    """Client certificates for a whole host. `authority` is an id of `Plan.authorities`.

    `verify` is on, optional or optional_no_ca; `common_name` is a regular expression for the subject, checked.
    """

    authority: str
    verify: str = "on"
    depth: int = 1
    pass_certificate: bool = False
    common_name: str | None = None
    error_page: str | None = None


@dataclass(frozen=True)
class Ciphers:
    """A host's own ciphers, up to TLS 1.2, and whose order of them counts; None means the gateway's setting."""

    names: str | None = None
    prefer_own: bool | None = None


@dataclass(frozen=True)
class Canary:
    """An alternative backend: chosen by header, then by cookie, then by weight out of `total`."""

    upstream: str | None
    weight: int = 0
    total: int = 100
    header: str | None = None
    header_value: str | None = None
    header_pattern: str | None = None
    cookie: str | None = None
    upstream_name: str = ""  # for the log
    owner: str = ""


@dataclass(frozen=True)
class Affinity:
    """A cookie binds a client to an endpoint. `persistent` keeps it there even when endpoints are added."""

    cookie: str = "INGRESSCOOKIE"
    persistent: bool = False
    path: str | None = None
    domain: str | None = None
    max_age: int | None = None
    expires: int | None = None
    samesite: str | None = None
    conditional_samesite_none: bool = False
    secure: bool | None = None
    change_on_failure: bool = False
    canary_sticky: bool = True


@dataclass(frozen=True)
class HealthCheck:
    """Active probes: HTTP GET of `path` (or a TCP connect when None), every `interval` seconds."""

    path: str | None = None
    host: str | None = None
    interval: float = 10.0  # that of Kubernetes' own probes
    timeout: float = 1.0
    fails: int = 2
    passes: int = 2


@dataclass(frozen=True)
class Balancing:
    """How an upstream's endpoint is chosen.

    `algorithm` is round_robin, least_conn (the better of two random ones), ewma or hash; `hash_by` is a text with
    nginx variables of a fixed list. `max_fails` failures within `fail_timeout` seconds rest an endpoint for as long
    (0: never). `slow_start` seconds ramp a new endpoint's weight.
    """

    algorithm: str = "round_robin"
    hash_by: str | None = None
    affinity: Affinity | None = None
    max_fails: int = 0
    fail_timeout: float = 10.0
    slow_start: float = 0.0
    health_check: HealthCheck | None = None
