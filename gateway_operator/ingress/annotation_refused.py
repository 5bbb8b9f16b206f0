"""What upstream has and this gateway doesn't: each name with a word on what to do instead.

Snippets are refused at every risk level: they are configuration text, and whoever writes it owns the gateway.
"""

from __future__ import annotations

from gateway_operator.ingress.annotation_rows import (
    CRITICAL,
    HIGH,
    LOCATION,
    MEDIUM,
    SERVER,
    Risk,
    Row,
    Scope,
    unsupported,
)

_TELEMETRY = "the gateway makes no spans and passes traceparent on as it comes: trace in the applications"
_WAF = "the gateway has no ModSecurity; put a firewall of your own behind it as a backend"
_CACHE = "the service is asked for every request: let it remember its answers, by a session cookie for example"
_KEEPALIVE = "remove it: connections to the service are kept as those to backends, by upstream-keepalive-*"
_SUBSET = "a key leads to one endpoint: leave it out, or hash by more than one variable"
_MIRROR = "requests are not copied: send a share of them with canary-weight, or copy them behind the gateway"

_ROWS: tuple[tuple[str, Scope, Risk, str], ...] = (
    (
        "configuration-snippet",
        LOCATION,
        CRITICAL,
        (
            "never offered: headers of answers by gateway.kubesphere.io/response-headers or custom-headers, "
            "redirects by permanent-redirect, access by allowlist-source-range or auth-url, rates by limit-*"
        ),
    ),
    (
        "server-snippet",
        SERVER,
        CRITICAL,
        (
            "never offered: redirects by permanent-redirect or from-to-www-redirect, names by server-alias, "
            "clients by the ConfigMap's block-user-agents, block-cidrs and block-referers"
        ),
    ),
    (
        "stream-snippet",
        SERVER,
        CRITICAL,
        "never offered: ports by --tcp-services-configmap and --udp-services-configmap, TLS by ssl-passthrough",
    ),
    (
        "auth-snippet",
        LOCATION,
        CRITICAL,
        "never offered: auth-method, auth-request-redirect and auth-response-headers are typed",
    ),
    ("modsecurity-snippet", LOCATION, CRITICAL, _WAF),
    ("auth-cache-key", LOCATION, MEDIUM, _CACHE),
    ("auth-cache-duration", LOCATION, MEDIUM, _CACHE),
    ("auth-keepalive", LOCATION, Risk.LOW, _KEEPALIVE),
    ("auth-keepalive-share-vars", LOCATION, Risk.LOW, "remove it: the service always gets the request's X-Request-ID"),
    ("auth-keepalive-requests", LOCATION, Risk.LOW, _KEEPALIVE),
    ("auth-keepalive-timeout", LOCATION, Risk.LOW, _KEEPALIVE),
    (
        "auth-proxy-set-headers",
        LOCATION,
        MEDIUM,
        "the service gets the request's own headers: put what is fixed into the query of auth-url",
    ),
    ("upstream-hash-by-subset", LOCATION, Risk.LOW, _SUBSET),
    ("upstream-hash-by-subset-size", LOCATION, Risk.LOW, _SUBSET),
    (
        "use-port-in-redirects",
        LOCATION,
        Risk.LOW,
        "redirects never name the gateway's own port: write it into permanent-redirect where it is wanted",
    ),
    (
        "relative-redirects",
        LOCATION,
        Risk.LOW,
        "redirects name scheme and host: behind a proxy use-forwarded-headers makes them the client's",
    ),
    ("http2-push-preload", LOCATION, Risk.LOW, "browsers and nginx have given server push up; remove it"),
    (
        "enable-rewrite-log",
        LOCATION,
        Risk.LOW,
        "rewrites aren't logged: $location_path in log-format-upstream names the rule that matched",
    ),
    ("mirror-target", LOCATION, HIGH, _MIRROR),
    ("mirror-request-body", LOCATION, Risk.LOW, _MIRROR),
    ("mirror-host", LOCATION, HIGH, _MIRROR),
    ("enable-modsecurity", LOCATION, Risk.LOW, _WAF),
    ("enable-owasp-core-rules", LOCATION, Risk.LOW, _WAF),
    ("modsecurity-transaction-id", LOCATION, HIGH, _WAF),
    ("enable-opentelemetry", LOCATION, Risk.LOW, _TELEMETRY),
    ("opentelemetry-trust-incoming-span", LOCATION, Risk.LOW, _TELEMETRY),
    ("opentelemetry-operation-name", LOCATION, MEDIUM, _TELEMETRY),
    ("fastcgi-index", LOCATION, MEDIUM, "backends speak HTTP or gRPC; put a web server before a FastCGI application"),
    ("fastcgi-params-configmap", LOCATION, MEDIUM, "put a web server before a FastCGI application"),
)

REFUSED: tuple[Row, ...] = tuple(unsupported(name, scope, instead, risk=risk) for name, scope, risk, instead in _ROWS)
SNIPPETS = frozenset(row.name for row in REFUSED if row.name.endswith("-snippet"))
