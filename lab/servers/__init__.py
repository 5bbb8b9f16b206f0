"""The servers that gateways' logs and metrics go to, run without containers for tests and the demo."""
