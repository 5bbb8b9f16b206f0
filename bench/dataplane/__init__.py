"""The gateway's data plane beside a hand-written nginx.conf, and beside ingress-nginx's own controller.

All run on one machine in a network of their own, over one API server, the same objects and the same nginx: one module
a question.
"""

from __future__ import annotations

ORDER = ("throughput", "endpoints", "errors", "scale", "admission")
