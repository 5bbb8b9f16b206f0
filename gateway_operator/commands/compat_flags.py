"""What becomes of upstream's controller flags that our controller takes without acting on them.

Whether a flag is honoured is read from the controller's own options; here is only the word on what to expect otherwise.
A test demands a line for each.
"""

from __future__ import annotations

import types
from collections.abc import Mapping

_PROFILING = "there is no profiler in this program; its metrics are on the health port"
_LOGGING = "logs are lines of JSON on standard error; --v=3 shows more"
_BUCKETS = "the histograms have fixed buckets"
_GEO = "nginx has no GeoIP module here; let a CDN or load balancer set a header with the country"

# The flag has no effect, and none is missing: what it mends or tunes isn't there.
NEEDLESS: Mapping[str, str] = types.MappingProxyType(
    {
        "certificate-authority": "the pod's ServiceAccount or --kubeconfig says which authority to trust",
        "deep-inspect": "every field is checked against a list of what it may hold, always",
        "disable-full-test": "the webhook looks at one Ingress, and the controller at each part by itself, always",
        "disable-sync-events": "there is no Sync event for each change; Events tell of faults only",
        "dynamic-configuration-retries": "changes are tried until they are taken",
        "enable-annotation-validation": "values are always checked",
        "health-check-timeout": "probes are answered from memory",
        "internal-logger-address": "nginx writes its logs itself",
        "metrics-per-undefined-host": "hosts that no rule names are never in labels",
        "monitor-max-batch-size": "metrics are counted inside nginx, nothing is sent for each request",
        "post-shutdown-grace-period": "the program ends when nginx has ended",
        "profiler-address": _PROFILING,
        "profiler-port": _PROFILING,
        "profiling": _PROFILING,
        "ssl-passthrough-proxy-port": "the gateway chooses its inner ports itself",
        "status-update-interval": "statuses are written as soon as an address changes",
        "stream-port": "the gateway chooses its inner ports itself",
        "sync-period": "objects are watched; a watch that breaks is taken up again",
        "sync-rate-limit": "changes that come together are taken together, at once",
        **dict.fromkeys(
            """add_dir_header alsologtostderr log_backtrace_at log_file log_file_max_size logtostderr one_output
            skip_headers skip_log_headers stderrthreshold vmodule""".split(),  # noqa: SIM905
            _LOGGING,
        ),
    }
)

# Something that the flag asks for is missing: what to do instead.
MISSING: Mapping[str, str] = types.MappingProxyType(
    {
        "annotations-prefix": "annotations are read below nginx.ingress.kubernetes.io/; write them with that prefix",
        "apiserver-host": "name the server in a kubeconfig and give --kubeconfig",
        "bucket-factor": _BUCKETS,
        "default-server-port": "the default server needs no port of its own; leave it out",
        "disable-catch-all": "forbid Ingresses without a host with an admission policy",
        "disable-svc-external-name": "forbid Services of type ExternalName with an admission policy",
        "enable-ssl-chain-completion": "put the whole chain into the Secret, as cert-manager does",
        "enable-topology-aware-routing": "all ready endpoints get requests; remove it",
        "exclude-socket-metrics": "drop series when scraping, by metricRelabelings",
        "length-buckets": _BUCKETS,
        "max-buckets": _BUCKETS,
        "maxmind-edition-ids": _GEO,
        "maxmind-license-key": _GEO,
        "maxmind-mirror": _GEO,
        "maxmind-retries-count": _GEO,
        "maxmind-retries-timeout": _GEO,
        "metrics-per-host": "the label host holds the rule's host, always; drop it when scraping",
        "reduce-metrics": "drop series when scraping, by metricRelabelings",
        "report-status-classes": "the label status holds the whole status; group by its first digit in queries",
        "size-buckets": _BUCKETS,
        "time-buckets": _BUCKETS,
        "watch-namespace-selector": "serve one namespace with --watch-namespace, or all; one gateway for each group",
    }
)
