"""The objects that the demo applies, apart from the sample of `docs/samples/`, which it applies as it is."""

import base64
import ipaddress
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "docs" / "samples" / "gateway.yaml"
POLICY = ROOT / "docs" / "samples" / "clustertrafficpolicy.yaml"
OPERATOR_NAMESPACE = "gateway-system"
WORKING_NAMESPACE = "kubesphere-controls-system"
HOSTS = {"shop": "shop.example.com", "blog": "blog.example.com"}


def project_gateway(project: str) -> str:
    """A project gateway on node ports, as KubeSphere's console makes them."""
    return _yaml(
        {
            "apiVersion": "gateway.kubesphere.io/v1alpha1",
            "kind": "Gateway",
            "metadata": {"name": f"kubesphere-router-{project}", "namespace": WORKING_NAMESPACE},
            "spec": {
                "controller": {"scope": {"enabled": True, "namespace": project}},
                "deployment": {"replicas": 1},
                "service": {"type": "NodePort"},
            },
        }
    )


def app(project: str, image: str, replicas: int = 2) -> str:
    """A namespace with an app that answers who it is, its Service and its Ingress; `blog` has TLS."""
    parts = [_namespace(project), deployment(project, project, image, replicas), _service(project), _ingress(project)]
    if project == "blog":
        parts.append(certificate(project, HOSTS[project]))
    return "---\n".join(_yaml(part) for part in parts)


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def cafe(cluster: str, image: str, replicas: int = 2) -> str:
    """What the sample policy leads to, in a member: tea and coffee, which also say in which cluster they run."""
    parts = []
    for name in ("tea", "coffee"):
        parts.append(deployment(name, "default", image, replicas if name == "tea" else 1, cluster))
        ports = [{"name": "http", "port": 80, "targetPort": "web"}]
        parts.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": f"{name}-svc", "namespace": "default"},
                "spec": {"selector": {"app": name}, "ports": ports},
            }
        )
    return "---\n".join(_yaml(part) for part in parts)


def deployment(name: str, namespace: str, image: str, replicas: int, cluster: str = "") -> dict[str, Any]:
    """The echo application, which says which pod of which namespace (and cluster) answers."""

    def field(name: str, path: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    env = [field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace")]
    container = {
        "name": "echo",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [*env, {"name": "CLUSTER", "value": cluster}] if cluster else env,
        "ports": [{"name": "web", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1, "timeoutSeconds": 5},
    }
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 5}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def _service(project: str) -> dict[str, Any]:
    spec = {"selector": {"app": project}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": project, "namespace": project}, "spec": spec}


def _ingress(project: str) -> dict[str, Any]:
    backend = {"service": {"name": project, "port": {"name": "http"}}}
    rule = {"host": HOSTS[project], "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    spec: dict[str, Any] = {"ingressClassName": "nginx", "rules": [rule]}
    if project == "blog":
        spec["tls"] = [{"hosts": [HOSTS[project]], "secretName": f"{project}-tls"}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": project, "namespace": project},
        "spec": spec,
    }


def certificate(project: str, host: str) -> dict[str, Any]:
    """A Secret with a self-signed certificate for a project's host."""
    return tls_secret(f"{project}-tls", project, [host])


def tls_secret(name: str, namespace: str, hosts: Sequence[str]) -> dict[str, Any]:
    """A Secret with a self-signed certificate for names and addresses; the first is its subject."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    data = {"tls.crt": certificate.public_bytes(pem), "tls.key": private}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def account(name: str, namespace: str, role: str, *, everywhere: bool) -> str:
    """A ServiceAccount with a ClusterRole, in its namespace or everywhere."""
    rbac = "rbac.authorization.k8s.io"
    kind = "ClusterRoleBinding" if everywhere else "RoleBinding"
    meta = {"name": name} if everywhere else {"name": name, "namespace": namespace}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    given = {"apiGroup": rbac, "kind": "ClusterRole", "name": role}
    parts: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        {"apiVersion": f"{rbac}/v1", "kind": kind, "metadata": meta, "roleRef": given, "subjects": [subject]},
    ]
    return "---\n".join(_yaml(part) for part in parts)


def namespace(name: str) -> str:
    """A namespace."""
    return _yaml(_namespace(name))


def unbase64(text: str) -> str:
    """What a Secret's value says."""
    return base64.b64decode(text).decode()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _yaml(obj: dict[str, Any]) -> str:
    return str(yaml.safe_dump(json.loads(json.dumps(obj)), sort_keys=False))
