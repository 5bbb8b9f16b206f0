"""The informers of one gateway: exactly what its rights allow, no more.

With `--watch-namespace` everything is asked for in that namespace, so a namespaced Role is enough; what flags name in
other namespaces (ConfigMap, published Service, default backend and certificate) is watched by name. Secrets are
watched by the field selector `type=kubernetes.io/tls`: one stream instead of a request per name. Of other Secrets, and
of ConfigMaps, only those reach this process that an Ingress names, each by a watch of its own (`named`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from gateway_operator.ingress.classes import is_ours
from gateway_operator.ingress.graph_types import Graph
from gateway_operator.ingress.memo import Line
from gateway_operator.ingress.named import NamedWatches
from gateway_operator.ingress.names import Names
from gateway_operator.ingress.options import IngressOptions
from gateway_operator.ingress.slices import SliceIndex
from gateway_operator.ingress.slim import slim
from gateway_operator.ingress.snapshot import Key, Object, Snapshot
from gateway_operator.ingress.split_source import SplitSource
from gateway_operator.kube import Api, Informer, Resource
from gateway_operator.kube.informer import OnEvent

INGRESSES = Resource("networking.k8s.io", "v1", "Ingress", "ingresses", namespaced=True)
CLASSES = Resource("networking.k8s.io", "v1", "IngressClass", "ingressclasses", namespaced=False)
SERVICES = Resource("", "v1", "Service", "services", namespaced=True)
SLICES = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", namespaced=True)
SECRETS = Resource("", "v1", "Secret", "secrets", namespaced=True)
CONFIGMAPS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)
PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
NODES = Resource("", "v1", "Node", "nodes", namespaced=False)

LONGEST_WAIT = 3.0


class Sources:
    """Local copies of all objects that the gateway looks at; `wake` is called whenever one changes."""

    def __init__(self, api: Api, options: IngressOptions, wake: Callable[[], None]) -> None:
        self._api = api
        self._options = options
        self._wake = wake
        self.on_ingress: OnEvent = lambda *_: None
        self.on_address: Callable[[], None] = lambda: None  # something changed that a status may follow from
        self._ours: dict[Key, dict[str, Any]] | None = None
        self._listed: tuple[Object, ...] | None = None
        self._kept = {res: Line[Key, Object]() for res in (SERVICES, SECRETS)}
        self._by_service = SliceIndex()
        self._names = Names(wake)
        self._named_secrets = NamedWatches("Secret", lambda key: self._named(SECRETS, "/".join(key), keep=False))
        self._named_maps = NamedWatches("ConfigMap", lambda key: self._named(CONFIGMAPS, "/".join(key), keep=False))
        namespace = options.watch_namespace or None
        self._ingresses = self._informer(INGRESSES, namespace)
        self._services = [self._informer(SERVICES, namespace)]
        self._slices = [self._informer(SLICES, namespace)]
        self._secrets = [self._informer(SECRETS, namespace, field_selector="type=kubernetes.io/tls")]
        self._config = self._named(CONFIGMAPS, options.configmap)
        references = {"tcp": options.tcp_services_configmap, "udp": options.udp_services_configmap}
        self._ports = {kind: self._named(CONFIGMAPS, name) for kind, name in references.items() if name}
        self._splits = SplitSource(options.run_dir)
        wanted = options.multi_cluster_configmap
        self._split_maps = [self._named(CONFIGMAPS, wanted)] if wanted else []
        self._classes = self._informer(CLASSES, None) if namespace is None else None
        for reference in dict.fromkeys((options.publish_service, options.default_backend_service)):
            if self._is_outside(reference):
                self._services.append(self._named(SERVICES, reference))
        if self._is_outside(options.default_backend_service):
            self._slices.append(self._slices_of(options.default_backend_service))
        if self._is_outside(options.default_ssl_certificate):
            self._secrets.append(self._named(SECRETS, options.default_ssl_certificate))

    def _informer(self, res: Resource, namespace: str | None, *, keep: bool = True, **selectors: Any) -> Informer:
        kept = self._kept.get(res) if keep else None

        def seen(type_: str, obj: dict[str, Any], previous: dict[str, Any] | None) -> None:
            if res is INGRESSES:
                self._sort_out(type_, obj)
                self.on_ingress(type_, obj, previous)
            elif res is SLICES:
                self._by_service.take(type_, obj, previous)
            elif res is CLASSES:
                self._ours = None
            elif kept is not None:
                _follow(kept, type_, obj)
            if res not in (SLICES, SECRETS):
                self.on_address()
            self._wake()

        return Informer(self._api, res, namespace=namespace, on_event=seen, strip=slim, **selectors)

    def _sort_out(self, type_: str, obj: dict[str, Any]) -> None:
        """Keep the list of our Ingresses up to date; it is made anew when a class changes."""
        self._listed = None
        if self._ours is None:
            return
        key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        if type_ != "DELETED" and is_ours(obj, self.classes, self._options):
            self._ours[key] = obj
        else:
            self._ours.pop(key, None)

    def _named(self, res: Resource, reference: str, *, keep: bool = True) -> Informer:
        namespace, _, name = reference.partition("/")
        return self._informer(res, namespace, keep=keep, field_selector=f"metadata.name={name}")

    def _slices_of(self, reference: str) -> Informer:
        namespace, _, name = reference.partition("/")
        return self._informer(SLICES, namespace, label_selector=f"kubernetes.io/service-name={name}")

    def _is_outside(self, reference: str) -> bool:
        watched = self._options.watch_namespace
        return bool(reference and watched and reference.partition("/")[0] != watched)

    @property
    def _required(self) -> list[Informer]:
        config = [self._config] if self._options.configmap else []
        maps = [*config, *self._ports.values(), *self._split_maps]
        return [self._ingresses, *self._services, *self._slices, *self._secrets, *maps]

    async def run(self) -> None:
        """List and watch until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for informer in [*self._required, *([self._classes] if self._classes else [])]:
                    group.create_task(informer.run())
                group.create_task(self._names.run())
        finally:
            self._named_secrets.stop()
            self._named_maps.stop()

    async def follow(self, graph: Graph) -> bool:
        """Watch and resolve what a graph names; returns whether a new snapshot has more to offer.

        What is new is waited for, so that a path that needs it isn't shut for the moment until it comes.
        """
        new = [
            self._named_secrets.follow(graph.secrets),
            self._named_maps.follow(graph.configmaps),
            self._names.follow(graph.names),
        ]
        if not any(new):
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_WAIT):
                await self._named_secrets.arrived()
                await self._named_maps.arrived()
                await self._names.arrived()
        return True

    async def synced(self) -> None:
        """Wait until every copy is complete; IngressClasses are done without where they are forbidden."""
        for informer in self._required:
            await informer.synced.wait()
        while self._classes and not self._classes.synced.is_set() and not self._classes_forbidden:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    @property
    def waiting_for(self) -> str:
        """What isn't complete yet, for people who ask why a gateway isn't ready."""
        missing = [item for item in self._required if not item.synced.is_set()]
        return "; ".join(f"{item.res.plural}: {item.error or 'not listed yet'}" for item in missing)

    @property
    def _classes_forbidden(self) -> bool:
        return "Forbidden" in ((self._classes and self._classes.error) or "")

    @property
    def classes(self) -> Mapping[str, Any] | None:
        """IngressClasses by name; None where they can't be read."""
        if self._classes is None or not self._classes.synced.is_set():
            return None
        return {name: obj for (_, name), obj in self._classes.store.items()}

    def snapshot(self) -> Snapshot:
        """Take what is known now; ingresses of other controllers are left out."""
        if self._ours is None or (self._classes and not self._classes.synced.is_set()):
            classes = self.classes
            self._ours = {
                key: obj for key, obj in self._ingresses.store.items() if is_ours(obj, classes, self._options)
            }
            self._listed = None
        self._listed = self._listed or tuple(self._ours.values())
        secrets: Mapping[Key, Object] = self._kept[SECRETS].now()
        if named := self._named_secrets.objects():
            secrets = {**named, **secrets}
        found = [obj for informer in self._split_maps for obj in informer.store.values()]
        self._splits.take(found[0] if found else None)
        ports = {kind: obj.get("data") or {} for kind, found in self._ports.items() for obj in found.store.values()}
        return Snapshot(
            ingresses=self._listed,
            services=self._kept[SERVICES].now(),
            slices=self._by_service.slices.now(),
            secrets=secrets,
            config=self.config_object.get("data") or {},
            configmaps=self._named_maps.objects(),
            names=dict(self._names.addresses),
            tcp=ports.get("tcp", {}),
            udp=ports.get("udp", {}),
            splits=self._splits.config,
            split_problems=self._splits.problems,
        )

    @property
    def config_object(self) -> dict[str, Any]:
        """The gateway's ConfigMap; empty when there is none."""
        namespace, _, name = self._options.configmap.partition("/")
        found: dict[str, Any] = self._config.store.get((namespace, name), {})
        return found

    def service(self, reference: str) -> Object | None:
        """One Service that a flag names."""
        namespace, _, name = reference.partition("/")
        return self._kept[SERVICES].get((namespace, name))


def _follow(kept: Line[Key, Object], type_: str, obj: Object) -> None:
    key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
    if type_ == "DELETED":
        kept.drop(key)
    else:
        kept.put(key, obj)
