"""The `stream` block of both renderers: tcp and udp services, and ssl-passthrough before the https listeners.

With passthrough, one listener looks at each connection's server name. nginx can send the PROXY protocol on a listener
to everybody or to nobody, so it goes to everybody inside: to our own https listener, which reads it, and for names that
are passed through to a second listener on loopback, which takes it off again.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway_operator.ingress.plan import Passthrough, Plan, Service, Upstream
from gateway_operator.ingress.render import values as v
from gateway_operator.ingress.render.text import block, directive, entry, word

_IDLE = "600s"  # upstream's default for streams


def needs_stream(plan: Plan) -> bool:
    """Tell whether nginx must have its stream module."""
    return plan.passthrough_enabled or bool(plan.services)


def streamed(plan: Plan) -> set[str]:
    """Return the ids of upstreams that streams go to."""
    return {item.upstream for item in plan.services if item.upstream} | {item.upstream for item in plan.passthroughs}


def stream_text(plan: Plan) -> bytes:
    """Return the content of stream.conf, to be included at the top level; nothing where nothing is streamed."""
    if not needs_stream(plan):
        return b""
    upstreams = {item.id: item for item in plan.upstreams}
    used = streamed(plan)
    lines = [
        directive("proxy_connect_timeout", v.duration(plan.settings.proxy_connect_timeout)),
        directive("proxy_timeout", v.duration(_IDLE)),
        directive("map_hash_bucket_size", v.integer(512)),
        directive("variables_hash_max_size", v.integer(2048)),
        *(_upstream(upstreams[key]) for key in sorted(used) if key in upstreams),
        *(text for item in plan.services if item.upstream in upstreams for text in _service(plan, item)),
    ]
    if plan.passthrough_enabled:
        lines += _passthrough(plan, [item for item in plan.passthroughs if item.upstream in upstreams])
    return str(block("stream", [], lines)).encode() + b"\n"


def _upstream(upstream: Upstream) -> v.Typed:
    servers = [directive("server", v.address(item.address, item.port)) for item in upstream.endpoints]
    return block("upstream", [_name(upstream.id)], servers)


def _service(plan: Plan, service: Service) -> Iterator[v.Typed]:
    udp = service.protocol.lower() == "udp"
    extra = [word("udp")] if udp else [word("proxy_protocol")] if service.accept_proxy else []
    lines = [directive("listen", address, *extra) for address in listen_addresses(plan, service.port)]
    if service.accept_proxy and not udp:
        lines += _real_ip(plan)
    if service.send_proxy and not udp:
        lines.append(directive("proxy_protocol", word("on")))
    if udp:
        lines.append(directive("proxy_responses", v.integer(1)))  # upstream's default; a session ends with its answer
    if service.upstream is not None:
        lines.append(directive("proxy_pass", _name(service.upstream)))
        yield block("server", [], lines)


def _passthrough(plan: Plan, items: list[Passthrough]) -> list[v.Typed]:
    machine, proxied = plan.machine, plan.settings.use_proxy_protocol
    here = [entry(v.host_pattern(item.host), _loopback(machine.inner_stream_port)) for item in items]
    there = [entry(v.host_pattern(item.host), _name(item.upstream)) for item in items]
    ours = entry(word("default"), _loopback(machine.inner_https_port))
    extra = [word("proxy_protocol")] if proxied else []
    preread = directive("ssl_preread", word("on"))
    return [
        block("map", [word("$ssl_preread_server_name $tls_goes_to")], [ours, *here]),
        block("map", [word("$ssl_preread_server_name $tls_backend")], [*there, entry(word("default"), v.literal(""))]),
        block(
            "server",
            [],
            [
                *(directive("listen", address, *extra) for address in listen_addresses(plan, machine.https_port)),
                *(_real_ip(plan) if proxied else []),
                preread,
                directive("proxy_pass", word("$tls_goes_to")),
                directive("proxy_protocol", word("on")),
            ],
        ),
        block(
            "server",
            [],
            [
                directive("listen", _loopback(machine.inner_stream_port), word("proxy_protocol")),
                preread,
                directive("proxy_pass", word("$tls_backend")),
            ],
        ),
    ]


def _real_ip(plan: Plan) -> list[v.Typed]:
    return [directive("set_real_ip_from", v.network(item)) for item in plan.settings.proxy_real_ip_cidr]


def listen_addresses(plan: Plan, port: int) -> list[v.Typed]:
    """Return what `listen` takes for a public port: all addresses of both families, or those of `bind-address`."""
    ipv6 = plan.machine.ipv6 and not plan.settings.disable_ipv6
    if plan.settings.bind_address:
        chosen = [item for item in plan.settings.bind_address if ipv6 or ":" not in item]
        return [v.address(item, port) for item in chosen]
    number = v.integer(port)
    return [number, v.Typed(f"[::]:{number}")] if ipv6 else [number]


def _loopback(port: int) -> v.Typed:
    return v.address("127.0.0.1", port)


def _name(identity: str) -> v.Typed:
    return v.ident(f"s_{identity}")
