"""The split config as the operator's ConfigMap has it: a broken one changes nothing, and is told.

The last good text lies in the run folder, so that a controller that starts over a broken config goes on serving what
the one before it served.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway_operator.errors import ConfigError
from gateway_operator.ingress.problems import Problem, Ref
from gateway_operator.telemetry import get_logger
from gateway_operator.traffic.config import CONFIG_KEY, SplitConfig, parse

log = get_logger(__name__)

KEPT = "multi-cluster.json"
KEPT_REASON = "InvalidSplitConfig"


class SplitSource:
    """Follows one ConfigMap. `config` is None while it is absent or empty."""

    def __init__(self, run_dir: Path) -> None:
        self._file = run_dir / KEPT
        self._seen: Mapping[str, Any] | None = {}  # nothing was read yet
        self.config: SplitConfig | None = None
        self.problems: tuple[Problem, ...] = ()

    def take(self, obj: Mapping[str, Any] | None) -> None:
        """Read the object as it is now; the very same object is read once."""
        if obj is self._seen:
            return
        began, self._seen = self._seen == {}, obj
        text = str((obj.get("data") or {}).get(CONFIG_KEY) or "") if obj else ""
        if obj is None or not text:
            self.config, self.problems = None, ()
            self._keep("")
            return
        try:
            self.config, self.problems = parse(text), ()
        except ConfigError as error:
            if began and self.config is None:
                self.config = self._kept()
            message = f"{error}; the last good one serves"
            self.problems = (Problem(Ref.of(obj, "ConfigMap", "v1"), KEPT_REASON, CONFIG_KEY, message),)
            return
        self._keep(text)

    def _kept(self) -> SplitConfig | None:
        try:
            return parse(self._file.read_text())
        except (OSError, ConfigError):
            return None

    def _keep(self, text: str) -> None:
        aside = self._file.with_name(f".{KEPT}.new")
        try:
            if not text:
                self._file.unlink(missing_ok=True)
                return
            aside.touch(mode=0o640)
            aside.write_text(text)
            aside.replace(self._file)
        except OSError as error:
            log.warning("the split config can't be kept for the next start", error=str(error))
