"""Tells users what is wrong with their objects: once when a problem appears, again only after it was gone."""

from __future__ import annotations

from collections.abc import Iterable

from gateway_operator.ingress.problems import Problem
from gateway_operator.ingress.split_types import CONTESTED
from gateway_operator.kube import EventRecorder, ObjectRef


class Reporter:
    """Compares each pass's problems with the last ones; only the leader speaks, or each replica would."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._current: set[Problem] = set()
        self._told: set[Problem] = set()
        self.speaks = False

    def report(self, problems: Iterable[Problem]) -> None:
        """Take the problems of the newest pass."""
        self._current = set(problems)
        self._tell()

    def start_speaking(self) -> None:
        """Become the one who tells (the lease was won)."""
        self.speaks = True
        self._tell()

    def stop_speaking(self) -> None:
        """Fall silent (the lease was lost)."""
        self.speaks = False
        self._told.clear()

    def _tell(self) -> None:
        if not self.speaks:
            return
        for problem in sorted(self._current - self._told):
            ref = problem.ref
            target = ObjectRef(ref.api_version, ref.kind, ref.namespace, ref.name, ref.uid)
            type_ = "Normal" if problem.reason == CONTESTED else "Warning"  # of a winner nothing is wrong
            self._recorder.event(target, type_=type_, reason=problem.reason, message=problem.text)
        self._told = set(self._current)
