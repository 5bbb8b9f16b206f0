"""What the two kinds of `k8s.nginx.org` share: the group, their conditions and the reasons that users match on.

Apart from the vocabulary of gateways, because a reason is promised for good and each kind's page lists its own.
"""

from __future__ import annotations

import enum

GROUP = "k8s.nginx.org"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"
HUNDRED_PERCENT = 10_000  # shares are counted in hundredths of a percent


class TrafficCondition(enum.StrEnum):
    """The types of conditions of both kinds."""

    # of a ClusterTrafficPolicy
    ACCEPTED = "Accepted"  # its rules are sound, and nobody older has its hosts and paths
    RESOLVED_REFS = "ResolvedRefs"  # the clusters, services and ports that it names are there
    PROGRAMMED = "Programmed"  # a gateway has acknowledged it
    BACKENDS_READY = "BackendsReady"  # every path has somebody who can answer
    # of a MemberCluster
    CONNECTED = "Connected"  # its API server answers, and what is needed can be read
    SYNCED = "Synced"  # what is needed has been read since the operator's start
    CREDENTIAL_CURRENT = "CredentialCurrent"  # the credential in use is the newest one


class TrafficReason(enum.StrEnum):
    """Why a condition, or a cluster of a path, is what it is; users match on these words, so none is ever renamed."""

    ACCEPTED = "Accepted"
    RESOLVED = "Resolved"
    # refusals of a policy
    INVALID_WEIGHT = "InvalidWeight"
    DUPLICATE_CLUSTER = "DuplicateCluster"
    INVALID_HOST = "InvalidHost"
    INVALID_PATH = "InvalidPath"
    INVALID_PORT = "InvalidPort"
    INVALID_BACKEND = "InvalidBackend"
    INVALID_SPLIT_KEY = "InvalidSplitKey"
    INVALID_OPTION = "InvalidOption"
    REF_NOT_PERMITTED = "RefNotPermitted"
    CONFLICTED = "Conflicted"
    # what a policy names
    CLUSTER_NOT_FOUND = "ClusterNotFound"
    SERVICE_NOT_FOUND = "ServiceNotFound"
    PORT_NOT_FOUND = "PortNotFound"
    UNSUPPORTED_TYPE = "UnsupportedType"
    UNSUPPORTED_PROTOCOL = "UnsupportedProtocol"
    OVERLAPPING_CIDR = "OverlappingCIDR"
    # its endpoints
    BACKENDS_READY = "BackendsReady"
    ALL_WEIGHTS_ZERO = "AllWeightsZero"
    WEIGHT_ZERO = "WeightZero"
    NO_READY_ENDPOINTS = "NoReadyEndpoints"
    FEW_READY_ENDPOINTS = "FewReadyEndpoints"
    STANDBY = "Standby"
    STALE = "Stale"
    NOT_SYNCED = "NotSynced"
    # its way to the gateways
    PROGRAMMED = "Programmed"
    PENDING = "Pending"
    NO_GATEWAY = "NoGateway"
    GATEWAY_NOT_READY = "GatewayNotReady"
    CONFIG_TOO_LARGE = "ConfigTooLarge"
    # of a member
    CONNECTED = "Connected"
    CONNECTING = "Connecting"
    UNREACHABLE = "Unreachable"
    TIMED_OUT = "TimedOut"
    CERTIFICATE_NOT_TRUSTED = "CertificateNotTrusted"
    UNAUTHORIZED = "Unauthorized"
    FORBIDDEN = "Forbidden"
    BAD_ANSWER = "BadAnswer"
    KUBECONFIG_NOT_FOUND = "KubeconfigNotFound"
    KUBECONFIG_INVALID = "KubeconfigInvalid"
    KUBECONFIG_REFUSED = "KubeconfigRefused"
    SYNCED = "Synced"
    IN_USE = "InUse"
    PROVING = "Proving"
