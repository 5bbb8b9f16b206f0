"""The running gateways: pods that are not ready, refused configuration, classes in conflict, awaited addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway_operator.commands.doctor.findings import Finding, Object, age, problem, title, warning
from gateway_operator.commands.doctor.pods import Trouble, is_ready, pod_troubles, selector_of
from gateway_operator.commands.doctor.scope import Scope, together
from gateway_operator.crds.conditions import condition_of
from gateway_operator.errors import ApiError
from gateway_operator.releases.names import MANAGED_BY_HELM

AREA = "gateways"
_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_CONFIG_EVENTS = {"InvalidConfig", "Quarantined", "ReloadFailed"}
_RECENT = 3600.0
_LINES = 5


@dataclass(frozen=True)
class PodFacts:
    """A pod of a gateway, why it isn't ready, and the last lines of a container that crashes."""

    pod: Object
    troubles: Sequence[Trouble] = ()
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class GatewaysFacts:
    """Workloads with their pods, Events of ingress controllers, IngressClasses, and the objects behind."""

    workloads: Sequence[tuple[Object, Sequence[PodFacts]]] = ()
    events: Sequence[Object] = ()
    classes: Sequence[Object] = ()
    nginxes: Sequence[Object] = ()
    gateways: Sequence[Object] = ()


async def check(scope: Scope) -> list[Finding]:
    """Look at every workload that serves Ingresses."""
    selector = f"{MANAGED_BY_HELM},app.kubernetes.io/component=controller"
    workloads = [
        {**workload, "kind": kind}
        for kind in ("Deployment", "DaemonSet")
        for workload in await scope.list("apps/v1", kind, label_selector=selector)
    ]
    by_kind: dict[str, list[Object]] = {ref.kind: found for ref, found in scope.objects.items()}
    facts = GatewaysFacts(
        workloads=[(workload, await _pods(scope, workload)) for workload in workloads],
        events=[e for e in await scope.list("v1", "Event") if e.get("reason") in _CONFIG_EVENTS],
        classes=await scope.list("networking.k8s.io/v1", "IngressClass"),
        nginxes=by_kind.get("Nginx", []),
        gateways=by_kind.get("Gateway", []),
    )
    return judge(facts, now=scope.now)


async def _pods(scope: Scope, workload: Object) -> list[PodFacts]:
    namespace = workload["metadata"]["namespace"]
    pods = await scope.list("v1", "Pod", namespace, label_selector=selector_of(workload))
    return await together(_pod(scope, pod) for pod in pods)


async def _pod(scope: Scope, pod: Object) -> PodFacts:
    troubles = pod_troubles(pod)
    words = {t.logs: await _last_words(scope, pod, t.logs) for t in troubles if t.logs}
    return PodFacts(pod, troubles, words)


async def _last_words(scope: Scope, pod: Object, container: str) -> str:
    meta = pod["metadata"]
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/log"
    query = {"container": container, "previous": "true", "tailLines": str(_LINES)}
    try:
        return str(await scope.api.raw("GET", path, query=query, accept="*/*")).strip()
    except ApiError as error:
        return f"(its log can't be read: {error.message})"


def judge(facts: GatewaysFacts, *, now: float) -> list[Finding]:
    """Apply the rules. Pure."""
    found: list[Finding] = []
    for workload, pods in facts.workloads:
        found += _workload(workload, pods)
    found += _events(facts.events, now)
    found += _classes(facts.classes, facts.nginxes)
    for gateway in facts.gateways:
        assigned = condition_of(gateway, "AddressAssigned")
        if assigned.get("status") == "False":
            found.append(warning(AREA, title(gateway, "Gateway"), f"no address: {assigned.get('message')}"))
        served = condition_of(gateway, "IngressesServed")
        if served.get("status") == "False":
            remedy = "each of them has an Event that says what nginx refuses; mend or delete it"
            found.append(warning(AREA, title(gateway, "Gateway"), str(served.get("message")), remedy))
    return found


def _workload(workload: Object, pods: Sequence[PodFacts]) -> list[Finding]:
    name = title(workload)
    ready = sum(is_ready(one.pod) for one in pods)
    tell = warning if ready else problem
    found = []
    for one in pods:
        for trouble in one.troubles:
            words = one.words.get(trouble.logs, "")
            count = len(words.splitlines())
            text = (
                f"{trouble.text}; its last {count} lines: {' | '.join(words.splitlines())}" if words else trouble.text
            )
            found.append(tell(AREA, title(one.pod, "Pod"), text, trouble.remedy))
    wanted = workload["spec"].get("replicas", 1) if workload["kind"] == "Deployment" else _scheduled(workload)
    if wanted and not ready and not found:
        failed = condition_of(workload, "ReplicaFailure")
        why = f": {failed.get('message')}" if failed.get("status") == "True" else ""
        text = f"no pod is ready of {wanted} that should be{why}"
        found.append(problem(AREA, name, text, "kubectl describe it: a quota or an admission rule may refuse its pods"))
    return found


def _scheduled(daemonset: Object) -> int:
    return int((daemonset.get("status") or {}).get("desiredNumberScheduled") or 0)


def _events(events: Sequence[Object], now: float) -> list[Finding]:
    found = {}
    for event in events:
        if age(event.get("lastTimestamp"), now) < _RECENT:
            about = event.get("involvedObject") or {}
            name = f"{about.get('kind')} {about.get('namespace') or ''}/{about.get('name')}"
            text = f"its configuration is refused ({event.get('reason')}): {event.get('message')}"
            found[name, text] = problem(
                AREA, name, text, "mend the object; until then the last good configuration serves"
            )
    return list(found.values())


def _classes(classes: Sequence[Object], nginxes: Sequence[Object]) -> list[Finding]:
    """Find classes that two gateways serve, more than one default, and one that belongs to another controller."""
    found: list[Finding] = []
    by_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for nginx in nginxes:
        controller = (nginx.get("spec") or {}).get("controller") or {}
        resource = _mapping(controller.get("ingressClassResource"))
        if not _mapping(controller.get("scope")).get("enabled") and resource.get("enabled", True):
            value = str(resource.get("controllerValue") or "k8s.io/ingress-nginx")
            by_name[str(resource.get("name") or "nginx")].append((title(nginx, "Nginx"), value))
    live = {c["metadata"]["name"]: str((c.get("spec") or {}).get("controller") or "") for c in classes}
    for name, holders in sorted(by_name.items()):
        if len(holders) > 1:
            text = f"more than one gateway serves it: {', '.join(sorted(who for who, _ in holders))}"
            found.append(problem(AREA, f"IngressClass {name}", text, "give each a class of its own"))
        elif name in live and live[name] != holders[0][1]:
            text = f"its controller is {live[name]}, and {holders[0][0]} answers to {holders[0][1]}"
            remedy = "delete the IngressClass, so that the gateway makes its own, or choose another class"
            found.append(problem(AREA, f"IngressClass {name}", text, remedy))
    defaults = sorted(c["metadata"]["name"] for c in classes if _annotations(c).get(_DEFAULT) == "true")
    if len(defaults) > 1:
        text = "more than one class is the default: Ingresses without a class can't be created"
        remedy = f"take the annotation {_DEFAULT} off all but one"
        found.append(problem(AREA, f"IngressClass {', '.join(defaults)}", text, remedy))
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _annotations(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}
