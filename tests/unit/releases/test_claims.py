"""Who has which release name."""

from __future__ import annotations

from gateway_operator.releases import names
from gateway_operator.releases.claims import Claims, owner_of
from gateway_operator.releases.queue import Key
from gateway_operator.releases.records import ReleaseIndex

WEB, OTHER = Key(("g", "Web"), "ns", "a"), Key(("g", "Other"), "ns", "a")


def record(name, owner="", version=1):
    """The metadata of a release Secret."""
    labels = {"owner": "helm", "name": name, "status": "deployed", "version": str(version)}
    if owner:
        labels[names.OWNER_LABEL] = owner
    return {"metadata": {"name": f"sh.helm.release.v1.{name}.v{version}", "namespace": "ns", "labels": labels}}


def test_first_keeps_the_plain_name():
    """The second gets its kind as a suffix, and both keep what they have."""
    claims = Claims(ReleaseIndex())
    assert claims.claim(WEB, "a") == ("ns", "a")
    assert claims.claim(OTHER, "a") == ("ns", "a-other")
    assert claims.claim(WEB, "a") == ("ns", "a")
    assert claims.holder(("ns", "a-other")) == OTHER


def test_installed_release_keeps_its_name_over_a_restart():
    """The owner label decides, not who comes first."""
    index = ReleaseIndex()
    index.on_event("ADDED", record("a", owner_of(OTHER)))
    claims = Claims(index)
    assert claims.claim(WEB, "a") == ("ns", "a-web")
    assert claims.claim(OTHER, "something-else") == ("ns", "a")


def test_dropped_name_is_free_again():
    """A resource that is gone holds nothing."""
    claims = Claims(ReleaseIndex())
    claims.claim(WEB, "a")
    assert claims.drop(WEB) == ("ns", "a")
    assert claims.claim(OTHER, "a") == ("ns", "a")


def test_owner_is_a_label_value():
    """Long names become a hash, short ones stay readable."""
    assert owner_of(WEB) == "Web.g.a"
    assert len(owner_of(Key(("gateway.kubesphere.io", "Gateway"), "ns", "n" * 63))) == 40


def test_a_new_process_knows_whose_release_it_is():
    """Events of what a release made must reach its resource also before anything is installed anew."""
    index = ReleaseIndex()
    index.on_event("ADDED", record("a", owner_of(WEB)))
    claims = Claims(index)
    assert claims.held(WEB) == ("ns", "a")
    assert claims.holder(("ns", "a")) == WEB
