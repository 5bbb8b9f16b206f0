"""`gateway-operator move`: a changed working namespace takes its gateways along, one command each (R11)."""

from __future__ import annotations

import json
import uuid

import pytest

from gateway_operator.commands import move
from gateway_operator.commands.session import Session
from gateway_operator.commands.targets import NoSuchObject
from gateway_operator.gateways import node_ports
from gateway_operator.releases.annotations import OURS, PEERS
from gateway_operator.releases.port_memory import memory_name
from gateway_operator.settings import OperatorSettings
from releases_lab import conditions, eventually
from tests.apiserver.test_port_memory import KINDS, VERSION, Place, place  # noqa: F401 - a fixture


def working(place: Place, namespace: str, *watched: str) -> OperatorSettings:  # noqa: F811
    """Settings with another working namespace."""
    settings = place.own()
    gateway = settings.gateway.model_copy(update={"namespace": namespace})
    return settings.model_copy(update={"gateway": gateway, "watch_namespaces": watched})


async def test_kk5242_a_gateway_moves_with_its_node_ports(place: Place, capsys) -> None:  # noqa: F811
    """It runs on where it was, refused any change; then it is in the new working namespace, at its ports."""
    old, new = place.namespace, f"ns-{uuid.uuid4().hex[:8]}"
    await place.create("v1", "Namespace", new, namespace=None)
    async with place.engine(working(place, old, old, new), kinds=KINDS):
        await place.on()
        ports = await place.ports()
    config = place.folder / "config.yaml"
    config.write_text(json.dumps({"gateway": {"namespace": new}}))
    session = Session(place.kubeconfig, None, old, "json")
    options = {"dry_run": False, "timeout": 120.0}
    async with place.engine(working(place, new, old, new), kinds=KINDS):

        async def refused() -> bool:
            found = conditions(await place.get(VERSION, "Gateway", place.name))
            return found["Accepted"]["reason"] == "ScopeForbidden" and found["Deployed"]["status"] == "True"

        await eventually(refused)
        with pytest.raises(move.MoveFailed, match="ScopeForbidden"):
            await move.run(session, place.name, "default", config, **options)
        assert await move.run(session, place.name, new, config, dry_run=True, timeout=1) == 0
        assert await place.gone(VERSION, "Gateway", place.name, new)
        capsys.readouterr()
        assert await move.run(session, place.name, new, config, **options) == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer == {"name": place.name, "from": old, "to": new, "nodePorts": ports, "done": True}
        assert await place.gone(VERSION, "Gateway", place.name)
        assert await place.gone("v1", "ConfigMap", memory_name(place.name))
        service = await place.get("v1", "Service", place.name, new)
        assert {port["name"]: port["nodePort"] for port in service["spec"]["ports"]} == ports
        gateway = await place.get(VERSION, "Gateway", place.name, new)
        assert gateway["metadata"]["annotations"] == {node_ports.ANNOTATION: node_ports.text_of(ports)}
        with pytest.raises(NoSuchObject):
            await move.run(session, "nobody", new, config, **options)


async def test_kk5242_a_move_that_was_stopped_goes_on(place: Place, capsys) -> None:  # noqa: F811
    """After the copy was written, and after the old one is gone, the same command ends what was begun."""
    old, new = place.namespace, f"ns-{uuid.uuid4().hex[:8]}"
    await place.create("v1", "Namespace", new, namespace=None)
    config = place.folder / "config.yaml"
    config.write_text(json.dumps({"gateway": {"namespace": new}}))
    session = Session(place.kubeconfig, None, old)
    await place.on()
    with pytest.raises(move.MoveFailed, match="isn't there yet"):  # nobody works
        await move.run(session, place.name, new, config, dry_run=False, timeout=0.1)
    assert await place.gone(VERSION, "Gateway", place.name)
    async with place.engine(working(place, new, old, new), kinds=KINDS):
        assert await move.run(session, place.name, new, config, dry_run=False, timeout=120.0) == 0
    assert "runs; address: NodePort" in capsys.readouterr().out
    await place.create(VERSION, "Gateway", "twin", spec={})
    await place.create(VERSION, "Gateway", "twin", namespace=new, spec={})
    with pytest.raises(move.MoveFailed, match="another Gateway"):
        await move.run(session, "twin", new, config, dry_run=False, timeout=1)


@pytest.mark.parametrize("prefix", [OURS, PEERS])
async def test_a_paused_gateway_stays_where_it_is(place: Place, prefix: str) -> None:  # noqa: F811
    """Nothing would take it down, by whichever prefix it is paused; it is neither deleted nor copied."""
    old, new = place.namespace, f"ns-{uuid.uuid4().hex[:8]}"
    await place.create("v1", "Namespace", new, namespace=None)
    config = place.folder / "config.yaml"
    config.write_text(json.dumps({"gateway": {"namespace": new}}))
    await place.on()
    await place.patch(VERSION, "Gateway", place.name, {"metadata": {"annotations": {f"{prefix}paused": "true"}}})
    session = Session(place.kubeconfig, None, old)
    with pytest.raises(move.MoveFailed, match="is paused"):
        await move.run(session, place.name, new, config, dry_run=False, timeout=0.1)
    assert "deletionTimestamp" not in (await place.get(VERSION, "Gateway", place.name))["metadata"]
    assert await place.gone(VERSION, "Gateway", place.name, new)
