"""No text of a user leaves its quotes, and no selector is without its tenant: read back by other means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_operator.observe.errors import BadQuery
from gateway_operator.observe.metrics.catalog import CATALOG, Metric
from gateway_operator.observe.metrics.expressions import Period
from gateway_operator.observe.metrics.ground import EXPORTED, HONOURED, Ground, NamespaceLabel, NotOwn, job_of
from gateway_operator.observe.metrics.promql import Call, Matcher, Number, Scope, Selector, quoted, same
from gateway_operator.observe.metrics.query import MetricsQuery, Times, expression
from gateway_operator.observe.tenant import Tenant
from tests.unit.observe.metrics.promql_reader import selectors, tokens, value_of

DNS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
NASTY = st.one_of(
    st.text(max_size=60).filter(lambda text: text.isprintable() or "\n" in text),
    st.sampled_from(
        ['x"} or nginx_ingress_controller_requests{a="', 'a\\"', "\\", '\\"}', "a\nb", "`", "'", "#", "{{", "$1"]
    ),
)
TENANTS = st.one_of(
    st.builds(lambda n, g, w, own: Tenant.project(n, g, w, own=own), DNS, DNS, DNS, st.booleans()),
    st.builds(Tenant.cluster, DNS, DNS),
)


def needed(tenant: Tenant, label: NamespaceLabel, *, process: bool) -> set[tuple[str, str, str]]:
    """The matchers that hold a tenant in."""
    here = tenant.working_namespace
    found = {("job", "=", job_of(tenant.gateway)), ("controller_namespace", "=", here)}
    if label == EXPORTED:
        found.add(("namespace", "=", here))
    if tenant.kind == "project" and not process:
        found.add((label, "=", tenant.namespace))
        found |= {(EXPORTED, "=", "")} if label == HONOURED else set()
    return found


@given(
    tenant=TENANTS,
    metric=st.sampled_from(list(CATALOG.values())),
    label=st.sampled_from([EXPORTED, HONOURED]),
    resources=NASTY,
    ingress=NASTY,
    pod=NASTY,
    window=st.integers(1, 10**7),
)
def test_every_selector_has_its_tenant(
    tenant: Tenant, metric: Metric, label: NamespaceLabel, resources: str, ingress: str, pod: str, window: int
) -> None:
    """Whatever filters say, even unchecked: each selector has the tenant's matchers, and filters are whole values."""
    query = MetricsQuery(Times(at=1.0), resources=resources, ingress=ingress, pod=pod)
    ground = Ground(tenant, query, label, Period(window, 15))
    try:
        text = metric.build(ground).text()
    except NotOwn:
        assert not tenant.own
        assert metric.own_gateway_only
        return
    assert tenant.own or not metric.own_gateway_only
    found = selectors(text)
    assert found
    for name, matchers in found:
        assert name.startswith(("nginx_ingress_controller_", "gateway_cluster_"))
        process = "nginx_process" in name
        expected = needed(tenant, label, process=process)
        assert expected <= set(matchers)
        rest = set(matchers) - expected
        if pod:
            assert ("controller_pod", "=", pod) in rest
        named = "policy" if name.startswith("gateway_cluster_") else "ingress"
        if not process and ingress:
            assert (named, "=", ingress) in rest
        elif not process and resources:
            assert (named, "=~", resources) in rest
        known = {"controller_pod", "ingress", "policy", "status", "status_class", "state", "le"}
        assert {one for one, _, _ in rest} <= known
        labels = [one for one, _, _ in matchers]
        assert len(labels) == len(set(labels))


@given(NASTY)
def test_quoted_is_one_string(text: str) -> None:
    """Any text becomes exactly one string, which stands for that text."""
    (token,) = tokens(quoted(text))
    assert (token.kind, value_of(token.text)) == ("string", text)


def test_a_scope_holds_something() -> None:
    """A scope that matches everything can't be made; a selector's own matchers can't undo one."""
    for matchers in ((), (Matcher("job", "=~", ".*"),), (same("job", ""),)):
        with pytest.raises(ValueError, match="a scope needs"):
            Scope(matchers)
    scope = Scope((same("job", "a"),))
    with pytest.raises(ValueError, match="the scope decides"):
        scope.select("m", Matcher("job", "=~", ".*"))
    for name in ("m{}", "", 'a" or b', "a b"):
        with pytest.raises(ValueError, match="no name of a metric"):
            Selector(scope, name)
    with pytest.raises(ValueError, match="no name of a label"):
        Matcher('a="x"} or b', "=", "")
    with pytest.raises(ValueError, match="no function"):
        Call("label_replace", (Number(1),))


@pytest.mark.parametrize(
    "pattern", ["(?=a)", "(?<!a)b", r"(a)\1", "a)|(b", "[", "a\nb", "(((a{1,100}){1,100}){1,100})", "a" * 513]
)
def test_filters_that_re2_has_not(pattern: str) -> None:
    """Look-around, back references, unbalanced brackets and what explodes is refused by name of the parameter."""
    with pytest.raises(BadQuery, match="^metrics_filter: "):
        expression("metrics_filter", pattern)


def test_filters_take_linear_time() -> None:
    """What makes backtracking engines stand still is answered at once."""
    assert not expression("metrics_filter", "(a*)*(a*)*(a*)*b$")("a" * 5000)
