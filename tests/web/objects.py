"""Gateways as tests send them, and as they write and read them past the API."""

from __future__ import annotations

import json

from tests.web.conftest import WORKING, eventually

KIND = "gateways.gateway.kubesphere.io"


def body(**spec):
    """Return a Gateway as a client sends it."""
    return {"apiVersion": "gateway.kubesphere.io/v1alpha1", "kind": "Gateway", "metadata": {}, "spec": spec}


def written(cluster, name, **meta):
    """Write a cluster gateway, or with scope a project's, past the API."""
    spec = meta.pop("spec", {})
    obj = {**body(**spec), "metadata": {"name": name, "namespace": WORKING, **meta}}
    cluster.kubectl("create", "-f", "-", input=json.dumps(obj))


def read(cluster, name, namespace=WORKING, kind=KIND):
    """Read a Gateway, or another object, past the API."""
    return json.loads(cluster.kubectl("get", kind, name, "-n", namespace, "-o", "json"))


async def known(user, namespace, *names):
    """Wait until the API's cache has these gateways of a project."""

    async def check():
        found = (await user.get(f"/namespaces/{namespace}/gateways")).json
        return {g["metadata"]["name"] for g in found} >= set(names)

    await eventually(check)


def one_of(project):
    """Return the path of a project's gateway."""
    return f"/namespaces/{project}/gateways/kubesphere-router-{project}"
