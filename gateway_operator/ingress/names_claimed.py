"""Names beside hosts of their own: aliases and `www` redirects, each given to one host at most.

A name that is a host of its own is nobody's; else the oldest Ingress that wants it wins. Only names that somebody's
change concerns are settled anew.
"""

from __future__ import annotations

from collections.abc import Iterable, KeysView, Sequence

from gateway_operator.ingress.annotation_rows import PREFIX
from gateway_operator.ingress.host_fold import Claim
from gateway_operator.ingress.problems import Problem


class NameClaims:
    """Who wants which name, and who has it."""

    def __init__(self) -> None:
        self._of_host: dict[str, tuple[Claim, ...]] = {}
        self._wanted: dict[str, dict[str, Claim]] = {}
        self._winner: dict[str, Claim] = {}
        self._refused: dict[str, tuple[Problem, ...]] = {}
        self._open: set[str] = set()

    def put(self, host: str, claims: Sequence[Claim]) -> None:
        """Note what a host wants now; its own name may have come or gone too."""
        self._open.add(host)
        for claim in self._of_host.pop(host, ()):
            self._wanted[claim.name].pop(host, None)
            self._open.add(claim.name)
        if claims:
            self._of_host[host] = tuple(claims)
        for claim in claims:
            self._wanted.setdefault(claim.name, {}).setdefault(host, claim)
            self._open.add(claim.name)

    def settle(self, hosts: KeysView[str]) -> set[str]:
        """Decide about every name that may have changed hands; returns the hosts that want one of them."""
        concerned: set[str] = set()
        for name in self._open:
            wanted = self._wanted.get(name, {})
            concerned |= wanted.keys()
            self._winner.pop(name, None)
            self._refused.pop(name, None)
            if not wanted:
                self._wanted.pop(name, None)
                continue
            oldest = min(wanted.items(), key=lambda item: (item[1].rules.age_key, item[0]))[0]
            if name not in hosts:
                self._winner[name] = wanted[oldest]
            losers = wanted if name in hosts else {host: claim for host, claim in wanted.items() if host != oldest}
            taken = "it is a host of its own" if name in hosts else f"host {oldest} has it"
            refused = tuple(_problem(claim, taken) for claim in losers.values())
            if refused:
                self._refused[name] = refused
        self._open = set()
        return concerned

    def won(self, claims: Iterable[Claim]) -> list[Claim]:
        """Return those claims that hold."""
        return [claim for claim in claims if self._winner.get(claim.name) is claim]

    @property
    def problems(self) -> set[Problem]:
        """Claims that don't hold."""
        return {problem for problems in self._refused.values() for problem in problems}


def _problem(claim: Claim, taken: str) -> Problem:
    annotation = "from-to-www-redirect" if claim.www else "server-alias"
    where = f"metadata.annotations[{PREFIX}{annotation}]"
    return Problem(claim.rules.ref, "HostConflict", where, f"{claim.name} is left out: {taken}")
