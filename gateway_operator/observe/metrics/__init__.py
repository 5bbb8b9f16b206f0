"""Metrics of gateways for one tenant at a time: from checked parameters to KubeSphere's shape."""

from gateway_operator.observe.metrics.answers import Page, as_json
from gateway_operator.observe.metrics.catalog import CATALOG
from gateway_operator.observe.metrics.query import Asked, MetricsQuery, read
from gateway_operator.observe.metrics.service import Metrics

__all__ = ["CATALOG", "Asked", "Metrics", "MetricsQuery", "Page", "as_json", "read"]
