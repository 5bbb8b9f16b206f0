"""Counts what the webhook said of each Ingress, as upstream counts its checks.

Whoever may write Ingresses may write many names, so only those that were checked last keep their series.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from gateway_operator.ingress.exposition import family, labels
from gateway_operator.ingress.request_metrics import PREFIX

MOST = 1000  # Ingresses with a series


class Checks:
    """Checks that went well or didn't, by namespace and name."""

    def __init__(self, own: Mapping[str, str], most: int = MOST) -> None:
        self._own = dict(own)
        self._most = most
        self._counts: OrderedDict[tuple[str, str], list[int]] = OrderedDict()

    def count(self, namespace: str, ingress: str, *, ok: bool) -> None:
        """Count one check."""
        counts = self._counts.setdefault((namespace, ingress), [0, 0])
        counts[not ok] += 1
        self._counts.move_to_end((namespace, ingress))
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)

    def lines(self) -> Iterator[str]:
        """Yield Prometheus text; nothing before the first check."""
        found = [(name, tuple(counts)) for name, counts in tuple(self._counts.items())]  # scrapes print in a thread
        texts = ("check_success", "Checks of Ingresses that allowed them"), ("check_errors", "Checks that refused them")
        for place, (name, text) in enumerate(texts):
            samples = [(self._labels(*key), counts[place]) for key, counts in found if counts[place]]
            yield from family(f"{PREFIX}_{name}", "counter", text, [("", *sample) for sample in samples])

    def _labels(self, namespace: str, ingress: str) -> str:
        return labels({**self._own, "namespace": namespace, "ingress": ingress})
