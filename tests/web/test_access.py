"""Who may ask: every route has a right, and nobody gets in by another door."""

from __future__ import annotations

import datetime as dt
import inspect
import io

import aiohttp
import pytest
import trustme

from gateway_operator.web.actions import PUBLIC_PATHS, RIGHTS, Action
from gateway_operator.web.app import ROUTERS, api_routes
from gateway_operator.web.docs import action_of

PREFIX = "/kapis/gateway.kubesphere.io/v1alpha1"


def routes(served):
    """Return (method, path, action) of every route of the app."""
    found = [(method, route.path, action_of(route)) for route in api_routes() for method in sorted(route.methods)]
    documented = served.running.app.openapi()["paths"]
    assert {(method.lower(), path) for method, path, _ in found} == {(m, p) for p, ms in documented.items() for m in ms}
    assert len(served.running.app.routes) == len(ROUTERS) + 1  # and /openapi.json
    return found


def filled(path):
    """Put names into a path."""
    return path.format(namespace="shop", gateway="g", pod="p", ingress="i")


def test_every_route_has_an_access_row(served):
    """A route without a guard exists only for probes and the API's own description."""
    bare = {path for _, path, action in routes(served) if action is None}
    assert bare <= PUBLIC_PATHS
    assert set(RIGHTS) == set(Action)
    used = {action for _, _, action in routes(served) if action}
    assert used == set(Action), f"rows that no route uses: {set(Action) - used}"


def test_no_request_waits_for_a_thread():
    """Whatever a route depends on is a coroutine: for other functions the framework changes threads, twice each."""

    def calls(dependant):
        yield dependant.call
        for one in dependant.dependencies:
            yield from calls(one)

    for route in api_routes():
        assert all(inspect.iscoroutinefunction(call) for call in calls(route.dependant)), route.path


def test_kk4591_con3309_con2695_kk6346_no_gap_in_subresources(served):
    """What lies below a gateway needs the right to that part of it, not to gateways in general."""
    parts = {"pods": "pods", "log": "log", "logs": "logs", "history": "history"}
    for method, path, action in routes(served):
        last = path.rpartition("/")[2]
        if method == "GET" and last in parts:
            assert RIGHTS[action].subresource == parts[last], path
        if "{namespace}" in path:
            assert RIGHTS[action].scope == "project", path


async def test_every_route_refuses_strangers(served):
    """Without credentials each guarded route is 401 with a challenge, whatever else is wrong with the request."""
    for method, path, action in routes(served):
        if action is None:
            continue
        answer = await served.user().ask(method, filled(path), data=b"{broken")
        assert (answer.status, answer.reason) == (401, "Unauthenticated"), path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_every_route_refuses_users_without_rights(served, people):
    """A known user without rights is 403 everywhere but where answers are filtered."""
    nobody = people.having()
    for method, path, action in routes(served):
        if action is None:
            continue
        answer = await nobody.ask(method, filled(path), data=b"{broken")
        listed = RIGHTS[action].scope == "listed"
        assert answer.status == (200 if listed else 403), (path, answer.text)
        if not listed:
            assert answer.reason == "Forbidden"


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer", "Basic dTpw", "Bearer a b", "Bearer \u00e9"])
async def test_bad_credentials(served, header):
    """Nothing but a token that the API server accepts is a token."""
    answer = await served.user().get("/gateways", headers={"Authorization": header})
    assert (answer.status, answer.reason) == (401, "Unauthenticated")


async def test_impersonation_is_refused(people):
    """Nobody acts as somebody else, not even an administrator."""
    answer = await people.admin().get("/gateways", headers={"Impersonate-User": "system:admin"})
    assert (answer.status, answer.reason) == (400, "ImpersonationRefused")


async def test_client_certificates(served, people, project):
    """CN is the user and O the groups, as for the API server."""
    answer = await people.certified("boss", "system:masters").get(f"/namespaces/{project}/gateways")
    assert (answer.status, answer.json) == (200, [])
    stranger = await people.certified("stranger").get(f"/namespaces/{project}/gateways")
    assert (stranger.status, stranger.reason) == (403, "Forbidden")
    assert '"stranger"' in stranger.json["detail"]


