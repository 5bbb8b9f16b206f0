"""The objects that a compat report looks at: from manifests in files and folders, or from a cluster."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gateway_operator.commands.compat_rules import config_of, is_controller
from gateway_operator.errors import ApiError, ConfigError, NotFound
from gateway_operator.ingress.sources import CONFIGMAPS, INGRESSES
from gateway_operator.kube import Api, Resource

Object = dict[str, Any]
WORKLOADS = (
    Resource("apps", "v1", "Deployment", "deployments", namespaced=True),
    Resource("apps", "v1", "DaemonSet", "daemonsets", namespaced=True),
)
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_LABELS = {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Material:
    """What was found; `unread` names what could not be looked at, and why."""

    ingresses: list[Object] = field(default_factory=list)
    configs: list[Object] = field(default_factory=list)
    workloads: list[Object] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def from_files(paths: Sequence[Path], namespace: str | None) -> Material:
    """Read manifests; `-` is standard input. Raises ConfigError for a named file that can't be read."""
    found = Material()
    objects: list[Object] = []
    for path in paths:
        if path.is_dir():
            for file in sorted(item for item in path.rglob("*") if item.suffix in _SUFFIXES and item.is_file()):
                try:
                    objects += _objects(file)
                except ConfigError as error:
                    found.unread.append(str(error))  # a template of a chart, perhaps
        else:
            objects += _objects(path)
    _sort(found, [o for o in objects if namespace in {None, o["metadata"].get("namespace")}])
    return found


def _sort(found: Material, objects: Iterable[Object]) -> None:
    configs = []
    for obj in objects:
        match obj.get("kind"):
            case "Ingress" if str(obj.get("apiVersion", "")).startswith("networking.k8s.io/"):
                found.ingresses.append(obj)
            case "Deployment" | "DaemonSet" if is_controller(obj):
                found.workloads.append(obj)
            case "ConfigMap":
                configs.append(obj)
    named = {key for workload in found.workloads for key in config_of(workload)}
    for obj in configs:
        meta = obj["metadata"]
        labels = meta.get("labels") or {}
        labelled = isinstance(labels, dict) and labels.items() >= _LABELS.items()
        if (meta.get("namespace") or "", meta.get("name")) in named or labelled:
            found.configs.append(obj)


def _objects(file: Path) -> list[Object]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        documents = list(yaml.load_all(text, Loader=_LOADER))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{file}: can't be read as YAML: {' '.join(str(error).split())[:200]}") from error
    return [obj for document in documents for obj in _flattened(document)]


def _flattened(document: Any) -> Iterator[Object]:
    """Yield the objects of a document, which may be a List of them."""
    if not isinstance(document, dict):
        return
    items = document.get("items")
    if isinstance(items, list) and str(document.get("kind", "")).endswith("List"):
        for item in items:
            yield from _flattened(item)
    elif isinstance(document.get("metadata"), dict):
        yield document


async def from_cluster(api: Api, namespace: str | None) -> Material:
    """Ask a cluster; what the caller may not read is named in `unread`. Ingresses must be readable."""
    found = Material(ingresses=(await api.list(INGRESSES, namespace)).items)
    for resource in WORKLOADS:
        try:
            items = (await api.list(resource, namespace)).items
        except ApiError as error:
            found.unread.append(f"{resource.plural}: {error}")
        else:
            found.workloads += [item for item in items if is_controller(item)]
    for where, name in sorted({key for workload in found.workloads for key in config_of(workload)}):
        try:
            found.configs.append(await api.get(CONFIGMAPS, name, where))
        except NotFound:
            continue
        except ApiError as error:
            found.unread.append(f"ConfigMap {where}/{name}: {error}")
    return found
