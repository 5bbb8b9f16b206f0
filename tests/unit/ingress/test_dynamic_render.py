"""The dynamic renderer's promises: what is text and what is data, equal bytes, no user's text in files."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from gateway_operator.ingress.gateway_config import read_config
from gateway_operator.ingress.plan import (
    Authority,
    Certificate,
    Endpoint,
    Labels,
    Machine,
    Plan,
    Route,
    RouteSettings,
    Server,
    Upstream,
)
from gateway_operator.ingress.policies import Balancing, Canary, ClientAuth, ExternalAuth, Limits, Profile, Redirect
from gateway_operator.ingress.problems import Ref
from gateway_operator.ingress.render.dynamic import Cache, render, unsupported
from gateway_operator.ingress.render.dynamic_data import dump, seconds
from gateway_operator.ingress.render.dynamic_locations import lua
from gateway_operator.ingress.render.values import UnsafeValueError

SETTINGS = read_config({}, Ref("ConfigMap", "gw", "config", "", "v1")).settings
DEFAULT = Server("d0", "", (Route("/", False, None, 404),))
ODD = "x\"';{}\\$\n# ]==]"


def plan(*servers: Server, **more: Any) -> Plan:
    upstreams = more.pop("upstreams", (Upstream("00ff", (Endpoint("10.0.0.1", 80),)),))
    certificates = (Certificate("0c", b"pem"), *more.pop("certificates", ()))
    machine = Machine(lua="/app/lua")
    return Plan(machine, SETTINGS, (DEFAULT, *servers), upstreams, certificates, "0c", **more)


def server(host: str = "x.test", *routes: Route, **more: Any) -> Server:
    return Server("id", host, routes or (Route("/", False, "00ff"),), **more)


def test_only_profiles_and_settings_are_text() -> None:
    """Hosts, paths, endpoints, policies and certificates change data and leave the files as they are."""
    before = render(plan(server()))
    policies = RouteSettings(redirect=Redirect(301, "/x"), limits=Limits(rps=5), canaries=(Canary("00bb", 50),))
    after = render(
        plan(
            server("x.test", Route("/a", True, "00bb", settings=policies), Route("/", False, "00ff"), certificate="0e"),
            server("*." + "long" * 40 + ".test"),
            upstreams=(
                Upstream("00bb", (Endpoint("10.0.0.2", 80, 5),), Balancing("hash", "${host}")),
                Upstream("00ff", (Endpoint("10.0.0.3", 80), Endpoint("::1", 8080))),
            ),
            certificates=(Certificate("0e", b"other"),),
        )
    )
    assert before.files == after.files
    assert before.data != after.data
    assert set(after.data) == {"h:", "h:x.test", f"h:*.{'long' * 40}.test", "u:00bb", "u:00ff", "c:0c", "c:0e", "hc"}
    assert json.loads(after.data["u:00ff"])["endpoints"] == [{"a": "10.0.0.3", "p": 80}, {"a": "[::1]", "p": 8080}]


def test_a_profile_is_text() -> None:
    """A new profile brings a location of its own, which the host needs before its data."""
    rendered = render(plan(server("x.test", Route("/", False, "00ff", profile=Profile(body_size="5m"), owner="me"))))
    (name,) = rendered.needs["h:x.test"]
    assert b"client_max_body_size 5m;" in rendered.files[name]
    assert rendered.owner_at(name, 1) == "me"
    assert len([file for file in rendered.files if file.startswith("profiles/")]) == 2


def test_equal_plans_give_equal_bytes() -> None:
    """Also with a cache, which makes only what changed."""
    cache = Cache()
    first, second = server("a.test"), server("b.test")
    one = render(plan(first, second), cache)
    two = render(plan(dataclasses.replace(first), second), cache)
    assert (one.files, one.data, one.needs) == (two.files, two.data, two.needs)
    assert all(one.data[key] is two.data[key] for key in one.data if key.startswith(("h:", "u:")))
    changed = render(plan(server("a.test", Route("/p", False, "00ff")), second), cache)
    assert changed.data == render(plan(server("a.test", Route("/p", False, "00ff")), second)).data
    assert changed.data["h:b.test"] is one.data["h:b.test"]
    assert "h:a.test" not in render(plan(second), cache).data


def test_users_text_stays_in_data() -> None:
    """What Ingresses say is in no file, whatever it holds."""
    labels = Labels(ODD, ODD, ODD, ODD)
    policies = RouteSettings(
        redirect=Redirect(301, ODD), response_headers=(("X-A", ODD),), upstream_host=ODD, forwarded_prefix=ODD
    )
    odd = render(plan(server("x.test", Route("/" + ODD, False, "00ff", labels=labels, settings=policies, regex=True))))
    tame = RouteSettings(response_headers=(("X-A", "b"),))
    plain = render(plan(server("x.test", Route("/", False, "00ff", settings=tame))))
    assert odd.files == plain.files


@pytest.mark.parametrize(
    "auth",
    [
        ExternalAuth("00ff", False, "h", ODD),
        ExternalAuth("00ff", False, "h", "/a", signin=ODD),
        ExternalAuth("00ff; }", False, "h", "/a"),
        ExternalAuth("00ff", False, "h", "/a", method="GET;"),
        ExternalAuth("00ff", False, "h", "/a", response_headers=("X: y",)),
        ExternalAuth("00ff", False, "h", "/${document_root}"),
    ],
)
def test_text_of_profiles_is_checked_again(auth: ExternalAuth) -> None:
    """A value that its directive can't hold is an error here, whatever the steps before let through."""
    with pytest.raises(UnsafeValueError):
        render(plan(server("x.test", Route("/", False, "00ff", profile=Profile(external_auth=auth)))))


def test_calls_of_lua_are_ours() -> None:
    """Nothing but hashes and our own variables can be an argument."""
    assert str(lua("balancer", "fixed", '"00ff"')) == 'require("balancer").fixed("00ff")'
    for argument in ('"x" os.exit()', '"00ff" }', "ngx.var.gw_uri }"):
        with pytest.raises(UnsafeValueError):
            lua("balancer", "fixed", argument)


def test_revocation_lists_are_refused() -> None:
    """A host whose client certificates can't be judged is told of, and lets nobody in."""
    found = plan(
        server(client_auth=ClientAuth("0a"), tls_owner="me"), authorities=(Authority("0a", b"-----BEGIN X509 CRL"),)
    )
    assert [owner for owner, _ in unsupported(found)] == ["me"]
    assert json.loads(render(found).data["h:x.test"])["client"]["refuse"] is True


def test_aliases_have_the_same_entry() -> None:
    """Each alias is a key of its own."""
    data = render(plan(server("x.test", aliases=("y.test",)))).data
    assert data["h:x.test"] == data["h:y.test"]


@pytest.mark.parametrize(("text", "value"), [("60s", 60), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600)])
def test_seconds(text: str, value: float) -> None:
    """Times of nginx become seconds."""
    assert seconds(text) == value


def test_dump_leaves_out_nothing_that_counts() -> None:
    """None, False and empty lists go; zero and empty texts stay."""
    assert (
        dump({"b": None, "a": False, "c": [], "d": {}, "e": 0, "f": "", "g": [None, 1]})
        == b'{"e":0,"f":"","g":[null,1]}'
    )
