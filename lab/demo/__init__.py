"""`make demo`: the whole way once, with everything shown as it happens.

A cluster comes up, the operator is installed from its chart, gateways are asked for, real requests go through them, and
somebody breaks things that come back. What was seen is printed and written to `lab/report.json`.
"""

from lab.demo.story import down, tell

__all__ = ["down", "tell"]
