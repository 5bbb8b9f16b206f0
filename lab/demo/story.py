"""The demo's steps, in order. Each shows what it does and what came of it."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from lab import load, tools
from lab.cluster import Cluster, Lab
from lab.demo import api, asked, clusters, objects, observability, traffic
from lab.demo.observability import Servers
from lab.demo.report import Report
from lab.demo.tally import Tally
from lab.demo.target import Target, users_cluster
from lab.errors import LabError
from lab.images import ECHO, image

LAB = "demo"
OPERATOR_NAMESPACE = objects.OPERATOR_NAMESPACE
REQUESTS_PER_ROUTE = 100
CLUSTER_GATEWAY = "kubesphere-router-proj1"  # seed name of the sample: it serves the whole cluster
SHOP_GATEWAY = "kubesphere-router-shop"
BLOG_GATEWAY = "kubesphere-router-blog"
TEA = "/tea"
_KINDS = (
    "gateways.gateway.kubesphere.io",
    "nginxes.gateway.kubesphere.io",
    "clustertrafficpolicies.k8s.nginx.org",
    "memberclusters.k8s.nginx.org",
)


def tell(kubeconfig: Path | None = None) -> None:
    """Play the whole demo and leave it running. Raises LabError."""
    report = Report()
    with report.step("lab", "Clusters whose pods run" + ("" if kubeconfig else ", Elasticsearch and Prometheus")):
        target, servers = (users_cluster(kubeconfig), None) if kubeconfig else _everything()
    with report.step("operator", "The operator, from its chart"):
        _install(target, servers)
        target.show("get", "pods", "-n", OPERATOR_NAMESPACE)
    with report.step("apps", "Two projects, each with an app and an Ingress"):
        for project in objects.HOSTS:
            target.apply(objects.app(project, target.app_image))
    with report.step("gateways", "A project gateway, then the cluster gateway, then one that comes too late"):
        _gateways(target, report)
        _scraped(servers)
    tally = Tally()
    with report.step("traffic", "Requests through both gateways"):
        routes = _routes(target)
        _requests(target, report, routes, tally)
    if kubeconfig:
        print("\n==> Several clusters: left out, for their networks would have to be made; `make demo` alone shows it")
    else:
        _several_clusters(target, report, tally)
    with report.step("repair", "Somebody deletes a Deployment and edits a Service"):
        _scraped(servers)  # a gateway that goes takes its counts along
        _sabotage(target, report, routes, tally)
    if servers:
        with report.step("api", "Metrics and logs, asked through the API with tokens"):
            _ask(target, report, tally)
    else:
        print("\n==> Metrics and logs: left out, for the demo knows no Elasticsearch and no Prometheus of this cluster")
    report.write()
    print("\n==> Summary (also in lab/report.json)")
    print(report.summary())
    asked.check(report.api)
    _hints(target, kubeconfig)


def down(kubeconfig: Path | None = None) -> None:
    """Take everything away: the lab's cluster, or what the demo put into the user's."""
    if kubeconfig is None:
        if lab := Lab.find(LAB):
            lab.down()
        print("the demo is gone")
        return
    _clear(Target(kubeconfig, "", "", ""))


def _clear(target: Target) -> None:
    """Remove the demo's objects from a user's cluster, and what then serves nobody."""
    gateways = (SHOP_GATEWAY, CLUSTER_GATEWAY, BLOG_GATEWAY)
    target.kubectl("delete", "mgw", *gateways, "-n", objects.WORKING_NAMESPACE, "--ignore-not-found", check=False)
    left = [name for kind in _KINDS for name in target.kubectl("get", kind, "-A", "-o", "name", check=False).split()]
    if left:
        print(f"the operator stays: the cluster has objects that are not the demo's: {', '.join(left)}")
    else:
        target.helm("uninstall", "gateway-operator", "-n", OPERATOR_NAMESPACE, "--ignore-not-found")
        target.kubectl("delete", "crd", *_KINDS, "--ignore-not-found")
        empty = (OPERATOR_NAMESPACE, objects.WORKING_NAMESPACE)
        target.kubectl("delete", "namespace", *empty, "--ignore-not-found")
    target.kubectl("delete", "namespace", *objects.HOSTS, "--ignore-not-found")
    print("the demo is gone")


def lab_target(name: str = LAB, members: Sequence[str] = ()) -> Target:
    """Bring a cluster up with the images in it, and clusters beside it that are not yet members of it."""
    return _with_image(Lab.up(clusters=[clusters.CENTRE, *members], name=name)[clusters.CENTRE])


def _everything() -> tuple[Target, Servers]:
    """Bring the demo's clusters up, and what stores logs and metrics."""
    lab = Lab.up(clusters=[clusters.CENTRE, *clusters.MEMBERS], name=LAB)
    centre = lab[clusters.CENTRE]
    with ThreadPoolExecutor() as threads:  # one waits for a JVM, the other for a disk
        servers = threads.submit(observability.up, lab, centre)
        return _with_image(centre), servers.result()


