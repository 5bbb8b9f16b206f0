"""The API: how much longer its answers take than those of the backends behind it, and how right they are."""

ORDER = ("gateways", "logs", "metrics")
