"""From annotations and the ConfigMap to the policies of one route: plain functions of checked values.

An annotation wins over the ConfigMap; None in a policy means the gateway's own setting, so the renderers print or send
only what differs.
"""

from __future__ import annotations

import re

from gateway_operator.crds.config_types import size_bytes
from gateway_operator.ingress.annotation_backend import BackendNotes, ExtraNotes
from gateway_operator.ingress.gateway_config import GatewayConfig
from gateway_operator.ingress.graph_types import Access, Backend, HostRoute
from gateway_operator.ingress.parse import IngressRules
from gateway_operator.ingress.plan import RouteSettings, Settings
from gateway_operator.ingress.policies import (
    Affinity,
    Balancing,
    BasicAuth,
    Canary,
    Cors,
    ExternalAuth,
    HealthCheck,
    Limits,
    Profile,
    Redirect,
    Rewrite,
    UpstreamTls,
)

DEFAULT_PORTS = {True: 443, False: 80}
_CORS_METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS")
_CORS_HEADERS = (
    "DNT", "Keep-Alive", "User-Agent", "X-Requested-With", "If-Modified-Since", "Cache-Control", "Content-Type",
    "Range", "Authorization",
)  # fmt: skip


def protocol_of(rules: IngressRules) -> str:
    """Return what is spoken to the backends: http, https, grpc or grpcs."""
    return rules.annotations.backend.backend_protocol or "http"


def balancing_of(rules: IngressRules, config: GatewayConfig, affinity: Affinity | None) -> Balancing:
    """Return how endpoints are chosen. A cookie comes before a hash, a hash before an algorithm, as upstream's."""
    notes, extra = rules.annotations.balancing, rules.annotations.extra
    hash_by = None if affinity else notes.upstream_hash_by
    return Balancing(
        algorithm="hash" if hash_by else notes.load_balance or config.algorithm,
        hash_by=hash_by,
        affinity=affinity,
        max_fails=config.max_fails if extra.max_fails is None else extra.max_fails,
        fail_timeout=config.fail_timeout if extra.fail_timeout is None else extra.fail_timeout,
        slow_start=extra.slow_start or 0.0,
        health_check=_health_check(extra),
    )


def _health_check(extra: ExtraNotes) -> HealthCheck | None:
    if extra.health_check_path is None:
        return None
    path = None if extra.health_check_path == "tcp" else extra.health_check_path
    return HealthCheck(path, extra.health_check_host, extra.health_check_interval or HealthCheck.interval)


def affinity_of(route: HostRoute) -> Affinity | None:
    """Return the cookie of a route's main Ingress; `legacy` on it or on a canary lets canaries ignore the cookie."""
    notes = route.rules.annotations.balancing
    if notes.affinity != "cookie":
        return None
    behaviours = [notes, *(canary.rules.annotations.balancing for canary in route.canaries)]
    return Affinity(
        cookie=notes.session_cookie_name or Affinity.cookie,
        persistent=notes.affinity_mode == "persistent",
        path=notes.session_cookie_path,
        domain=notes.session_cookie_domain,
        max_age=notes.session_cookie_max_age,
        expires=notes.session_cookie_expires,
        samesite=notes.session_cookie_samesite,
        conditional_samesite_none=bool(notes.session_cookie_conditional_samesite_none),
        secure=notes.session_cookie_secure,
        change_on_failure=bool(notes.session_cookie_change_on_failure),
        canary_sticky=not any(item.affinity_canary_behavior == "legacy" for item in behaviours),
    )


