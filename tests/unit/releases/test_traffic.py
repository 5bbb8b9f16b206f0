"""Revisions of traffic: told from people's, and thinned out so that people's stay."""

from __future__ import annotations

from gateway_operator.clusters.mirror import MirrorRow, MirrorRows
from gateway_operator.clusters.policies import Port, Service
from gateway_operator.releases.gateways import NginxKind
from gateway_operator.releases.policies import PolicyKind
from gateway_operator.releases.records import ReleaseRecord
from gateway_operator.releases.status import as_guest
from gateway_operator.releases.traffic import is_traffic, superfluous
from gateway_operator.settings import GatewaySettings
from gateway_operator.traffic.config import Path, Policy, SplitConfig
from gateway_operator.traffic.gateways import Assignment

SETTINGS = GatewaySettings.model_validate({})
NGINX = {"metadata": {"name": "edge", "namespace": "e"}, "spec": {"controller": {"multiCluster": {"mine": 1}}}}
PATH = Path(where="spec.defaultBackend", type="Default")
CONFIG = SplitConfig.of([Policy(namespace="shop", name="cafe", paths=(PATH,))])


def record(
    version: int, cause: str = "", status: str = "superseded", digest: str = "d", base: str = ""
) -> ReleaseRecord:
    return ReleaseRecord("e", "edge", version, status, f"s{version}", digest=digest, base=base, cause=cause)


def test_what_differs_by_traffic_alone():
    """Compared with what is deployed; a first policy counts, too, a person's change beside it doesn't."""
    plain = record(1, digest="base", status="deployed")
    assert is_traffic(plain, "base", "with policies")
    assert not is_traffic(plain, "other", "with policies")
    assert not is_traffic(plain, "base", "base")
    assert not is_traffic(None, "base", "x")
    assert is_traffic(record(2, digest="x", base="base"), "base", "base"), "the last policy went"


def test_only_old_revisions_of_traffic_go():
    """Neither people's nor the one that is deployed."""
    records = [record(1), *(record(n, "traffic") for n in range(2, 8)), record(8), record(9, "traffic", "deployed")]
    assert [one.version for one in superfluous(records, 4)] == [2, 3, 4]
    assert superfluous(records, 7) == []
    assert superfluous([record(n, "traffic", "deployed") for n in (1, 2)], 0) == []


def test_policies_lie_over_the_values():
    """They are apart from what people wrote; unknown ones are said to be so; without an operator the spec decides."""
    plan = NginxKind(lambda *_: Assignment(CONFIG)).plan(NGINX, [], SETTINGS, installed=True)
    assert "multiCluster" not in plan.values["controller"]
    assert plan.traffic.values["controller"]["multiCluster"]["digest"] == CONFIG.digest == plan.traffic.digest
    assert [notice.reason for notice in plan.notices] == ["ValueOverridden"]
    assert not NginxKind(lambda *_: None).plan(NGINX, [], SETTINGS, installed=True).traffic.known
    alone = NginxKind().plan(NGINX, [], SETTINGS, installed=True)
    assert alone.values["controller"]["multiCluster"] == {"mine": 1}
    upstream = {**NGINX, "spec": {"controller": {"image": {"repository": "x/controller"}}}}
    assert NginxKind(lambda *_: Assignment(CONFIG)).plan(upstream, [], SETTINGS, installed=True).traffic.values == {}


def test_policies_that_do_not_fit_are_named():
    """A notice on the gateway names them, ten at most."""
    left = tuple(("shop", f"p{n}") for n in range(12))
    [notice] = (
        NginxKind(lambda *_: Assignment(CONFIG, left)).plan({**NGINX, "spec": {}}, [], SETTINGS, installed=True).notices
    )
    assert notice.reason == "PoliciesLeftOut"
    assert notice.message.startswith("12 of")
    assert notice.message.endswith("shop/p9 and 2 more")


def test_the_mirrors_of_a_policy():
    """Its release waits until they are known, and its status stays somebody else's."""
    obj = {"metadata": {"name": "cafe", "namespace": "shop"}}
    waiting = PolicyKind().plan(obj, [], SETTINGS, installed=False).traffic
    assert (waiting.known, waiting.required) == (False, True)
    row = MirrorRow("ctp-1", "wuhan", Service("shop", "tea", Port(number=80)))
    one, two = MirrorRows((row,)), MirrorRows((row, row._replace(name="ctp-2")))
    plan = PolicyKind(lambda *_: one).plan(obj, [], SETTINGS, installed=False)
    assert (plan.release_name, plan.traffic.values) == ("ctp-cafe", {"mirrors": [row.as_values()]})
    assert plan.traffic.digest == MirrorRows((row,)).digest != two.digest
    conditions = [{"type": word} for word in ("Accepted", "Ready", "Deployed", "Drifted")]
    status = {"digest": "d", "message": "m", "observedGeneration": 1, "conditions": conditions}
    assert as_guest(status) == {"digest": "d", "conditions": [{"type": "Deployed"}, {"type": "Drifted"}]}


def test_a_pass_at_rest_makes_no_mirrors():
    """Thousands of them are known by their name; they are made for helm alone."""
    made = []

    class Counted:
        digest = "d"

        def as_values(self) -> list[dict[str, object]]:
            made.append(1)
            return []

    obj = {"metadata": {"name": "cafe", "namespace": "shop"}}
    plans = [PolicyKind(lambda *_: Counted()).plan(obj, [], SETTINGS, installed=True) for _ in range(3)]
    assert ({plan.traffic.digest for plan in plans}, made) == ({"d"}, [])
    assert plans[0].traffic.values == {"mirrors": []}
    assert made == [1]