def _with_image(centre: Cluster) -> Target:
    built = image()
    centre.ensure(built)
    return Target(centre.kubeconfig, centre.node_ip, built.name, ECHO)


def _install(target: Target, servers: Servers | None) -> None:
    if servers is None:
        install_operator(target)
        return
    api.prepare(target)
    target.kubectl("apply", "-f", "-", text=servers.credentials())
    install_operator(target, *api.VALUES, *servers.values())


def install_operator(target: Target, *settings: str) -> None:
    """Install or upgrade the operator from its chart; `settings` are more values (`key=value`)."""
    repository, _, tag = target.image.rpartition(":")
    chart = str(objects.ROOT / "charts" / "gateway-operator")
    values = [f"image.repository={repository}", f"image.tag={tag}", *settings]
    target.helm(
        *("upgrade", "--install", "gateway-operator", chart, "-n", OPERATOR_NAMESPACE, "--create-namespace"),
        *(word for value in values for word in ("--set", value)),
        *("--wait", "--timeout", "3m"),
    )


def _gateways(target: Target, report: Report) -> None:
    target.apply(objects.project_gateway("shop"))
    _show_ready(target, SHOP_GATEWAY)
    print(f"    the sample, unchanged: {objects.SAMPLE.relative_to(objects.ROOT)}", flush=True)
    target.apply(objects.SAMPLE.read_text())
    _show_ready(target, CLUSTER_GATEWAY)
    target.apply(objects.project_gateway("blog"))
    target.wait("the refusal", lambda: bool(_condition(target, BLOG_GATEWAY, "Accepted", "False")))
    refused = _condition(target, BLOG_GATEWAY, "Accepted", "False")
    print(f"    {BLOG_GATEWAY} is refused: {refused.get('reason')}: {refused.get('message')}", flush=True)
    report.refused.append({"name": BLOG_GATEWAY, "reason": refused.get("reason"), "message": refused.get("message")})
    for name in (SHOP_GATEWAY, CLUSTER_GATEWAY):
        _wait_ready(target, name)  # a gateway of an earlier demo may have just been upgraded
        report.gateways.append(_served(target, name))
    target.show("get", "mgw,ngx", "-A")


def _served(target: Target, name: str) -> dict[str, object]:
    status = _gateway(target, name)["status"]
    addresses = status.get("addresses") or [f"{target.node_ip}:{_node_ports(target, name)['http']}"]
    return {
        "name": name,
        "scope": status.get("scope"),
        "ready": bool(_condition(target, name, "Ready", "True")),
        "address": addresses[0],
    }


def _show_ready(target: Target, name: str) -> None:
    print(f"    {name} is Ready after {_wait_ready(target, name):.1f} s", flush=True)


def _wait_ready(target: Target, name: str) -> float:
    return target.wait(f"{name} is Ready", lambda: bool(_condition(target, name, "Ready", "True")))


def _routes(target: Target) -> list[traffic.Route]:
    shop, cluster = _node_ports(target, SHOP_GATEWAY), _node_ports(target, CLUSTER_GATEWAY)
    hosts = objects.HOSTS
    return [
        traffic.Route("shop's gateway", shop["http"], hosts["shop"], "shop", through=SHOP_GATEWAY),
        traffic.Route("cluster gateway", cluster["http"], hosts["shop"], "shop", through=CLUSTER_GATEWAY),
        traffic.Route(
            "cluster gateway (TLS)", cluster["https"], hosts["blog"], "blog", tls=True, through=CLUSTER_GATEWAY
        ),
    ]


def _requests(target: Target, report: Report, routes: list[traffic.Route], tally: Tally) -> None:
    for route in routes:
        target.wait(f"{route.host} answers", partial(traffic.answers, target.node_ip, route, tally))
    report.requests = traffic.send(target.node_ip, routes, REQUESTS_PER_ROUTE, tally)
    for backend, count in sorted(report.requests.by_backend.items()):
        print(f"    {count:>5}  {backend}", flush=True)
    if report.requests.ok != report.requests.sent:
        raise LabError(f"only {report.requests.ok} of {report.requests.sent} requests were answered by the right app")


def _several_clusters(target: Target, report: Report, tally: Tally) -> None:
    lab = Lab.find(LAB)
    if lab is None:
        raise LabError(f"the lab {LAB} is gone")
    with report.step("members", "Two more clusters become members"):
        clusters.join_members(target, lab)
    with report.step("split", "One policy, requests spread over both by its weights"):
        way = load.Way(target.node_ip, _node_ports(target, CLUSTER_GATEWAY)["http"], "cafe.example.com", TEA)
        counted = clusters.Counted(way, CLUSTER_GATEWAY, tally)
        clusters.split(target, counted, report)
    with report.step("cut", "A member's network is cut in silence"):
        clusters.cut_off(target, lab, counted, report)


