"""Generated requests for logs and metrics: Elasticsearch and Prometheus are real and hold another project's secrets."""

from __future__ import annotations

import json
import time
import uuid
import warnings

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab.servers import prometheus as lab
from tests.observe.logs.corpus import CLUSTER, access, document, indices, pod_of
from tests.observe.metrics.traffic import SCRAPE, Gateway, Pod, Request
from tests.web.conftest import PREFIX, WORKING, People, Served, eventually
from tests.web.test_metrics_routes import METRICS

SECRET = "zq-secret-of-another-project"
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "views-logs-and-metrics"},
    "rules": [
        {"apiGroups": ["gateway.kubesphere.io"], "resources": ["gateways/logs"], "verbs": ["get"]},
        {"apiGroups": ["monitoring.kubesphere.io"], "resources": ["ingresses"], "verbs": ["get"]},
    ],
}
OK = 200
ALL = "kubesphere-system"
EXAMPLES = 100
ENDS = ("/logs", "/ingresses", "/ingresses/{ingress}")  # the catalogue is everybody's
PIECES = [
    "*",
    ".*",
    '"',
    "'",
    "\\",
    "} or {",
    SECRET[:4],
    "other",
    " OR ",
    ":",
    "(",
    ")",
    "/",
    "\u2028",
    "é",
    "a,b",
    "$",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=4).map("".join)
CHOICES = {
    "operation": ["query", "statistics", "histogram", "export"],
    "format": ["text", "ndjson", "csv"],
    "start_time": ["0", "1795262400.5"],
    "interval": ["1d", "15m"],
    "top": ["status", "path", "host"],
    "status": ["2xx", "100-599", "404,5xx"],
    "size": ["0", "7", "1000"],
    "from": ["0", "9999", "10001", "1000000"],
    "sort": ["asc", "desc"],
    "highlight": ["true", "false"],
    "latency_max": ["0.5"],
    "duration": ["1h", "1w"],
    "step": ["1d", "10m"],
    "page": ["1", "2"],
    "limit": ["1", "100"],
    "sort_type": ["asc"],
    "sort_metric": ["ingress_request_count"],
    "metrics_filter": ["count", "."],
    "job": [f"{CLUSTER}-metrics"],
}
TYPED = ("log_query", "pod_query", "path", "host", "upstream", "cluster", "containers", "resources_filter", "pod")
# parameters that get past the first look, which most generated ones don't, so that the questions behind are asked
GOOD = {name: st.sampled_from(values) for name, values in CHOICES.items()} | dict.fromkeys(TYPED, TEXTS)


@pytest.fixture(scope="module")
def whole(with_crds, account, elasticsearch, tmp_path_factory):
    """The API with both behind it, in which another project has lines, Ingresses and pods with the secret in them."""
    with_crds.kubectl("apply", "-f", "-", input=json.dumps(ROLE))
    measuring = lab.Prometheus.start(tmp_path_factory.mktemp("prometheus") / "run")
    with indices(elasticsearch) as stored:
        stored.create()
        chosen = stored.settings().model_dump(mode="json", by_alias=True)
        prometheus = {"url": measuring.url, "scrapeInterval": SCRAPE, "timeout": 60}
        behind = {"kubeconfig": account, "observability": {"elasticsearch": chosen, "prometheus": prometheus}}
        running = Served(with_crds, tmp_path_factory.mktemp("whole"), behind)
        running.start()
        yield running, stored, measuring
        running.stop()
    measuring.stop()


