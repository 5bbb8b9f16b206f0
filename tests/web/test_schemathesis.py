"""Generated requests over the whole OpenAPI document: nothing breaks the API, and nobody learns what he may not."""

from __future__ import annotations

import contextlib
import json
import warnings

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.web.conftest import WORKING

SECRET = "proxy-set-headers-of-another-project"
NOT_CONFIGURED = {"elasticsearch", "prometheus"}
EXAMPLES = [2, pytest.param(100, marks=pytest.mark.long)]


def never_broken(case, answer):
    """Nothing is a server's error but a backend that isn't configured, and every error is a problem."""
    if answer.status_code >= 400:
        (form,) = answer.headers["content-type"]
        assert form.startswith("application/problem+json"), (answer.request.url, answer.status_code, answer.text)
        problem = json.loads(answer.text)
        assert problem["reason"], case
        if answer.status_code >= 500:
            assert answer.status_code == 503, (case, answer.text)
            assert problem.get("down") in NOT_CONFIGURED, (case, answer.text)


@pytest.fixture
def secret(empty):
    """A gateway of another project, with a word in it that nobody else may read."""
    spec = {
        "controller": {"scope": {"enabled": True, "namespace": "other"}, "config": {"add-headers": f"other/{SECRET}"}}
    }
    obj = {
        "apiVersion": "gateway.kubesphere.io/v1alpha1",
        "kind": "Gateway",
        "metadata": {"name": "gw-other", "namespace": WORKING},
        "spec": spec,
    }
    empty.kubectl("create", "-f", "-", input=json.dumps(obj))


def learns_nothing(case, answer):
    """Somebody without rights gets no data of any project."""
    never_broken(case, answer)
    assert SECRET not in answer.text, case
    if answer.status_code == 200 and "/gateways" in case.path:
        assert json.loads(answer.text) == {"items": [], "totalItems": 0}, case


def gets_nothing(case, answer):
    """Without credentials every guarded route is 401, whatever is sent."""
    never_broken(case, answer)
    if case.path not in {"/healthz", "/readyz"}:
        assert answer.status_code in {401, 404, 413}, (case, answer.status_code, answer.text)


@pytest.fixture
def askers(served, people):
    """Sessions of a stranger, of a user without rights and of an administrator, with what must hold for answers."""
    trusted = served.folder / "ca.pem"
    trusted.write_text(served.ca)
    users = ((served.user(), gets_nothing), (people.having(), learns_nothing), (people.admin(), never_broken))
    with contextlib.ExitStack() as stack:
        found = []
        for user, judge in users:
            session = stack.enter_context(requests.Session())
            session.verify = str(trusted)
            if user.token:
                session.headers["Authorization"] = f"Bearer {user.token}"
            found.append((session, judge))
        yield found


@pytest.mark.parametrize("examples", EXAMPLES)
def test_whoever_sends_whatever(served, project, secret, askers, examples):
    """Each operation gets generated requests of everybody, half of them for a project that is there.

    What takes long is to generate them, so each is sent by all: by the administrator last, whose requests do something.
    """
    document = served.running.app.openapi()
    sent = 0
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def run(case):
            nonlocal sent
            sent += 1
            if sent % 2 and "namespace" in (case.path_parameters or {}):
                case.path_parameters["namespace"] = project
            for name in ("watch", "follow"):
                (case.query or {}).pop(name, None)
            for session, judge in askers:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    answer = case.call(base_url=served.url, session=session, verify=session.verify, timeout=60)
                judge(case, answer)

        run()
    assert sent > len(document["paths"])
