"""Names the hook that a helm run is at: Helm's own messages don't, and most runs that take long are at one.

Helm notes in the record of a pending revision which hook it has started. Pure.
"""

from __future__ import annotations

from typing import Any

_PHASES = {
    "pending-install": ("pre-install", "post-install"),
    "pending-upgrade": ("pre-upgrade", "post-upgrade"),
    "pending-rollback": ("pre-rollback", "post-rollback"),
    "uninstalling": ("pre-delete", "post-delete"),
}


def unfinished_hook(release: dict[str, Any], during: str = "") -> str | None:
    """Return `hook Job name, phase pre-upgrade` for the hook that was started last and has not succeeded.

    `during` is Helm's status of the revision while the run lasts, which tells the phases of a hook with several apart.
    """
    started = [hook for hook in release.get("hooks") or [] if _run(hook).get("started_at")]
    if not started:
        return None
    last = max(started, key=lambda hook: str(_run(hook)["started_at"]))
    if _run(last).get("phase") == "Succeeded":
        return None
    return f"hook {last.get('kind', '')} {last.get('name', '')}, phase {_phase(last, during)}"


def _run(hook: dict[str, Any]) -> dict[str, Any]:
    run = hook.get("last_run")
    return run if isinstance(run, dict) else {}


def _phase(hook: dict[str, Any], during: str) -> str:
    events = [str(event) for event in hook.get("events") or []]
    likely = [event for event in events if event in _PHASES.get(during, ())] or events
    return likely[0] if likely else "unknown"
