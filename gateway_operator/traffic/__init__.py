"""How requests are shared out among clusters: the one answer that operator, gateways and commands agree on."""
