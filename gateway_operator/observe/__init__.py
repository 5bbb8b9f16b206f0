"""Questions about running gateways, asked of Elasticsearch and Prometheus on behalf of one tenant at a time."""
