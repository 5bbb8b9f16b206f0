"""The annotations of `nginx.ingress.kubernetes.io/` that are honoured, each behind a typed reader.

An annotation that isn't honoured, or whose value is wrong, gives one problem and changes nothing: routes go on with the
gateway's own settings. Snippets are never offered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway_operator.crds.config_types import boolean, duration, one_of, size
from gateway_operator.ingress.grammar import shown, virtual_host
from gateway_operator.ingress.problems import Problem, Ref

PREFIX = "nginx.ingress.kubernetes.io/"
_PROTOCOLS = one_of("HTTP", "HTTPS")

_READERS: dict[str, Callable[[str], Any]] = {
    "ssl-redirect": boolean,
    "force-ssl-redirect": boolean,
    "proxy-body-size": size(high="1024g", giga=True),
    "proxy-connect-timeout": duration,
    "proxy-read-timeout": duration,
    "proxy-send-timeout": duration,
    "backend-protocol": lambda text: _PROTOCOLS(text.upper()),
    "upstream-vhost": virtual_host,
}


@dataclass(frozen=True)
class Annotations:
    """The typed values of one Ingress; None where it says nothing."""

    ssl_redirect: bool | None = None
    force_ssl_redirect: bool | None = None
    proxy_body_size: str | None = None
    proxy_connect_timeout: str | None = None
    proxy_read_timeout: str | None = None
    proxy_send_timeout: str | None = None
    backend_protocol: str | None = None
    upstream_vhost: str | None = None


def read_annotations(ref: Ref, annotations: Mapping[str, str]) -> tuple[Annotations, list[Problem]]:
    """Read what is honoured; tell what isn't (in one problem) and which values are wrong (one each)."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    unknown: list[str] = []
    for key in sorted(annotations):
        if not key.startswith(PREFIX):
            continue
        name = key.removeprefix(PREFIX)
        if name not in _READERS:
            unknown.append(name)
            continue
        try:
            values[name.replace("-", "_")] = _READERS[name](str(annotations[key]).strip())
        except ValueError as error:
            message = f"{shown(str(annotations[key]))} is ignored: it {error}"
            problems.append(Problem(ref, "InvalidAnnotation", f"metadata.annotations[{key}]", message))
    if unknown:
        names = ", ".join(shown(name)[1:-1] for name in unknown)
        message = f"this gateway doesn't honour {names}; its routes are served without"
        problems.append(Problem(ref, "UnsupportedAnnotation", "metadata.annotations", message))
    return Annotations(**values), problems
