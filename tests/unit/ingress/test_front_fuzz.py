"""Whatever users write, the front doesn't raise, blames the right object, and lets nothing strange into the plan."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_operator.ingress.annotation_table import TABLE
from tests.nginx.objects import ingress
from tests.unit.ingress.front import cluster, graph_of, plan_of, secret, service
from tests.unit.ingress.test_annotation_values import GOOD, PAYLOADS

texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(PAYLOADS),
    st.from_regex(r"[a-z./*$(){}|+\\-]{0,30}", fullmatch=True),
)
values = st.one_of(texts, st.sampled_from([text for good in GOOD.values() for text in good]))
annotations = st.dictionaries(st.sampled_from([row.key for row in TABLE]), values, max_size=6)
hosts = st.one_of(st.sampled_from(["x.test", "*.x.test", ""]), texts)
paths = st.one_of(st.sampled_from(["/", "/a", "/a(/|$)(.*)"]), texts)
kinds = st.sampled_from(["Exact", "Prefix", "ImplementationSpecific"])


def strings(value: Any) -> list[str]:
    """All texts in a plan, but certificates and what the gateway's own configuration says."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [text for item in value for text in strings(item)]
    if dataclasses.is_dataclass(value):
        return [text for item in dataclasses.fields(value) for text in strings(getattr(value, item.name))]
    return []


@settings(max_examples=300, deadline=None)
@given(annotations, hosts, paths, kinds, texts, texts)
def test_nothing_raises_and_nothing_strange_gets_through(
    notes: dict[str, str], host: str, path: str, kind: str, port: str, line: str
) -> None:
    """Control characters, quotes and dollars outside `${name}` and `$1` never reach the plan."""
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    item = ingress("one", {"host": host, "http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}})
    item["metadata"]["annotations"] = notes
    objects = (item, service("s", "10.0.0.1"), secret("users", auth=line.encode()))
    snapshot = cluster(*objects, tcp={port: line, "9000": line}, udp={port: line})
    for problem in graph_of(snapshot, passthrough=True).problems:
        assert problem.ref.name in {"one", "tcp-services", "udp-services"}
        assert problem.field
        assert problem.message.isprintable()
    plan = plan_of(snapshot, passthrough=True)
    for text in strings((plan.servers, plan.upstreams, plan.services, plan.passthroughs)):
        assert text.isprintable(), text
        assert not re.search(r'["\x00`]', re.sub(r"\$\{\w+\}|\$[1-9]", "", text)), text
