"""Where a gateway can be reached and how many of its pods there are, read from the live objects of its release. Pure.

Nodes are not looked at: a gateway behind NodePorts or on its nodes' own network tells its ports, and which nodes
there are is known to whoever runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway_operator.crds.conditions import Condition, Reason, find_condition
from gateway_operator.crds.gateway import DEFAULT_CLASS
from gateway_operator.gateways.claims import CLUSTER, PROJECT, mapping
from gateway_operator.releases.kinds import LiveObjects
from gateway_operator.traffic.gateways import Quarantined

Object = Mapping[str, Any]
COMPONENT = "app.kubernetes.io/component"
CONTROLLER = "controller"
_PASSED_ON = (Condition.ADDRESS_ASSIGNED, Condition.INGRESSES_SERVED)
_SHOWN = 3
_COPIED = ("addresses", "address", "ports", "replicas", "readyReplicas", "selector")


def nginx_status(nginx: Object, live: LiveObjects, quarantine: Quarantined | None = None) -> dict[str, Any]:
    """Return the status fields of an Nginx; `quarantine` is whom its pods leave out, None while none has told."""
    status = scope_fields(nginx)
    workload = _workload(live)
    if workload is not None:
        status |= _replicas(workload)
    service = _service(live, workload)
    status |= _address(service, workload)
    status["conditions"] += _ingresses_served(nginx, quarantine)
    return status


def gateway_status(live: LiveObjects, claimed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the status fields of a Gateway: what its Nginx says, or what it claims while there is none."""
    found = live.of_kind("Nginx")
    if not found:
        message = "there is no address before the gateway is deployed"
        return {**claimed, "conditions": [_assigned(None, Reason.NOT_DEPLOYED, message)]}
    nginx = found[0]
    status = mapping(nginx, "status")
    conditions = [c for c in status.get("conditions") or () if c.get("type") in _PASSED_ON]
    return {
        **scope_fields(nginx),
        **{key: status[key] for key in _COPIED if status.get(key) is not None},
        "conditions": [{key: c.get(key) or "" for key in ("type", "status", "reason", "message")} for c in conditions],
    }


def scope_fields(nginx: Object) -> dict[str, Any]:
    """Return the scope of what runs, read from the values document."""
    controller = mapping(nginx, "spec", "controller")
    scope = mapping(controller, "scope")
    fields = {"scope": CLUSTER, "ingressClass": str(controller.get("ingressClass") or DEFAULT_CLASS)}
    if scope.get("enabled"):
        namespace = nginx["metadata"].get("namespace", "")
        fields |= {"scope": PROJECT, "project": str(scope.get("namespace") or namespace)}
    return fields


def _workload(live: LiveObjects) -> Object | None:
    found = [*live.of_kind("Deployment", "apps"), *live.of_kind("DaemonSet", "apps")]
    ours = [obj for obj in found if _component(obj) == CONTROLLER]
    return next(iter(ours or found), None)


def _service(live: LiveObjects, workload: Object | None) -> Object | None:
    services = [obj for obj in live.of_kind("Service", "") if _component(obj) == CONTROLLER]
    name = workload["metadata"]["name"] if workload else None
    named = [obj for obj in services if obj["metadata"]["name"] == name]
    web = [
        obj
        for obj in services
        if any(p.get("name") in {"http", "https"} for p in mapping(obj, "spec").get("ports") or ())
    ]
    return next(iter([*named, *web]), None)


def _component(obj: Object) -> str | None:
    return mapping(obj, "metadata", "labels").get(COMPONENT)


def _replicas(workload: Object) -> dict[str, Any]:
    status, spec = mapping(workload, "status"), mapping(workload, "spec")
    labels = mapping(spec, "selector", "matchLabels")
    selector = {"selector": ",".join(f"{key}={labels[key]}" for key in sorted(labels))} if labels else {}
    if workload["kind"] == "DaemonSet":
        return {
            "replicas": status.get("currentNumberScheduled", 0),
            "readyReplicas": status.get("numberReady", 0),
            **selector,
        }
    return {"replicas": status.get("replicas", 0), "readyReplicas": status.get("readyReplicas", 0), **selector}


