"""Streams over HTTP: changes of gateways and followed logs, and that nothing of them stays when clients leave."""

from __future__ import annotations

import asyncio
import json

from lab.servers.kubelet import LINE, StandInKubelet
from tests.web.conftest import PREFIX, WORKING, eventually
from tests.web.objects import KIND, known, written


async def test_events_stream(people, project, empty):
    """A stream begins with what is there and goes on with changes, each as its reader may see it."""
    manager = people.manager(project)
    written(empty, f"gw-{project}", spec={"controller": {"scope": {"enabled": True, "namespace": project}}})
    await known(manager, project, f"gw-{project}")
    path = "/kapis/gateway.kubesphere.io/v1alpha1/gateways?watch=true"
    async with asyncio.timeout(60), manager.session() as session, session.get(path) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")

        async def event():
            kind, data = "", None
            async for line in stream.content:
                text = line.decode().rstrip()
                kind = text.removeprefix("event: ") if text.startswith("event: ") else kind
                data = json.loads(text.removeprefix("data: ")) if text.startswith("data: ") else data
                if not text and data is not None:
                    name = data.get("object", {}).get("metadata", {}).get("name")
                    return kind, name
            return "", None

        assert await event() == ("ADDED", f"gw-{project}")
        assert await event() == ("SYNCED", None)
        written(empty, "gw-other", spec={"controller": {"scope": {"enabled": True, "namespace": "other"}}})
        empty.kubectl("label", KIND, f"gw-{project}", "-n", WORKING, "a=b")
        assert await event() == ("MODIFIED", f"gw-{project}")
        empty.kubectl("delete", KIND, f"gw-{project}", "-n", WORKING)
        assert await event() == ("DELETED", f"gw-{project}")


async def test_dropped_followers_leave_nothing(served, people, project, empty):
    """Streams that clients drop leave no task and no place taken."""
    manager = people.manager(project)
    path = "/kapis/gateway.kubesphere.io/v1alpha1/gateways?watch=true"
    services = served.running.services

    async def gone():
        return not services.gateways._followers and not services.limits._streams

    await eventually(gone)  # those of the tests before
    async with manager.session() as session:
        streams = await asyncio.gather(*(session.get(path) for _ in range(40)))
        await asyncio.gather(*(stream.content.readline() for stream in streams))
        assert len(services.gateways._followers) == 40
        for stream in streams:
            stream.close()

    await eventually(gone)


async def test_kk4927_logs_that_clients_drop_leave_nothing(served, people, project, empty):
    """R13: a client that leaves ends its log all the way: no task and no place here, no connection at the kubelet."""
    written(empty, f"gw-{project}", spec={"controller": {"scope": {"enabled": True, "namespace": project}}})
    patch = ("patch", KIND, f"gw-{project}", "-n", WORKING, "--subresource=status", "--type=merge", "-p")
    empty.kubectl(*patch, json.dumps({"status": {"selector": f"app={project}"}}))
    manager = people.manager(project)
    path = f"{PREFIX}/namespaces/{project}/gateways/gw-{project}/pods/{project}-1/log?follow=true"
    limits = served.running.services.limits
    kubelet = StandInKubelet(empty, f"node-{project}")

    async def listed():
        answer = await manager.get(f"/namespaces/{project}/gateways/gw-{project}/pods")
        return answer.status == 200 and answer.json["totalItems"]

    async def gone():
        return not kubelet.followed and not limits._streams and tasks(served) <= before

    async with kubelet.serving(), manager.session() as session:
        await kubelet.pod(WORKING, f"{project}-1", {"app": project})
        await eventually(listed)
        before = tasks(served)
        streams = await asyncio.gather(*(session.get(path) for _ in range(30)))
        assert {await stream.content.readline() for stream in streams} == {LINE}
        assert kubelet.followed == 30
        for stream in streams:
            stream.close()
        await eventually(gone)
        empty.kubectl("delete", "pod", "-n", WORKING, f"{project}-1", "--force", "--grace-period=0")


def tasks(served):
    """Return how many tasks the API's loop has."""
    return len(asyncio.all_tasks(served.loop))
