"""Policies over several clusters: how soon changes arrive, what a cut costs, what the operator holds, who gets what.

API servers are real and have no nodes; all pods are one nginx that says on which address it was asked. The operator and
the gateway are processes, as they run in pods.
"""

from __future__ import annotations

ORDER = ("changes", "cut", "start", "size", "accuracy")
