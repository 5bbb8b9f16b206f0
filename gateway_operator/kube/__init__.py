"""Everything that speaks to a Kubernetes API server.

Objects are plain JSON (`dict`): typed models of the client library cost time and memory on every watch event, and our
own models exist only for the kinds that are ours.
"""

from gateway_operator.kube.api import Api, ByteStream
from gateway_operator.kube.connection import Connection, Credentials
from gateway_operator.kube.events import EventRecorder
from gateway_operator.kube.informer import Informer
from gateway_operator.kube.lease import LeaseElector
from gateway_operator.kube.objects import Listing, ObjectRef, Resource, WatchEvent
from gateway_operator.kube.thrift import shared

__all__ = [
    "Api",
    "ByteStream",
    "Connection",
    "Credentials",
    "EventRecorder",
    "Informer",
    "LeaseElector",
    "Listing",
    "ObjectRef",
    "Resource",
    "WatchEvent",
    "shared",
]
