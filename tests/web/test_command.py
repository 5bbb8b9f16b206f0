"""`gateway-operator api` as a process: its ports, its lines, its end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import aiohttp
import pytest

from gateway_operator.errors import ConfigError
from gateway_operator.settings_api import load_api_settings
from lab.control import free_ports
from tests.web.conftest import eventually
from tests.web.objects import body


async def test_the_process_serves_and_ends(served, account, people, project, tmp_path, helm_binary):
    """It is ready once it knows the Gateways, plans with helm, writes a line per request without secrets, and ends."""
    listen, health, metrics = free_ports(3)
    operator = tmp_path / "operator.yaml"
    operator.write_text(json.dumps({"gateway": {"namespace": "kubesphere-controls-system"}, "leaderElect": True}))
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"logJson": True, "api": {"helm": str(helm_binary)}}))
    flags = {
        "--config": config,
        "--gateway-config": operator,
        "--kubeconfig": account,
        "--listen": f":{listen}",
        "--tls-cert-file": served.cert,
        "--tls-key-file": served.key,
        "--health-probe-bind-address": f"127.0.0.1:{health}",
        "--metrics-bind-address": f"127.0.0.1:{metrics}",
    }
    command = [sys.executable, "-m", "gateway_operator", "api", *(str(x) for pair in flags.items() for x in pair)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    manager = people.manager(project)
    manager.url = f"https://127.0.0.1:{listen}"
    try:

        async def ready():
            try:
                async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{health}/readyz") as got:
                    return got.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(ready, 120)
        answer = await manager.get(f"/namespaces/{project}/gateways?labelSelector=secretword")
        assert (answer.status, answer.json) == (200, [])
        planned = await manager.ask("POST", f"/namespaces/{project}/gateways?dryRun=plan", json=body())
        assert any("Deployment" in one["object"] for one in planned.json["plans"][1]["objects"]), planned.text
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{metrics}/metrics") as got:
            text = await got.text()
        assert 'route="/kapis/gateway.kubesphere.io/v1alpha1/namespaces/{namespace}/gateways"' in text
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(120):
            _, lines = await process.communicate()
    assert process.returncode == 0, lines.decode()
    audited = [json.loads(line) for line in lines.decode().splitlines() if '"gateway_operator.audit"' in line]
    (line,) = [one for one in audited if one["id"] == answer.headers["X-Request-Id"]]
    assert (line["subject"], line["method"], line["status"]) == (manager.name, "GET", 200)
    assert line["path"].endswith(f"/namespaces/{project}/gateways")
    assert manager.token not in lines.decode()
    assert "secretword" not in lines.decode()


def test_settings_are_checked(tmp_path):
    """Unknown keys and addresses that are none are named with their place."""
    file = tmp_path / "c.yaml"
    for content, named in (({"api": {"listn": ":1"}}, "api.listn"), ({"api": {"listen": "here"}}, "api.listen")):
        file.write_text(json.dumps(content))
        with pytest.raises(ConfigError, match=named):
            load_api_settings(file, None, {})


def test_the_operators_settings_of_gateways_hold(tmp_path):
    """The section gateway comes from the operator's file, unless the API's own has one."""
    operator, own = tmp_path / "operator.yaml", tmp_path / "own.yaml"
    operator.write_text(json.dumps({"gateway": {"namespace": "a"}, "historyMax": 3}))
    own.write_text(json.dumps({"gateway": {"namespace": "b"}}))
    assert load_api_settings(None, operator, {}).gateway.namespace == "a"
    assert load_api_settings(own, operator, {}).gateway.namespace == "b"
