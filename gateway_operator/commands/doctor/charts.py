"""The charts of watches.yaml: does everything load?"""

from __future__ import annotations

from pathlib import Path

from gateway_operator.commands.doctor.findings import Finding, info, problem
from gateway_operator.commands.doctor.scope import Scope
from gateway_operator.commands.targets import find_watches
from gateway_operator.errors import ConfigError
from gateway_operator.releases.watches import load_watches

AREA = "charts"


async def check(scope: Scope) -> list[Finding]:
    """Load the file that was named or found."""
    return judge(find_watches(scope.watches_file))


def judge(file: Path | None) -> list[Finding]:
    """Say every problem of a watches.yaml and its charts."""
    if file is None:
        text = "no watches.yaml is at hand here: rows and charts were not looked at"
        return [
            info(AREA, "watches.yaml", text, "name it with --watches-file, or run this command in the operator's pod")
        ]
    try:
        load_watches(file)
    except ConfigError as error:
        return [
            problem(AREA, str(file), line, "mend it; the operator reads it again") for line in str(error).splitlines()
        ]
    return []
