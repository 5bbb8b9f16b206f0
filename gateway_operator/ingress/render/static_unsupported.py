"""What the static renderer can't do, told before it is rendered: each becomes a problem of the Ingress that asks."""

from __future__ import annotations

from collections.abc import Iterator

from gateway_operator.ingress.plan import Plan, Route
from gateway_operator.ingress.policies import Balancing
from gateway_operator.ingress.render.static_canary import LETTERS
from gateway_operator.ingress.render.static_shared import has_variable


def unsupported(plan: Plan) -> list[tuple[str, str]]:
    """Return the owner's id and the feature, with what holds instead, for everything that is left out; sorted."""
    upstreams = {item.id: item for item in plan.upstreams}
    found = set()
    for server in plan.servers:
        for route in server.routes:
            for identity in (route.upstream, *(item.upstream for item in route.settings.canaries)):
                if identity in upstreams:
                    found |= {(route.owner, text) for text in _of_balancing(upstreams[identity].balancing)}
            found |= {(route.owner, text) for text in _of_route(route)}
    return sorted(found)


def _of_balancing(balancing: Balancing) -> Iterator[str]:
    if balancing.algorithm == "ewma":
        yield "load-balance ewma: endpoints take turns"
    if balancing.slow_start:
        yield "slow-start: a new endpoint gets its full share at once"
    if balancing.health_check is not None:
        yield "health-check-path: endpoints are not probed"
    affinity = balancing.affinity
    if affinity is None:
        return
    if not has_variable(affinity.cookie):
        yield "session-cookie-name other than letters, digits and _: clients are not bound to endpoints"
    elif affinity.persistent:
        yield "affinity-mode persistent: some clients move when endpoints change, as in mode balanced"
    if affinity.change_on_failure:
        yield "session-cookie-change-on-failure: the cookie stays, and another endpoint answers while its own fails"


def _of_route(route: Route) -> Iterator[str]:
    if len(route.settings.canaries) > len(LETTERS):
        yield f"more than {len(LETTERS)} canaries of one path: the others get no requests"
