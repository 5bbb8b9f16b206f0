"""What a user may see of the gateways: lists are filtered by it, never refused.

Who may view gateways everywhere sees all; else the gateways of the projects that he may view, and the outline of the
cluster's gateways, which serve those projects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from gateway_operator.web.access import Access, Action, Subject
from gateway_operator.web.actions import RIGHTS, VIEW_CLUSTER
from gateway_operator.web.entries import Entry

_AT_ONCE = 16
_VIEW = RIGHTS[Action.VIEW_GATEWAYS]


@dataclass(frozen=True)
class Sight:
    """A user's view; `everything`: all gateways in full, else those of `projects`."""

    everything: bool
    projects: frozenset[str]

    def shows(self, entry: Entry) -> bool:
        """Tell whether the user sees a gateway at all."""
        return self.everything or (bool(self.projects) if entry.project is None else entry.project in self.projects)

    def body(self, entry: Entry) -> bytes:
        """Return the JSON of a gateway that the user sees."""
        return entry.public if entry.project is None and not self.everything else entry.full


async def sight_of(access: Access, subject: Subject, entries: Iterable[Entry]) -> Sight:
    """Find out what a user sees of these gateways. Raises Problem 503."""
    if await access.may(subject, VIEW_CLUSTER):
        return Sight(everything=True, projects=frozenset())
    names = sorted({entry.project for entry in entries if entry.project is not None})
    gate = asyncio.Semaphore(_AT_ONCE)

    async def ask(project: str) -> bool:
        async with gate:
            return await access.may(subject, _VIEW, project)

    answers = await asyncio.gather(*(ask(name) for name in names))
    return Sight(everything=False, projects=frozenset(n for n, yes in zip(names, answers, strict=True) if yes))


async def again(access: Access, subject: Subject, before: Sight, entry: Entry) -> Sight:
    """Return the view with fresh answers for one gateway, which cost little. Raises Problem 503."""
    if await access.may(subject, VIEW_CLUSTER):
        return Sight(everything=True, projects=frozenset())
    projects = set(before.projects)
    for project in [entry.project] if entry.project is not None else sorted(projects):
        if await access.may(subject, _VIEW, project):
            projects.add(project)
            if entry.project is None:
                break
        else:
            projects.discard(project)
    return Sight(everything=False, projects=frozenset(projects))


async def sight_in(access: Access, subject: Subject, namespace: str) -> Sight:
    """Return what a user sees who may view one project. Raises Problem 503."""
    return Sight(everything=await access.may(subject, VIEW_CLUSTER), projects=frozenset({namespace}))