def profile_of(
    route: HostRoute, config: GatewayConfig, auth: ExternalAuth | None, error_upstream: str | None
) -> Profile:
    """Return what nginx takes from its configuration only."""
    notes, access = route.rules.annotations.backend, route.access
    rates = route.rules.annotations.limits
    return Profile(
        protocol=protocol_of(route.rules),
        tls=_upstream_tls(route),
        body_size=notes.proxy_body_size,
        client_body_buffer_size=notes.client_body_buffer_size,
        buffer_size=notes.proxy_buffer_size,
        buffers_number=notes.proxy_buffers_number,
        busy_buffers_size=busy_buffers(notes, config.settings),
        max_temp_file_size=notes.proxy_max_temp_file_size,
        buffering=notes.proxy_buffering,
        request_buffering=notes.proxy_request_buffering,
        http_version=notes.proxy_http_version,
        next_upstream=notes.proxy_next_upstream,
        next_upstream_tries=notes.proxy_next_upstream_tries,
        next_upstream_timeout=notes.proxy_next_upstream_timeout,
        cookie_domain=notes.proxy_cookie_domain,
        cookie_path=notes.proxy_cookie_path,
        redirect=_location_rewrite(notes),
        connection_header=notes.connection_proxy_header,
        intercept_errors=_intercepted(notes, config) if error_upstream else (),
        external_auth=auth,
        basic_auth=access.passwords is not None,
        satisfy_any=route.rules.annotations.auth.satisfy == "any",
        cors=cors_of(route.rules) is not None,
        access_log=notes.enable_access_log is not False,
        limit_rate=rates.limit_rate,
        limit_rate_after=rates.limit_rate_after,
    )


def _upstream_tls(route: HostRoute) -> UpstreamTls | None:
    notes, access = route.rules.annotations.backend, route.access
    if protocol_of(route.rules) not in {"https", "grpcs"}:
        return None
    tls = UpstreamTls(
        pair=access.pair.certificate.id if access.pair else None,
        authority=access.authority.id if access.authority else None,
        verify=bool(notes.proxy_ssl_verify and access.authority),
        verify_depth=notes.proxy_ssl_verify_depth or 1,
        name=notes.proxy_ssl_name,
        server_name=bool(notes.proxy_ssl_server_name),
        ciphers=notes.proxy_ssl_ciphers,
        protocols=notes.proxy_ssl_protocols,
    )
    return None if tls == UpstreamTls() else tls


def busy_buffers(notes: BackendNotes, settings: Settings) -> str | None:
    """Return the size of busy buffers that a route needs; what nginx would refuse becomes two buffers."""
    wanted = notes.proxy_busy_buffers_size or settings.proxy_busy_buffers_size
    if wanted is None or fits_buffers(
        wanted,
        notes.proxy_buffer_size or settings.proxy_buffer_size,
        notes.proxy_buffers_number or settings.proxy_buffers_number,
    ):
        return notes.proxy_busy_buffers_size
    return str(2 * size_bytes(notes.proxy_buffer_size or settings.proxy_buffer_size))


def fits_buffers(busy: str, buffer: str, number: int) -> bool:
    """Tell whether nginx takes these three together."""
    return size_bytes(buffer) <= size_bytes(busy) <= (number - 1) * size_bytes(buffer)


def _location_rewrite(notes: BackendNotes) -> tuple[str, str] | None:
    start, end = notes.proxy_redirect_from, notes.proxy_redirect_to
    if start in {"off", "default"}:
        return (start, "")
    if start is None or end is None or end in {"off", "default"}:
        return None
    return (start, end)


def _intercepted(notes: BackendNotes, config: GatewayConfig) -> tuple[int, ...]:
    off = config.no_intercept if notes.disable_proxy_intercept_errors is None else notes.disable_proxy_intercept_errors
    codes = config.custom_errors if notes.custom_http_errors is None else notes.custom_http_errors
    return () if off else tuple(sorted(set(codes)))


def cors_of(rules: IngressRules) -> Cors | None:
    """Return the CORS policy; an origin list that was wrong switches CORS off rather than opening it."""
    notes = rules.annotations.cors
    if not notes.enable_cors or notes.cors_allow_origin == ():
        return None
    return Cors(
        origins=notes.cors_allow_origin or ("*",),
        methods=notes.cors_allow_methods or _CORS_METHODS,
        headers=notes.cors_allow_headers or _CORS_HEADERS,
        expose=notes.cors_expose_headers or (),
        credentials=notes.cors_allow_credentials is not False,
        max_age=Cors.max_age if notes.cors_max_age is None else notes.cors_max_age,
    )


