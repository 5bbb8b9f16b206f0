"""The demo's last part: what the operator's API says of the traffic, held against what the load generator counted.

Everything is asked over HTTP with tokens of ServiceAccounts: the platform's observer sees the cluster gateway, the
viewer of the project `shop` its own gateway, and of the cluster gateway its own share.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.demo import api, objects
from lab.demo.api import Api, User
from lab.demo.report import Asked, Pair
from lab.demo.tally import Part, Tally
from lab.errors import LabError
from lab.load import OK

TOLERANCE = 0.02
PATIENCE = 120.0
STILL = 10.0  # a count that stays for so long is final
CLUSTER = "kubesphere-system"  # how the API's paths name the cluster
STRANGER = "blog"
_REQUESTS, _RATE, _LATENCY = "ingress_request_count", "ingress_success_rate", "ingress_request_duration_95percentage"


@dataclass(frozen=True)
class View:
    """One gateway as one user sees it: the namespace in the API's paths, and what of the traffic is seen."""

    title: str
    user: User
    namespace: str
    gateway: str
    host: str = ""
    own: bool = True

    def truth(self, tally: Tally) -> Part:
        """What the load generator counted of it."""
        return tally.part(self.gateway, host=self.host)


class Question:
    """Asks the API about the time since the tally's beginning."""

    def __init__(self, found: Api, view: View, tally: Tally) -> None:
        self._api, self._view, self._tally = found, view, tally

    def metrics(self) -> dict[str, float]:
        """Return requests, success rate and latency by their names; what has no value isn't there. Raises Refused."""
        view, now = self._view, time.time()
        params = {
            "time": f"{now:.3f}",
            "duration": f"{math.ceil(now - self._tally.begin)}s",
            "metrics_filter": f"^({_REQUESTS}|{_RATE}|{_LATENCY})$",
        }
        if not view.own:
            params["job"] = f"{view.gateway}-metrics"
        answer = self._api.get(view.user, f"{api.METRICS}/namespaces/{view.namespace}/ingresses", **params)
        found = {one["metric_name"]: one["data"]["result"] for one in answer["results"]}
        return {name: float(rows[0]["value"][1]) for name, rows in found.items() if rows}

    def lines(self, size: int = 0, **filters: str) -> dict[str, Any]:
        """Search the access lines: `total` and `size` records of them, the youngest first. Raises Refused."""
        view = self._view
        path = f"{api.GATEWAYS}/namespaces/{view.namespace}/gateways/{view.gateway}/logs"
        span = {"start_time": int(self._tally.begin), "end_time": math.ceil(time.time())}
        filters = filters or {"status": "100-599"}
        found: dict[str, Any] = self._api.get(view.user, path, operation="query", size=size, **span, **filters)["query"]
        return found


def views(observer: User, viewer: User, cluster_gateway: str, shop_gateway: str) -> list[View]:
    """The three views that the demo shows."""
    shop = objects.HOSTS["shop"]
    return [
        View("the cluster gateway, as the platform sees it", observer, CLUSTER, cluster_gateway),
        View("shop's own gateway, as shop sees it", viewer, "shop", shop_gateway),
        View("the cluster gateway, as shop sees it", viewer, "shop", cluster_gateway, shop, own=False),
    ]


def compare(found: Api, view: View, tally: Tally) -> Asked:
    """Ask until the API has seen all that was sent, or sees no more of it; print both sides. Raises LabError."""
    truth, question = view.truth(tally), Question(found, view, tally)
    print(f"    {view.title}: {view.user.name}, namespace {view.namespace}", flush=True)
    requests = _settled("Prometheus has scraped", lambda: question.metrics().get(_REQUESTS, 0), truth.requests)
    lines = _settled("the logs are shipped", lambda: question.lines()["total"], truth.requests)
    metrics = question.metrics()
    asked = Asked(
        view.title,
        requests=Pair(requests, truth.requests),
        success_rate=Pair(metrics.get(_RATE, math.nan), truth.success_rate),
        latency_p95_seconds=Pair(metrics.get(_LATENCY, math.nan), round(truth.latency(), 4)),
        log_lines=Pair(lines, truth.requests),
        unanswered=truth.unanswered,
    )
    for line in asked.rows():
        print(f"      {line}", flush=True)
    return asked


def search(found: Api, view: View, tally: Tally, path: str) -> None:
    """Search a gateway's log for what was asked of a path, and print what is found last."""
    answer = Question(found, view, tally).lines(1, path=path, status="200")
    sent = tally.part(view.gateway, path=path)
    counted = sum(one.status == OK for one in sent.sent)
    print(
        f"    log search, path={path} status=200: {answer['total']} lines, counted {counted}; the youngest:", flush=True
    )
    for record in answer["records"]:
        print(f"      {record['pod']}: {record['log']}", flush=True)
    _check(f"lines about {path}", Pair(answer["total"], counted), sent.unanswered)


def refused(found: Api, user: User) -> None:
    """Show that another project's gateway isn't told. Raises LabError when it is."""
    try:
        found.get(user, f"{api.GATEWAYS}/namespaces/{STRANGER}/gateways")
    except api.Refused as error:
        if error.status != 403:  # noqa: PLR2004
            raise
        print(f"    {user.name} asks for {STRANGER}'s gateways: {error}", flush=True)
        return
    raise LabError(f"{user.name} was told the gateways of {STRANGER}")


def check(found: list[Asked]) -> None:
    """Raise LabError when what the API says and what was counted differ by more than 2 %.

    Requests without an answer may be among those that the API knows.
    """
    for one in found:
        _check(f"{one.view}: requests", one.requests, one.unanswered)
        _check(f"{one.view}: log lines", one.log_lines, one.unanswered)
        _check(f"{one.view}: success rate", one.success_rate)


def _check(what: str, pair: Pair, unanswered: int = 0) -> None:
    least, most = pair.counted * (1 - TOLERANCE), (pair.counted + unanswered) * (1 + TOLERANCE)
    if not least <= pair.asked <= most:  # a NaN fails, too
        raise LabError(
            f"{what}: the API says {pair.asked:g}, the load generator counted {pair.counted:g}: more than "
            f"{TOLERANCE:.0%} apart"
        )


def _settled(what: str, ask: Callable[[], float], counted: int) -> float:
    """Ask each second until the count is reached or doesn't change any more, and return it. Raises Refused."""
    began = changed = time.monotonic()
    value, told = -1.0, False
    while True:
        now, found = time.monotonic(), _tried(ask, last=time.monotonic() - began > PATIENCE)
        if found != value:
            value, changed = found, now
        if value == counted or now - began > PATIENCE or (value >= 0 and now - changed > STILL):
            if told:
                print(f"      ... {what} after {now - began:.0f} s", flush=True)
            return value
        if not told:
            print(f"      waiting until {what}: {max(value, 0):.0f} of {counted} ...", flush=True)
            told = True
        time.sleep(1)


def _tried(ask: Callable[[], float], *, last: bool) -> float:
    """Ask; -1 while the API refuses: rights and indices may be too new for it."""
    try:
        return float(ask())
    except api.Refused:
        if last:
            raise
        return -1.0