async def test_certificates_of_other_authorities(served, people, tmp_path):
    """A certificate that the cluster's client CA didn't sign ends the handshake, or counts for nothing."""
    other = trustme.CA()
    (tmp_path / "ca.crt").write_bytes(other.cert_pem.bytes())
    (tmp_path / "ca.key").write_bytes(other.private_key_pem.bytes())
    liar = people.certified("boss", "system:masters", authority=tmp_path)
    try:
        answer = await liar.get("/gateways")
    except (OSError, aiohttp.ClientError):
        return
    assert answer.status == 401


async def test_a_renewed_certificate_is_served(served):
    """Files that change count without a restart; a connection's next handshake has the new certificate."""
    old = served.ca, served.cert.read_bytes(), served.key.read_bytes()
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", not_after=dt.datetime.now(dt.UTC) + dt.timedelta(1))
    issued.cert_chain_pems[0].write_to_path(served.cert)
    issued.private_key_pem.write_to_path(served.key)
    try:
        served.run(served.running.certificates.look())
        served.ca = authority.cert_pem.bytes().decode()
        assert (await served.user().get("/healthz")).status == 200
        served.key.write_text("broken")
        served.run(served.running.certificates.look())
        assert (await served.user().get("/healthz")).status == 200
    finally:
        served.ca = old[0]
        served.cert.write_bytes(old[1])
        served.key.write_bytes(old[2])
        served.run(served.running.certificates.look())
    assert (await served.user().get("/healthz")).status == 200


async def test_bodies_are_limited(people, project):
    """A body that is too large is 413, whether its length is told or not."""

    async def chunks():
        for _ in range(20):
            yield b"x" * 100_000

    admin = people.admin()
    for body in (io.BytesIO(b"x" * 2_000_000), chunks()):
        headers = {"Content-Type": "application/json"}
        answer = await admin.ask("POST", f"/namespaces/{project}/gateways", data=body, headers=headers)
        assert (answer.status, answer.reason) == (413, "BodyTooLarge")


async def test_path_tricks(people, project):
    """Names that are no names never reach the API server's paths."""
    manager = people.manager(project)
    for path in (
        f"/namespaces/{project}/gateways/..%2f..%2fsecrets",
        f"/namespaces/{project}%2fpods/gateways",
        f"/namespaces/{project}/gateways/g/pods/..%2f..%2fsecrets/log",
        f"/namespaces/{project}/gateways/UPPER",
        f"/namespaces/{project}//gateways",
    ):
        answer = await manager.get(path)
        assert answer.status in {403, 404, 422}, path
        assert answer.reason


async def test_openapi_names_the_rights(served):
    """The OpenAPI document is 3.1 and says for each guarded route how to be known and which right it takes."""
    document = (await served.user().get("/openapi.json")).json
    assert document["openapi"].startswith("3.1")
    operations = [
        operation
        for path, methods in document["paths"].items()
        if path not in PUBLIC_PATHS
        for operation in methods.values()
    ]
    assert all(operation["security"] and operation["x-required-right"]["resource"] for operation in operations)


async def test_cross_project_reads_are_refused(people, project, empty):
    """A project's manager sees and touches nothing of another one."""
    other = f"{project}-b"
    empty.kubectl("create", "namespace", other)
    manager = people.manager(project)
    for path in ("gateways", "gateways/x", "gateways/x/pods", "gateways/x/pods/y/log", "gateways/x/history"):
        answer = await manager.get(f"/namespaces/{other}/{path}")
        assert (answer.status, answer.reason) == (403, "Forbidden")


async def test_limits_per_user(served, people):
    """Who asks too often is told to wait; others go on."""
    limits = served.running.services.limits
    busy, calm = people.having(), people.having()
    limits._buckets[f"user {busy.name}"] = (0.0, limits._clock() + 3600)
    answer = await busy.get("/gateways")
    assert (answer.status, answer.reason) == (429, "TooManyRequests")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await calm.get("/gateways")).status == 200
