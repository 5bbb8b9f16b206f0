"""Gateways' logs for one tenant at a time: from checked parameters to KubeSphere's shapes."""

from gateway_operator.observe.logs.export import MEDIA_TYPES, SUFFIXES
from gateway_operator.observe.logs.query import LogQuery, read
from gateway_operator.observe.logs.service import Logs

__all__ = ["MEDIA_TYPES", "SUFFIXES", "LogQuery", "Logs", "read"]