def external_auth(rules: IngressRules, access: Access, config: GatewayConfig, upstream: str) -> ExternalAuth | None:
    """Return who decides, from the Ingress's own annotations or from the ConfigMap's `global-auth-*`."""
    if access.auth is None:
        return None
    url, notes = access.auth.url, rules.annotations.auth
    host = url.host if not url.host or url.port == DEFAULT_PORTS[url.tls] else f"{url.host}:{url.port}"
    if access.auth.is_global and config.global_auth is not None:
        wide = config.global_auth
        signin, param = wide.signin, wide.redirect_param
        method, headers, redirect, always = (
            wide.method,
            wide.response_headers,
            wide.request_redirect,
            wide.always_set_cookie,
        )
    else:
        signin, param = notes.auth_signin, notes.auth_signin_redirect_param
        method, headers = notes.auth_method, notes.auth_response_headers or ()
        redirect, always = notes.auth_request_redirect, bool(notes.auth_always_set_cookie)
    return ExternalAuth(
        upstream, access.auth.tls, host, url.uri, method, signin, _param(signin, param), headers, redirect, always
    )


def _param(signin: str | None, param: str | None) -> str:
    """Return the parameter that gets the wanted URL; none where the sign-in URL has it already."""
    name = param or ExternalAuth.redirect_param
    return "" if signin and re.search(rf"[?&]{re.escape(name)}=", signin) else name


def settings_of(
    route: HostRoute,
    config: GatewayConfig,
    *,
    tls_redirect: bool,
    error_upstream: str | None,
    canaries: tuple[Canary, ...] = (),
) -> RouteSettings:
    """Return what a running nginx takes as data."""
    notes, access = route.rules.annotations, route.access
    target = notes.routing.rewrite_target
    return RouteSettings(
        tls_redirect=tls_redirect,
        redirect=redirect_of(route),
        cors=cors_of(route.rules),
        limits=_limits(route.rules),
        allow=config.allow if notes.limits.allowlist_source_range is None else notes.limits.allowlist_source_range,
        deny=config.deny if notes.limits.denylist_source_range is None else notes.limits.denylist_source_range,
        basic_auth=_basic_auth(route),
        canaries=canaries,
        rewrite=Rewrite(target) if target and not route.app_root else None,
        connect_timeout=notes.backend.proxy_connect_timeout,
        read_timeout=notes.backend.proxy_read_timeout,
        send_timeout=notes.backend.proxy_send_timeout,
        upstream_host=_upstream_host(route.rules, route.backend),
        forwarded_prefix=notes.routing.x_forwarded_prefix,
        response_headers=tuple(sorted((*access.headers, *(notes.extra.response_headers or ())))),
        error_upstream=error_upstream,
    )


def redirect_of(route: HostRoute) -> Redirect | None:
    """Return where clients are sent instead of a backend; temporal comes before permanent, as upstream's."""
    notes = route.rules.annotations.routing
    if route.app_root:
        return Redirect(302, route.app_root)
    if notes.temporal_redirect:
        return _redirect(notes.temporal_redirect_code or 302, notes.temporal_redirect)
    if notes.permanent_redirect:
        return _redirect(notes.permanent_redirect_code or 301, notes.permanent_redirect)
    return None


def _redirect(code: int, url: str) -> Redirect:
    plain = url.removesuffix("${request_uri}")
    return Redirect(code, plain, append_uri=plain != url)


def _limits(rules: IngressRules) -> Limits | None:
    notes = rules.annotations.limits
    if not (notes.limit_rps or notes.limit_rpm or notes.limit_connections):
        return None
    return Limits(
        notes.limit_rps or None,
        notes.limit_rpm or None,
        notes.limit_connections or None,
        notes.limit_burst_multiplier or Limits.burst_multiplier,
        notes.limit_allowlist or (),
    )


def _basic_auth(route: HostRoute) -> BasicAuth | None:
    passwords = route.access.passwords
    return BasicAuth(passwords.id, route.rules.annotations.auth.auth_realm or BasicAuth.realm) if passwords else None


def _upstream_host(rules: IngressRules, backend: Backend) -> str | None:
    text = rules.annotations.routing.upstream_vhost
    if text is None:
        return None
    for name, value in (
        ("service_name", backend.service),
        ("namespace", backend.namespace),
        ("service_port", backend.port),
        ("ingress_name", rules.ref.name),
    ):
        text = text.replace(f"${{{name}}}", value)
    return text
