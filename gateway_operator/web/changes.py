"""Creates, changes and deletes Gateways by the operator's own rules (`gateways/scopes.py`), safely under races.

The rules are asked with a fresh list before the write, and with the list of the write's own moment after it: of several
writers at once the first one stays and the others give way. A list that fails refuses the write; it never counts as
"there is no other gateway", and after the write it is asked for again, then the client is told what was left there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.crds.conditions import Reason
from gateway_operator.errors import AlreadyExists, ApiError, Conflict, NotFound
from gateway_operator.gateways.claims import claim_of, mapping
from gateway_operator.gateways.restrictions import tenant_refusal
from gateway_operator.gateways.scopes import newcomer_verdict, verdict
from gateway_operator.gateways.verdicts import Refusal
from gateway_operator.kube import Api
from gateway_operator.telemetry import get_logger
from gateway_operator.web import manifest, views
from gateway_operator.web.access import Access, Subject
from gateway_operator.web.actions import CLUSTER_URL_NAMESPACE, MANAGE_CLUSTER
from gateway_operator.web.entries import Entry
from gateway_operator.web.gateways import Gateways
from gateway_operator.web.problems import Problem
from gateway_operator.web.releases import Releases

log = get_logger(__name__)
Object = dict[str, Any]
DRY_RUNS = ("All", "plan")
_TRIES = 5
_PAUSES = (0.2, 0.5, 1.0, 2.0)  # seconds between looks at an API server that is away
_CONFLICTS = frozenset({
    Reason.CLUSTER_GATEWAY_EXISTS, Reason.PROJECT_GATEWAY_EXISTS, Reason.INGRESS_CLASS_TAKEN, Reason.DEFAULT_CLASS_TAKEN
})  # fmt: skip


@dataclass(frozen=True)
class Changes:
    """Writes; `releases` works plans out."""

    gateways: Gateways
    access: Access
    releases: Releases

    @property
    def _api(self) -> Api:
        return self.gateways.api

    async def create(self, subject: Subject, namespace: str, body: Object, dry_run: str = "") -> Object:
        """Create a gateway and return it, or the plan. Raises Problem, ApiError."""
        wanted = manifest.created(body, namespace, subject.name, self.gateways.settings)
        if namespace != CLUSTER_URL_NAMESPACE:
            wanted = manifest.owned(wanted, await self.gateways.project(namespace))
        peers = await self._peers()
        if not any(_key(peer) == _key(wanted) for peer in peers):
            self._refuse(newcomer_verdict(wanted, peers, self.gateways.settings))
        await self._hold_in(subject, wanted, None)
        made = await self._send("POST", wanted, dry_run)
        if dry_run:
            return await self._outcome(made, peers, dry_run)
        await self._settle(made)
        await self.gateways.caught_up(made)
        return views.full(made)

    async def replace(self, subject: Subject, entry: Entry, namespace: str, body: Object, dry_run: str = "") -> Object:
        """Replace a gateway by the client's whole object. Raises Problem 409 with the current one, ApiError."""
        current = await self._read(entry)
        return await self._update(subject, current, manifest.replaced(current, body, namespace), dry_run)

    async def patch(self, subject: Subject, entry: Entry, namespace: str, patch: Object, dry_run: str = "") -> Object:
        """Merge a patch into a gateway; tries again when others write too, unless a resourceVersion is named."""
        tries = 1 if mapping(patch, "metadata").get("resourceVersion") else _TRIES
        while True:
            current = await self._read(entry)
            try:
                return await self._update(subject, current, manifest.patched(current, patch, namespace), dry_run)
            except Problem as problem:
                tries -= 1
                if problem.reason != "Conflict" or not tries:
                    raise

    async def delete(self, entry: Entry) -> None:
        """Delete a gateway, that very one. Raises ApiError."""
        claim = entry.claim
        await self._api.delete(await self.gateways.resource(), claim.name, claim.namespace, uid=claim.uid)
        await self.gateways.caught_up(entry.obj, gone=True)

    async def annotate(self, entry: Entry, annotations: Mapping[str, str | None]) -> Object:
        """Set or remove annotations and return the gateway. Raises ApiError."""
        claim = entry.claim
        patch = {"metadata": {"annotations": dict(annotations), "uid": claim.uid}}
        resource = await self.gateways.resource()
        made = await self._api.merge_patch(resource, claim.name, patch, claim.namespace)
        await self.gateways.caught_up(made)
        return views.full(made)

    async def _update(self, subject: Subject, current: Object, wanted: Object, dry_run: str) -> Object:
        peers = [peer for peer in await self._peers() if _key(peer) != _key(current)]
        runs = claim_of(current).installed
        settings = self.gateways.settings
        found = verdict(wanted, [*peers, wanted], settings, installed=runs)
        before = verdict(current, [*peers, current], settings, installed=runs)
        if found and (before is None or before.reason != found.reason):
            self._refuse(found)
        await self._hold_in(subject, wanted, current)
        try:
            made = await self._send("PUT", wanted, dry_run)
        except AlreadyExists:
            raise
        except Conflict as error:
            now = views.full(await self._api.get(await self.gateways.resource(), *_place(current)))
            text = "the gateway changed meanwhile; `current` is what it is now"
            raise Problem(409, "Conflict", text, current=now) from error
        if not dry_run:
            await self.gateways.caught_up(made)
        return await self._outcome(made, peers, dry_run)

    async def _hold_in(self, subject: Subject, wanted: Object, current: Object | None) -> None:
        """Keep those who manage a project only from what gives rights, where the object lies among trusted ones."""
        spec = mapping(wanted, "spec")
        was = mapping(current or {}, "spec")
        same = all(mapping(spec, *path) == mapping(was, *path) for path in (("values",), ("controller", "config")))
        if (current is None or not same) and not await self.access.may(subject, MANAGE_CLUSTER):
            self._refuse(tenant_refusal(wanted))

    async def _settle(self, made: Object) -> None:
        """Let a new Gateway give way, whatever patience that takes. Raises Problem 409; 503: it is there, unjudged."""
        for seconds in (*_PAUSES, None):
            try:
                return await self._give_way(made)
            except ApiError as error:
                log.warning("can't see whether a new gateway may stay", error=str(error))
                if seconds is None:
                    name, namespace = _place(made)
                    text = (
                        f"the gateway {namespace}/{name} was created, and whether others hold what it claims can't be "
                        "seen now: look at it again or delete it; the operator refuses it if it came second"
                    )
                    shown = views.full(made)
                    raise Problem(503, "Unsettled", text, down="kubernetes", created=shown) from error
                await asyncio.sleep(seconds)
        return None

    async def _give_way(self, made: Object) -> None:
        """Take a new Gateway back that came second. Raises Problem 409.

        The order is that of the API server's revisions: timestamps have whole seconds, so of two that are made in one
        each could take itself for the first.
        """
        before = [peer for peer in await self._peers(made["metadata"]["resourceVersion"]) if _key(peer) != _key(made)]
        found = newcomer_verdict(made, before, self.gateways.settings)
        if found is None:
            return
        log.info("a gateway gave way to another", gateway=made["metadata"]["name"], reason=found.reason)
        name, namespace = _place(made)
        with contextlib.suppress(NotFound, Conflict):  # it is gone, or another one has its name by now
            resource = await self.gateways.resource()
            await self._api.delete(resource, name, namespace, uid=made["metadata"]["uid"])
        self._refuse(found)

    async def _outcome(self, made: Object, peers: list[Object], dry_run: str) -> Object:
        if dry_run != "plan":
            return views.full(made)
        others = [peer for peer in peers if _key(peer) != _key(made)]
        return {"gateway": views.full(made), "plans": await self.releases.plan(made, others)}

    async def _send(self, method: str, obj: Object, dry_run: str) -> Object:
        name, namespace = _place(obj)
        path = (await self.gateways.resource()).path(namespace, None if method == "POST" else name)
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        made: Object = await self._api.raw(method, path, query=query, body=obj)
        return made

    async def _read(self, entry: Entry) -> Object:
        claim = entry.claim
        found = await self._api.get(await self.gateways.resource(), claim.name, claim.namespace)
        if found["metadata"]["uid"] != claim.uid:
            raise Problem(409, "OtherObject", "another Gateway took this one's name just now; look again")
        return found

    async def _peers(self, revision: str = "") -> list[Object]:
        """Return all Gateways, as the API server has them now, or had them at a revision. Raises ApiError."""
        return (await self._api.list(await self.gateways.resource(), revision=revision)).items

    def _refuse(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            raise Problem(409 if refusal.reason in _CONFLICTS else 422, str(refusal.reason), refusal.message)


def _key(obj: Mapping[str, Any]) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["name"], obj["metadata"]["namespace"]
