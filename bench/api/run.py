"""Runs the parts of the benchmark of the API, one after the other; a part that breaks costs only its own rows."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping

from bench.api import ORDER, gateways, logs, metrics
from bench.results import Part, Results

PARTS: Mapping[str, Callable[..., Part]] = {
    "gateways": gateways.measure,
    "logs": logs.measure,
    "metrics": metrics.measure,
}


def run(results: Results, only: Iterable[str], *, quick: bool, seed: int) -> list[str]:
    """Measure the parts in `only`; returns the names of those that broke."""
    broken = []
    for part in sorted(only, key=ORDER.index):
        print(f"{part} ...", flush=True)
        try:
            results.put(part, PARTS[part](quick=quick, seed=seed))
        except Exception:  # noqa: BLE001 - the other parts are worth having
            traceback.print_exc()
            broken.append(part)
    return broken
