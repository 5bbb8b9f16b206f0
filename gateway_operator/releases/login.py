"""Credentials for kopf, which has an HTTP client of its own.

They are read anew at each login: tokens of service accounts are rotated, and kopf logs in again on a 401.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kopf
import yaml

from gateway_operator.errors import ConfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_DEFAULT = Path("~/.kube/config")


def login_from(
    kubeconfig: Path | None, context: str | None = None, *, service_account: Path = SERVICE_ACCOUNT
) -> Callable[[], kopf.ConnectionInfo]:
    """Return a login in the order of kubectl's rules: the given file, $KUBECONFIG, the pod's own, ~/.kube/config."""

    def login() -> kopf.ConnectionInfo:
        files = (
            [kubeconfig] if kubeconfig else [Path(p) for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
        )
        if not files and (service_account / "token").is_file():
            return _from_service_account(service_account)
        return _from_kubeconfig(files or [_DEFAULT.expanduser()], context)

    return login


def _from_service_account(folder: Path) -> kopf.ConnectionInfo:
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return kopf.ConnectionInfo(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca_path=str(folder / "ca.crt"),
        token=(folder / "token").read_text(encoding="utf-8").strip(),
    )


def _from_kubeconfig(files: list[Path], context: str | None) -> kopf.ConnectionInfo:
    sections: dict[str, dict[str, tuple[dict[str, Any], Path]]] = {"contexts": {}, "clusters": {}, "users": {}}
    current = context
    for file in files:
        try:
            config = yaml.safe_load(file.expanduser().read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"kubeconfig {file}: can't be read: {error}") from error
        current = current or config.get("current-context")
        for section, known in sections.items():
            for item in config.get(section) or []:
                known.setdefault(item["name"], (item.get(section.removesuffix("s")) or {}, file.expanduser().parent))
    try:
        chosen, _ = sections["contexts"][current or ""]
        cluster, cluster_folder = sections["clusters"][chosen["cluster"]]
        user, user_folder = sections["users"].get(chosen.get("user", ""), ({}, Path()))
    except KeyError as error:
        raise ConfigError(f"kubeconfig {files[0]}: there is no {error}; check its current-context") from error
    return _connection(cluster, cluster_folder, user, user_folder)


def _connection(
    cluster: dict[str, Any], cluster_folder: Path, user: dict[str, Any], user_folder: Path
) -> kopf.ConnectionInfo:
    token = user.get("token")
    if user.get("tokenFile"):
        token = (user_folder / user["tokenFile"]).read_text(encoding="utf-8").strip()
    return kopf.ConnectionInfo(
        server=cluster["server"],
        ca_path=_file(cluster, "certificate-authority", cluster_folder),
        ca_data=cluster.get("certificate-authority-data"),
        insecure=cluster.get("insecure-skip-tls-verify"),
        certificate_path=_file(user, "client-certificate", user_folder),
        certificate_data=user.get("client-certificate-data"),
        private_key_path=_file(user, "client-key", user_folder),
        private_key_data=user.get("client-key-data"),
        username=user.get("username"),
        password=user.get("password"),
        token=token,
        proxy_url=cluster.get("proxy-url"),
    )


def _file(section: dict[str, Any], key: str, folder: Path) -> str | None:
    """Return a path of a kubeconfig, unless the data is inline as well (which then wins)."""
    return str(folder / section[key]) if section.get(key) and not section.get(f"{key}-data") else None