def _scraped(servers: Servers | None) -> None:
    if servers:
        servers.scraped(f"{gateway}-metrics" for gateway in (SHOP_GATEWAY, CLUSTER_GATEWAY))


def _ask(target: Target, report: Report, tally: Tally) -> None:
    found = api.find(target)
    observer = api.user(target, "observer", OPERATOR_NAMESPACE, "gateway-operator-view", everywhere=True)
    viewer = api.user(target, "viewer", "shop", "view")
    print(f"    {found.url}{api.METRICS}/namespaces/.../ingresses", flush=True)
    print(f"    {found.url}{api.GATEWAYS}/namespaces/.../gateways/.../logs", flush=True)
    views = asked.views(observer, viewer, CLUSTER_GATEWAY, SHOP_GATEWAY)
    report.api = [asked.compare(found, view, tally) for view in views]
    asked.search(found, views[0], tally, TEA)
    asked.refused(found, viewer)


def _sabotage(target: Target, report: Report, routes: list[traffic.Route], tally: Tally) -> None:
    namespace = objects.WORKING_NAMESPACE
    old = target.get("deployment", CLUSTER_GATEWAY, "-n", namespace)["metadata"]["uid"]
    started = time.monotonic()
    target.kubectl("delete", "deployment", CLUSTER_GATEWAY, "-n", namespace, "--wait=false")
    target.wait("the Deployment is back", lambda: _uid(target, CLUSTER_GATEWAY) not in {"", old}, pause=0.1)
    _repaired(report, "the deleted Deployment", started)

    before = target.get("service", SHOP_GATEWAY, "-n", namespace)["spec"]["selector"]
    started = time.monotonic()
    target.kubectl(
        *("patch", "service", SHOP_GATEWAY, "-n", namespace, "--type=merge"),
        *("-p", '{"spec":{"selector":{"app.kubernetes.io/component":"nothing"}}}'),
    )
    target.wait(
        "the Service is repaired",
        lambda: target.get("service", SHOP_GATEWAY, "-n", namespace)["spec"]["selector"] == before,
        pause=0.1,
    )
    _repaired(report, "the edited Service", started)
    # what the old pod still serves after its last scrape would be in no metric
    target.kubectl("rollout", "status", f"deployment/{CLUSTER_GATEWAY}", "-n", namespace, "--timeout=240s")
    for route in routes:
        target.wait(f"{route.host} answers again", partial(traffic.answers, target.node_ip, route, tally))
    print("    requests through both gateways are answered again", flush=True)


def _repaired(report: Report, what: str, started: float) -> None:
    report.repaired_ms[what] = round((time.monotonic() - started) * 1000)
    print(f"    {what} is back after {report.repaired_ms[what]} ms", flush=True)


def _uid(target: Target, name: str) -> str:
    found = target.get("deployment", name, "-n", objects.WORKING_NAMESPACE)
    return str(found["metadata"]["uid"]) if found else ""


def _gateway(target: Target, name: str) -> dict[str, Any]:
    return target.get("gateways.gateway.kubesphere.io", name, "-n", objects.WORKING_NAMESPACE)


def _condition(target: Target, name: str, type_: str, status: str) -> dict[str, Any]:
    """The condition of a Gateway when it has this status for the object as it is now; else empty."""
    gateway = _gateway(target, name)
    for condition in gateway.get("status", {}).get("conditions", []):
        current = condition.get("observedGeneration") == gateway["metadata"]["generation"]
        if condition["type"] == type_ and condition["status"] == status and current:
            return dict(condition)
    return {}


def _node_ports(target: Target, name: str) -> dict[str, int]:
    ports = target.get("service", name, "-n", objects.WORKING_NAMESPACE)["spec"]["ports"]
    return {port["name"]: int(port["nodePort"]) for port in ports}


def _hints(target: Target, kubeconfig: Path | None) -> None:
    helm = f"KUBECONFIG={target.kubeconfig} {tools.binary('helm4')} history {CLUSTER_GATEWAY}"
    print("\n==> It goes on running; try")
    for command in (
        "get mgw,ngx -A",
        "get ctp,mcl -A",
        f"describe mgw {BLOG_GATEWAY} -n {objects.WORKING_NAMESPACE}",
        "explain gateways.spec --api-version=gateway.kubesphere.io/v1alpha1",
        "get ingress -A",
        f"logs -n {OPERATOR_NAMESPACE} deploy/gateway-operator",
    ):
        print(f"  {target.hint(command)}")
    print(f"  {helm} -n {objects.WORKING_NAMESPACE}")
    users = f" KUBECONFIG={kubeconfig}" if kubeconfig else ""
    print(f"\nmake demo-down{users} takes it away.")