def _address(service: Object | None, workload: Object | None) -> dict[str, Any]:
    """Return addresses, ports and the condition that says whether there is somewhere to send traffic to."""
    if service is None:
        return _host_address(workload)
    spec = mapping(service, "spec")
    ports = [
        {key: port[key] for key in ("name", "port", "nodePort", "protocol") if port.get(key)}
        for port in spec.get("ports") or ()
    ]
    addresses = _addresses(service)
    result: dict[str, Any] = {"addresses": addresses, "address": ",".join(addresses), "ports": ports}
    node_ports = ",".join(str(port["nodePort"]) for port in ports if port.get("nodePort"))
    if spec.get("type") == "LoadBalancer" and not addresses:
        where = f"; until then the node ports {node_ports} take traffic" if node_ports else ""
        message = (
            f"the load balancer of Service {service['metadata']['name']} has no address yet{where}: check that the "
            "cluster has a load "
            "balancer provider and what it says in the Service's Events, or set spec.service.type to NodePort"
        )
        return {
            **result,
            "address": "<pending>",
            "conditions": [_assigned(False, Reason.LOAD_BALANCER_PENDING, message)],
        }
    if spec.get("type") == "NodePort" and not addresses:
        result["address"] = f"NodePort {node_ports}"
    message = f"traffic goes to {result['address']}"
    return {**result, "conditions": [_assigned(True, Reason.ADDRESS_KNOWN, message)]}


def _addresses(service: Object) -> list[str]:
    spec = mapping(service, "spec")
    found = [
        entry.get("ip") or entry.get("hostname")
        for entry in mapping(service, "status", "loadBalancer").get("ingress") or ()
    ]
    found += spec.get("externalIPs") or ()
    if spec.get("type") == "ClusterIP" and not found:
        found += [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip != "None"]
    return list(dict.fromkeys(str(address) for address in found if address))


def _host_address(workload: Object | None) -> dict[str, Any]:
    if workload is None:
        return {
            "conditions": [_assigned(None, Reason.NOT_DEPLOYED, "there is no address before the gateway is deployed")]
        }
    ports = _host_ports(workload)
    if not ports:
        message = "there is no Service and no host port: set controller.service.enabled or controller.hostNetwork"
        return {"conditions": [_assigned(False, Reason.NO_SERVICE, message)]}
    address = f"HostNetwork {','.join(str(port) for port in ports)}"
    return {
        "address": address,
        "conditions": [_assigned(True, Reason.ADDRESS_KNOWN, f"traffic goes to the nodes: {address}")],
    }


def _host_ports(workload: Object) -> list[int]:
    pod = mapping(workload, "spec", "template", "spec")
    on_host = bool(pod.get("hostNetwork"))
    ports: Sequence[Mapping[str, Any]] = [p for c in pod.get("containers") or () for p in c.get("ports") or ()]
    wanted = [p for p in ports if p.get("name") in {"http", "https"}]
    return [int(p["containerPort"]) if on_host else int(p["hostPort"]) for p in wanted if on_host or p.get("hostPort")]


def _ingresses_served(nginx: Object, quarantine: Quarantined | None) -> list[dict[str, Any]]:
    """Return the condition that names whom nginx refuses; what was said last while no pod has told."""
    if quarantine is None:
        old = find_condition(mapping(nginx, "status").get("conditions") or (), Condition.INGRESSES_SERVED)
        return [dict(old)] if old else []
    if not quarantine.count:
        return [_condition(Condition.INGRESSES_SERVED, True, Reason.ALL_SERVED, "nginx refuses no Ingress")]
    named = "; ".join(f"{name}: {why}" for name, why in quarantine.named[:_SHOWN])
    more = f"; and {quarantine.count - _SHOWN} more" if quarantine.count > _SHOWN else ""
    text = f"{quarantine.count} of the Ingresses are left out until they change: {named}{more}"
    return [_condition(Condition.INGRESSES_SERVED, False, Reason.INGRESSES_LEFT_OUT, text)]


def _assigned(status: bool | None, reason: Reason, message: str) -> dict[str, Any]:  # noqa: FBT001
    return _condition(Condition.ADDRESS_ASSIGNED, status, reason, message)


def _condition(type_: Condition, status: bool | None, reason: Reason, message: str) -> dict[str, Any]:  # noqa: FBT001
    state = "Unknown" if status is None else str(status)
    return {"type": str(type_), "status": state, "reason": str(reason), "message": message}
