"""A cluster for tests of the doctor: the operator's chart installed, and pods that say they are well."""

from __future__ import annotations

import asyncio
import http.server
import json
import socket
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from gateway_operator.releases import names
from gateway_operator.releases.records import encode_payload
from lab.apiserver import ApiCluster
from releases_lab import eventually

ROOT = Path(__file__).resolve().parents[2]
GROUP = "gateway.kubesphere.io"
HOME = "operator-system"
OPERATOR = "op-gateway-operator"


def now(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Readyz:
    """What a pod of the operator would answer."""

    def __init__(self) -> None:
        self.says: dict[str, Any] = {"ready": True, "leader": True, "rows": {}, "problems": []}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(outer.says).encode()
                self.send_response(200 if outer.says["ready"] else 503)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def address() -> str:
        """An address of this machine that is not the loopback, which the API server won't go to."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])


class Clinic:
    """A cluster with the operator's chart installed, and pods that say they are well."""

    def __init__(self, cluster: ApiCluster, helm: Path) -> None:
        self.cluster, self.helm, self.readyz = cluster, helm, Readyz()

    def kubectl(self, *args: str, obj: dict[str, Any] | None = None) -> str:
        return self.cluster.kubectl(*args, input=json.dumps(obj) if obj is not None else None)

    def apply(self, obj: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", obj=obj)

    def look(self, *what: str) -> dict[str, Any]:
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    def status(self, status: dict[str, Any], *what: str) -> None:
        self.kubectl("patch", *what, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))

    def install(self) -> None:
        self.kubectl("create", "namespace", HOME)
        text = subprocess.run(
            [str(self.helm), "template", "op", str(ROOT / "charts" / "gateway-operator"), "-n", HOME],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.cluster.kubectl("create", "namespace", "kubesphere-controls-system")
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
        config = self.look("configmap", OPERATOR, "-n", HOME)
        settings = yaml.safe_load(config["data"]["config.yaml"])
        settings |= {"healthProbeBindAddress": f":{self.readyz.port}"}
        patch = {"data": {"config.yaml": yaml.safe_dump(settings)}}
        self.kubectl("patch", "configmap", OPERATOR, "-n", HOME, "--type=merge", "-p", json.dumps(patch))
        self.kubectl("wait", "--for=condition=Established", "crd", f"gateways.{GROUP}", "--timeout=60s")

    def lease(self, holder: str = "me", renewed: str = "") -> None:
        fresh = now(hours=-1)  # and so for as long as a test takes
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 10, "renewTime": renewed or fresh}
        self.apply(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": "gateway-operator", "namespace": HOME},
                "spec": spec,
            }
        )

    def pods(self, namespace: str = HOME) -> list[str]:
        found = self.look("pods", "-n", namespace)["items"]
        return [pod["metadata"]["name"] for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def well(self, pod: str, namespace: str = HOME) -> None:
        """Let a pod say that it is ready."""
        containers = self.look("pod", pod, "-n", namespace)["spec"]["containers"]
        running = {"running": {"startedAt": now(minutes=1)}}
        statuses = [
            {"name": c["name"], "ready": True, "state": running, "restartCount": 0, "image": c["image"], "imageID": "x"}
            for c in containers
        ]
        address = Readyz.address()
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": statuses,
        }
        self.status(status, "pod", pod, "-n", namespace)

    async def heal(self) -> None:
        """Bring the operator to health."""

        async def there() -> bool:
            return len(await asyncio.to_thread(self.pods)) == 2

        await eventually(there)
        for pod in self.look("pods", "-n", HOME)["items"]:
            if not pod["metadata"].get("deletionTimestamp") and not is_well(pod):
                self.well(pod["metadata"]["name"])
        self.lease()
        self.readyz.says = {"ready": True, "leader": True, "rows": {}, "problems": []}

        async def ready() -> bool:
            found = await asyncio.to_thread(self.look, "deployment", OPERATOR, "-n", HOME)
            return found["status"].get("readyReplicas") == 2

        await eventually(ready)


def is_well(pod: dict[str, Any]) -> bool:
    """Tell whether a pod says what `Clinic.well` had it say."""
    found = pod["status"].get("containerStatuses") or []
    return (
        [(one["type"], one["status"]) for one in pod["status"].get("conditions") or []] == [("Ready", "True")]
        and len(found) == len(pod["spec"]["containers"])
        and all((one["ready"], one["restartCount"], bool(one.get("lastState"))) == (True, 0, False) for one in found)
    )


def record(namespace: str, name: str, status: str, *, owner: str = "", size: int = 10) -> dict[str, Any]:
    labels = {"owner": "helm", "name": name, "status": status, "version": "1", names.OWNER_LABEL: owner}
    meta = {"name": f"sh.helm.release.v1.{name}.v1", "namespace": namespace, "labels": labels}
    payload = encode_payload({"name": name, "info": {"status": status}})
    data = {"release": payload if size < 1000 else "A" * (size // 4 * 4)}
    return {"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "metadata": meta, "data": data}


def gateway(clinic: Clinic, namespace: str, name: str, *, kind: str = "Gateway", **more: Any) -> None:
    meta = {"name": name, "namespace": namespace, **more.pop("metadata", {})}
    clinic.apply({"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": meta, "spec": more.pop("spec", {})})


def conditions(clinic: Clinic, namespace: str, name: str, *found: dict[str, Any]) -> None:
    base = {"lastTransitionTime": now(minutes=30)[:19] + "Z", "observedGeneration": 1}
    status = {"observedGeneration": 1, "conditions": [{**base, **one} for one in found]}
    clinic.status(status, f"gateways.{GROUP}", name, "-n", namespace)


def event(clinic: Clinic, namespace: str, kind: str, name: str, reason: str, message: str) -> None:
    stamp = now(minutes=1)[:19] + "Z"
    about = {"kind": kind, "namespace": namespace, "name": name}
    clinic.apply(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{reason.lower()}", "namespace": namespace},
            "involvedObject": about,
            "type": "Warning",
            "reason": reason,
            "message": message,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
        }
    )
