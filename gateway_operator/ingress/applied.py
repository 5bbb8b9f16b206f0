"""What nginx has now, as a value that others may wait for: `/applied` of the controller's port."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Applied:
    """One state of nginx: its generation of files ("" before the first), and version and digest of its data."""

    generation: str = ""
    data_version: int = 0
    data_digest: str = ""
    hosts: int = 0
    splits: str = ""  # the digest of the split config
    split_problems: tuple[tuple[str, str, str, str], ...] = ()  # policy, where, reason, text
    contests: tuple[tuple[str, str, str], ...] = ()  # policy, where, who wants it, too, and doesn't get it
    quarantined: int = 0  # Ingresses that nginx refuses
    left_out: tuple[tuple[str, str], ...] = ()  # the first of them, each with why

    @property
    def token(self) -> str:
        """A short text that differs whenever the state does."""
        own = f"{self.generation.removeprefix('gen-')}.{self.data_version}.{self.data_digest[:16]}"
        said = (self.splits, self.split_problems, self.contests, self.quarantined, self.left_out)
        return f"{own}.{hashlib.sha256(repr(said).encode()).hexdigest()[:16]}" if any(said) else own

    @property
    def config_hash(self) -> int:
        """The generation as the number of the metric `config_hash`."""
        return int(self.generation.removeprefix("gen-")[:12] or "0", 16)

    def as_json(self) -> dict[str, Any]:
        """Return the answer of `/applied`."""
        return {
            "token": self.token,
            "generation": self.generation,
            "dataVersion": self.data_version,
            "dataDigest": self.data_digest,
            "configHash": self.config_hash,
            "hosts": self.hosts,
            "quarantine": {
                "count": self.quarantined,
                "ingresses": [dict(zip(("ingress", "message"), item, strict=True)) for item in self.left_out],
            },
            "multiCluster": {
                "digest": self.splits,
                "problems": [
                    dict(zip(("policy", "where", "reason", "text"), item, strict=True)) for item in self.split_problems
                ],
                "contests": [dict(zip(("policy", "where", "by"), item, strict=True)) for item in self.contests],
            },
        }


class AppliedState:
    """The newest state, and a way to wait for the next."""

    def __init__(self) -> None:
        self.now = Applied()
        self._changed = asyncio.Event()

    def set(self, state: Applied) -> None:
        """Take the state that was reached."""
        if state != self.now:
            self.now = state
            self._changed.set()
            self._changed = asyncio.Event()

    async def after(self, token: str, seconds: float) -> Applied:
        """Return as soon as the state's token isn't this one, or the state at the end of the time."""
        try:
            async with asyncio.timeout(seconds):
                while self.now.token == token:
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.now
