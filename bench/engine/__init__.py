"""The release engine beside operator-sdk's helm-operator: one module a question.

Both run the same chart for the same custom resources by the same watches.yaml, each on an API server of its own that
nobody else uses, one after the other.
"""

from __future__ import annotations

ORDER = ("install", "rest", "drift", "memory", "coldstart", "kills", "soak")
