"""`gateway-operator detach`: lets custom resources go without touching what runs for them.

It is the step before (or after) uninstalling the operator: without it, an object that is deleted later would wait for
a finalizer that nobody removes any more.
"""

from __future__ import annotations

from pathlib import Path

from gateway_operator.commands.output import say, say_json, table
from gateway_operator.commands.session import Session
from gateway_operator.commands.targets import kinds
from gateway_operator.releases.farewell import Detached, detach


async def run(session: Session, watches_file: Path | None, *, dry_run: bool) -> int:
    """Remove our finalizers, or with `dry_run` only say from what; returns the exit code."""
    scope = (session.namespace,) if session.namespace else ()
    async with session.connected() as api:
        found = await detach(api, kinds(watches_file), namespaces=scope, dry_run=dry_run)
    if session.json:
        say_json({"dryRun": dry_run, "objects": [vars(one) for one in found]})
        return 0
    word = "would wait for nobody" if dry_run else "waits for nobody any more"
    if found:
        say(table(("KIND", "NAMESPACE", "NAME", "NOTE"), [_row(one, word) for one in found]))
    say(f"{len(found)} object(s); their releases are as they were")
    return 0


def _row(one: Detached, word: str) -> tuple[str, str, str, str]:
    note = "was being deleted: its release stays; see helm uninstall" if one.deleted else word
    return one.kind, one.namespace, one.name, note
