"""The gateway's ConfigMap, read: settings for the plan, and the keys that shape graph, routes or status."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway_operator.crds.config_keys import parse_config
from gateway_operator.crds.config_types import log_format
from gateway_operator.ingress import annotation_readers as read
from gateway_operator.ingress.annotation_rows import Risk
from gateway_operator.ingress.annotations import ReadRules
from gateway_operator.ingress.grammar import shown
from gateway_operator.ingress.parse import ParseRules
from gateway_operator.ingress.plan import Settings
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.ingress.snapshot import Key, Object

CONNECT_TIMEOUT = "1s"  # upstream's 5 s makes clients wait for a dead pod that a second try would have answered
_HEADER_TEXT = re.compile(r"[ -~]{0,1024}")


@dataclass(frozen=True)
class GlobalAuth:
    """The `global-auth-*` keys: who decides about every request, but those below `exempt`."""

    url: read.AuthUrl
    method: str | None = None
    signin: str | None = None
    redirect_param: str | None = None
    response_headers: tuple[str, ...] = ()
    request_redirect: str | None = None
    always_set_cookie: bool = False
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True)
class GatewayConfig:
    """What the ConfigMap says; `problems` are those of the ConfigMap. `closed` shuts every path (503)."""

    settings: Settings
    ssl_redirect: bool
    force_ssl_redirect: bool
    no_tls_redirect: tuple[str, ...]
    strict_paths: bool
    status_excluded: frozenset[str]
    problems: tuple[Problem, ...]
    parse: ParseRules = ParseRules()
    algorithm: str = "round_robin"
    custom_errors: tuple[int, ...] = ()
    no_intercept: bool = False
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    max_fails: int = 0
    fail_timeout: float = 10.0
    allowed_headers: frozenset[str] = frozenset()
    global_auth: GlobalAuth | None = None
    closed: str = ""
    configmaps: frozenset[Key] = frozenset()


def read_config(data: Mapping[str, str], ref: Ref, configmaps: Mapping[Key, Object] | None = None) -> GatewayConfig:
    """Read the ConfigMap; a bad value leaves its key at the default and becomes a problem of the ConfigMap.

    `configmaps` has those that `add-headers` and `proxy-set-headers` name, as far as they are known.
    """
    values, found = parse_config(data)
    if "proxy-connect-timeout" not in data:
        values["proxy-connect-timeout"] = CONNECT_TIMEOUT
    if values["retry-non-idempotent"] and "non_idempotent" not in values["proxy-next-upstream"].split():
        values["proxy-next-upstream"] += " non_idempotent"
    problems = [
        Problem(ref, "InvalidConfig" if p.fatal else "UnsupportedConfig", f"data[{p.key}]", p.message) for p in found
    ]
    settings = replace(
        Settings.from_config(values),
        add_headers=tuple(_headers("add-headers", values, ref, configmaps or {}, problems)),
        proxy_set_headers=tuple(_headers("proxy-set-headers", values, ref, configmaps or {}, problems)),
    )
    auth, closed = _global_auth(values, ref, problems)
    if any(p.fatal and p.key in _GUARDS for p in found):
        closed = closed or "the gateway's ConfigMap is wrong about who may ask"
    return GatewayConfig(
        settings,
        values["ssl-redirect"],
        values["force-ssl-redirect"],
        values["no-tls-redirect-locations"],
        values["strict-validate-path-type"],
        frozenset(values["status-excluded-namespaces"]),
        tuple(problems),
        parse=ParseRules(
            values["strict-validate-path-type"],
            ReadRules(Risk[values["annotations-risk-level"].upper()], values["annotation-value-word-blocklist"]),
        ),
        algorithm=values["load-balance"],
        custom_errors=tuple(code for code in values["custom-http-errors"] if code >= 400),  # noqa: PLR2004
        no_intercept=values["disable-proxy-intercept-errors"],
        allow=values["whitelist-source-range"],
        deny=values["denylist-source-range"],
        max_fails=values["upstream-max-fails"],
        fail_timeout=_seconds(values["upstream-fail-timeout"]),
        allowed_headers=frozenset(name.lower() for name in values["global-allowed-response-headers"]),
        global_auth=auth,
        closed=closed,
        configmaps=frozenset(
            _map_key(values[name], ref) for name in ("add-headers", "proxy-set-headers") if values[name]
        ),
    )


_GUARDS = frozenset({"whitelist-source-range", "denylist-source-range", "global-auth-url", "global-auth-method"})


def _global_auth(values: Mapping[str, Any], ref: Ref, problems: list[Problem]) -> tuple[GlobalAuth | None, str]:
    if not values["global-auth-url"]:
        return None, ""
    optional = {name: values[f"global-auth-{name}"] for name in ("signin", "request-redirect")}
    try:
        url = read.auth_url(values["global-auth-url"])
        if not url.host:
            raise ValueError("must not take its host from a variable")  # noqa: TRY301
        texts = {name: read.url_text(text) if text else None for name, text in optional.items()}
    except ValueError as error:
        message = f"it {error}; every path answers 503 until it is mended"
        problems.append(Problem(ref, "InvalidConfig", "data[global-auth-url]", message))
        return None, "the gateway's ConfigMap is wrong about global-auth-*"
    auth = GlobalAuth(
        url,
        values["global-auth-method"] or None,
        texts["signin"],
        values["global-auth-signin-redirect-param"] or None,
        values["global-auth-response-headers"],
        texts["request-redirect"],
        values["global-auth-always-set-cookie"],
        values["no-auth-locations"],
    )
    return auth, ""


def _headers(
    key: str, values: Mapping[str, Any], ref: Ref, configmaps: Mapping[Key, Object], problems: list[Problem]
) -> Iterator[tuple[str, str]]:
    """Read the headers in another ConfigMap; a wrong one is left out and told."""
    name = values[key]
    if not name:
        return
    found = configmaps.get(_map_key(name, ref))
    if found is None:
        problems.append(Problem(ref, "InvalidConfig", f"data[{key}]", f"there is no ConfigMap {name}"))
        return
    data = found.get("data") or {}
    for header in sorted(data):
        try:
            yield read.header_name(header), _header_text(str(data[header]))
        except ValueError as error:
            problems.append(Problem(ref, "InvalidConfig", f"data[{key}]", f"{shown(header)} in {name} {error}"))


def _map_key(name: str, ref: Ref) -> Key:
    namespace, _, short = name.rpartition("/")
    return (namespace or ref.namespace, short)


def _header_text(text: str) -> str:
    """Read a header's value, in which the variables of log formats may stand; they come back as `${name}`."""
    if not _HEADER_TEXT.fullmatch(text):
        raise ValueError("must be printable ASCII characters, at most 1024")
    return re.sub(r"\$(\w+)", r"${\1}", log_format(text))


def _seconds(text: str) -> float:
    """Return nginx's time in seconds; the text has passed its reader."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdw])", text))
