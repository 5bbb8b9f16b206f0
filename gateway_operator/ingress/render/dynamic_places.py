"""Places: the locations of the dynamic renderer, one for each distinct text, which any number of routes share.

A place is a profile, and what else only text can say: which headers of backends are hidden because the route has its
own, and that errors are answered by another backend. A new place costs a reload; using one doesn't.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache

from gateway_operator.ingress.plan import Route, stable_id
from gateway_operator.ingress.policies import Profile


@dataclass(frozen=True)
class Place:
    """What the text of a location follows from."""

    profile: Profile
    hidden: tuple[str, ...] = ()
    errors: bool = False

    @property
    def id(self) -> str:
        """The name of the place, in text and in data."""
        return _identity(self)

    @property
    def file(self) -> str:
        """The file with its location."""
        return f"profiles/{self.id}.conf"

    @property
    def pool_file(self) -> str:
        """The file with its upstream blocks, empty where the shared one does."""
        return f"pools/{self.id}.conf"


PLAIN = Place(Profile())  # what `location /` is, too


@lru_cache(maxsize=1024)
def _identity(place: Place) -> str:
    return stable_id("place", repr(place))


def place_of(route: Route) -> Place:
    """Return where a route's requests are forwarded."""
    s, profile = route.settings, route.profile
    errors = bool(profile.intercept_errors and s.error_upstream)
    if profile.intercept_errors and not errors:
        profile = dataclasses.replace(profile, intercept_errors=())
    hidden = tuple(sorted({name.lower() for name, _ in s.response_headers} - {"vary"}))
    return Place(profile, hidden, errors)


def open_place(route: Route) -> Place | None:
    """Return where requests of admitted addresses go when an address or a password is enough (`satisfy any`)."""
    s, profile = route.settings, route.profile
    if not (profile.satisfy_any and (s.allow or s.deny) and (profile.basic_auth or profile.external_auth)):
        return None
    place = place_of(route)
    bare = dataclasses.replace(place.profile, satisfy_any=False, basic_auth=False, external_auth=None)
    return dataclasses.replace(place, profile=bare)