@pytest.fixture
def shop(empty, whole):
    """A project with a gateway of its own and a share of the cluster's, beside which another one's secrets are.

    With it comes the time at which both were asked.
    """
    served, stored, measuring = whole
    mine, other = (f"p{uuid.uuid4().hex[:8]}" for _ in range(2))
    own, others = f"kubesphere-router-{mine}", f"kubesphere-router-{other}"
    for name in (mine, other):
        empty.kubectl("create", "namespace", name)
    for name, scope in ((own, mine), (others, other), (CLUSTER, "")):
        spec = {"controller": {"scope": {"enabled": True, "namespace": scope} if scope else {}}}
        kind = {"apiVersion": "gateway.kubesphere.io/v1alpha1", "kind": "Gateway"}
        obj = {**kind, "metadata": {"name": name, "namespace": WORKING}, "spec": spec}
        empty.kubectl("create", "-f", "-", input=json.dumps(obj))

    async def known():
        return {own, others, CLUSTER} <= {entry.name for entry in served.running.services.gateways.all()}

    served.run(eventually(known))
    start = time.time() // SCRAPE * SCRAPE + 30  # later than the projects' creation
    hidden, plain = access(f"{other}-web-80", path=f"/{SECRET}", agent=SECRET), access(f"{mine}-web-80")
    for gateway, line in ((CLUSTER, hidden), (others, SECRET), (own, plain), (CLUSTER, plain)):
        stored.add([document(line, pod_of(gateway), at=start)])
    for gateway, project, ingress in (
        (own, mine, "mine"),
        (CLUSTER, mine, "mine"),
        (CLUSTER, other, SECRET),
        (others, other, SECRET),
    ):
        pod = Pod(f"{gateway}-{ingress}", start)
        found = Gateway(gateway, WORKING, [pod])
        found.requests = [Request(start + 100, pod.name, project, ingress, "200", 0.02, 1000, 100)]
        measuring.write(found.series(start, start + 300))
    return mine, str(start + 300)


@pytest.fixture
def sessions(whole):
    """Sessions of users with credentials of each kind."""
    served, _, _ = whole
    trusted = served.folder / "ca.pem"
    trusted.write_text(served.ca)
    made = []

    def session(user):
        one = requests.Session()
        one.verify = str(trusted)
        one.headers["Authorization"] = f"Bearer {user.token}"
        made.append(one)
        return one

    yield session
    for one in made:
        one.close()


@pytest.mark.long
def test_nobody_breaks_or_sees_through_logs_and_metrics(whole, shop, sessions):
    """A project's viewer finds nothing of others, who has no right gets 403, and an administrator breaks nothing."""
    served, _, _ = whole
    people, (project, at) = People(served), shop
    viewer, stranger, admin = people.having("views-logs-and-metrics", project), people.having(), people.admin()
    askers = [(sessions(viewer), sees_his_own), (sessions(stranger), refused), (sessions(admin), unbroken)]
    found = [one.ok() for one in schemathesis.openapi.from_dict(served.running.app.openapi()).get_all_operations()]
    for operation in (one for one in found if one.path.endswith(ENDS)):
        assert len(answered(served.url, operation, project, at, askers)) > EXAMPLES / 5, operation
    secret_is_there(served.url, at, askers[-1][0])


def secret_is_there(url, at, session):
    """Who may see it does, in lines and in metrics: else the rest of the test would say nothing."""
    lines, metrics = f"{PREFIX}/namespaces/{ALL}/gateways/{CLUSTER}/logs", f"{METRICS}/namespaces/{ALL}/ingresses"
    for path, params in ((lines, {"size": "100"}), (metrics, {"time": at})):
        assert SECRET in session.get(f"{url}{path}", params=params, verify=session.verify).text


def answered(url, operation, project, at, askers):
    """Ask generated questions as everybody; returns those that got an answer."""
    found = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), data=st.data())
    def run(case, data):
        places = {
            "namespace": [project],
            "gateway": [f"kubesphere-router-{project}", CLUSTER],
            "ingress": ["mine", SECRET],
        }
        for name in case.path_parameters:
            if name == "namespace" or data.draw(st.integers(0, 3)):
                case.path_parameters[name] = data.draw(st.sampled_from(places[name]))
        if data.draw(st.integers(0, 3)):
            chosen = data.draw(st.lists(st.sampled_from(sorted(GOOD)), unique=True, max_size=5))
            case.query = {"time": at} | {name: data.draw(GOOD[name]) for name in chosen}
        for session, judge in askers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = case.call(base_url=url, session=session, verify=session.verify, timeout=120)
            judge(case, answer)
            if answer.status_code == OK:
                found.append(case)

    run()
    return found


def unbroken(case, answer):
    """No answer is a server's error; every refusal is a problem."""
    assert answer.status_code < 500, (case, answer.status_code, answer.text)
    if answer.status_code >= 400:
        (form,) = answer.headers["content-type"]
        assert form.startswith("application/problem+json"), (case, answer.text)


def sees_his_own(case, answer):
    """Nothing that is found tells of the other project; a refusal may repeat what was asked."""
    unbroken(case, answer)
    if answer.status_code == OK:
        assert SECRET not in answer.text, case


def refused(case, answer):
    """Who has no right gets nothing."""
    unbroken(case, answer)
    assert answer.status_code in {403, 404}, (case, answer.status_code)
