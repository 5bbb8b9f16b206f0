"""Gateway manager for Kubernetes platform teams.

Three roles live in this package, each its own process with its own rights: the operator (`run`), the ingress
controller beside its nginx (`ingress`, `nginx`), and the API. `docs/architecture.md` has the map.
"""

from importlib.metadata import version

__version__ = version("gateway-operator")
