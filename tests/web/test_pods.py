"""What lies behind a gateway over HTTP: its pods, their logs, the revisions of its release."""

from __future__ import annotations

import json
import subprocess

from tests.web.conftest import CHARTS, WORKING, eventually
from tests.web.objects import KIND, known, read, written


async def test_pods_of_a_gateway_only(people, project, empty):
    """The list holds a gateway's pods, whichever there are; a pod that isn't the gateway's has no log here."""
    written(empty, f"gw-{project}", spec={"controller": {"scope": {"enabled": True, "namespace": project}}})
    patch = ("patch", KIND, f"gw-{project}", "-n", WORKING, "--subresource=status", "--type=merge", "-p")
    empty.kubectl(*patch, json.dumps({"status": {"selector": f"app={project}"}}))
    for name, app in ((f"{project}-1", project), (f"{project}-x", "else")):
        container = {"name": "controller", "image": "none"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": WORKING, "labels": {"app": app}},
        }
        empty.kubectl("apply", "-f", "-", input=json.dumps({**pod, "spec": {"containers": [container]}}))
    manager = people.manager(project)
    path = f"/namespaces/{project}/gateways/gw-{project}/pods"

    async def listed():
        answer = await manager.get(path)
        return answer.json if answer.status == 200 and answer.json["totalItems"] else None

    found = await eventually(listed)
    assert [pod["metadata"]["name"] for pod in found["items"]] == [f"{project}-1"]
    assert (await manager.get(path, params={"phase": "Running"})).json["totalItems"] == 0
    for service, number in ((f"gw-{project}", 1), (f"gw-{project}-metrics", 1), ("other", 0), ("", 1)):
        assert (await manager.get(path, params={"serviceName": service})).json["totalItems"] == number, service
    for pod in (f"{project}-x", "no-such-pod"):
        answer = await manager.get(f"{path}/{pod}/log")
        assert (answer.status, answer.reason) == (404, "NoPod")
    for query in (
        "tailLines=x",
        "follow=yes",
        "container=../x",
        "sinceTime=now",
        "stream=All",
        "follow=true&follow=false",
    ):
        answer = await manager.get(f"{path}/{project}-1/log?{query}")
        assert answer.status == 422, query
    answer = await manager.get(f"{path}/{project}-1/log")
    assert (answer.status, answer.text) == (200, ""), "it has said nothing yet"
    empty.kubectl("delete", "pod", "-n", WORKING, f"{project}-1", f"{project}-x", "--force", "--grace-period=0")


async def test_history_and_rollback(people, project, empty, helm_binary, tmp_path):
    """The revisions come from Helm's records; a rollback asks the operator by its annotation, a resume takes it off."""
    name = f"gw-{project}"
    written(empty, name, spec={"controller": {"scope": {"enabled": True, "namespace": project}}})
    values = {"controller": {"scope": {"enabled": True, "namespace": project}}, "nginxName": name}
    for _ in range(2):
        command = [str(helm_binary), "upgrade", "--install", name, str(CHARTS / "gateway"), "-n", WORKING]
        flags = ["--kubeconfig", str(empty.kubeconfig), "--values", "-"]
        subprocess.run([*command, *flags], input=json.dumps(values), check=True, capture_output=True, text=True)
    manager = people.manager(project)
    await known(manager, project, name)
    path = f"/namespaces/{project}/gateways/{name}"
    found = (await manager.get(f"{path}/history")).json
    assert found["release"] == name
    assert [(r["revision"], r["status"]) for r in found["revisions"]] == [(1, "superseded"), (2, "deployed")]
    answer = await manager.ask("POST", f"{path}/rollback", json={"revision": 7})
    assert (answer.status, answer.reason, answer.json["revisions"]) == (409, "NoRevision", [1, 2])
    answer = await manager.ask("POST", f"{path}/rollback", json={"revision": "one"})
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert (await manager.ask("POST", f"{path}/rollback", json={"revision": 1})).status == 200
    key = "gateway.kubesphere.io/rollback-to"
    assert read(empty, name)["metadata"]["annotations"][key] == "1"
    assert (await manager.ask("DELETE", f"{path}/rollback")).status == 200
    assert key not in read(empty, name)["metadata"].get("annotations", {})
    subprocess.run(
        [str(helm_binary), "uninstall", name, "-n", WORKING, "--kubeconfig", str(empty.kubeconfig)], check=True
    )
