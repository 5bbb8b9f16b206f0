"""Generated requests over the whole OpenAPI document: nothing breaks the API, and nobody learns what he may not."""

from __future__ import annotations

import json
import warnings

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.web.conftest import WORKING

SECRET = "proxy-set-headers-of-another-project"
NOT_CONFIGURED = {"elasticsearch", "prometheus"}
EXAMPLES = [2, pytest.param(100, marks=pytest.mark.long)]


def fuzz(served, user, project, examples, judge):
    """Send generated requests for every operation; half of the paths name a project that is there."""
    document = served.running.app.openapi()
    schema = schemathesis.openapi.from_dict(document)
    trusted = str(served.folder / "ca.pem")
    (served.folder / "ca.pem").write_text(served.ca)
    headers = {"Authorization": f"Bearer {user.token}"} if user.token else {}
    sent = 0

    for found in schema.get_all_operations():
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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = case.call(base_url=served.url, headers=headers, verify=trusted, timeout=20)
            judge(case, answer)

        run()
    assert sent > len(document["paths"])


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


@pytest.mark.parametrize("examples", EXAMPLES)
def test_an_authorised_user_breaks_nothing(served, people, project, examples):
    """Whatever an administrator sends, no answer is a 5xx, and each error is a problem with a reason."""
    fuzz(served, people.admin(), project, examples, never_broken)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_an_unauthorised_user_learns_nothing(served, people, project, secret, examples):
    """Whatever somebody without rights sends, he gets no data of any project, and breaks nothing."""

    def judge(case, answer):
        never_broken(case, answer)
        assert SECRET not in answer.text, case
        if answer.status_code == 200 and "/gateways" in case.path:
            assert json.loads(answer.text) == {"items": [], "totalItems": 0}, case

    fuzz(served, people.having(), project, examples, judge)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_stranger_gets_nothing(served, people, project, secret, examples):
    """Without credentials every guarded route is 401, whatever is sent."""

    def judge(case, answer):
        never_broken(case, answer)
        if case.path not in {"/healthz", "/readyz"}:
            assert answer.status_code in {401, 404, 413}, (case, answer.status_code, answer.text)

    fuzz(served, served.user(), project, examples, judge)
