"""The HTTP API over gateways, their logs and their metrics, for tenants: KubeSphere's paths and shapes, made right."""
