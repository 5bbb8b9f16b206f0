"""nginx's keeper: proven reloads, the last good configuration, restarts and draining, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from gateway_operator.ingress.children import child_pids, is_accepting, listeners
from gateway_operator.ingress.generations import BUILTIN_CONFIG
from gateway_operator.ingress.supervised import GenerationRefused, NginxStatus, generation_name
from tests.nginx.conftest import running
from tests.nginx.harness import Backend, Gateway, eventually
from tests.nginx.objects import ingress, rule, world

pytestmark = pytest.mark.usefixtures("local_addresses_allowed")


async def version(gateway: Gateway) -> str:
    url = f"http://127.0.0.1:{gateway.status}/configuration-version"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def test_before_the_first_configuration_no_port_is_open(gateway: Gateway) -> None:
    """Clients get a refused connection, never a wrong answer; the probe says so."""
    with pytest.raises(aiohttp.ClientConnectorError):
        await gateway.get("x.test")
    assert await eventually(lambda: version(gateway)) == "builtin"


async def test_a_reload_is_proven_by_its_version(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """When apply returns, new requests meet the new configuration, every time."""
    for number in range(6):
        name = "ab"[number % 2]
        await gateway.serve(
            world(ingress("one", rule("x.test", ("/", "Prefix", name))), services={name: backends[name].port})
        )
        assert await gateway.backend_of("x.test") == name
        status = await gateway.supervised.status()
        workers = child_pids(gateway.master)
        assert any(is_accepting(pid, listeners(gateway.master)) for pid in workers)
        assert status.current == status.last_good == f"gen-{await version(gateway)}"


async def test_a_bad_configuration_keeps_the_last_good_one(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Nginx's refusal comes back with its words, and traffic goes on."""
    await gateway.serve(world(ingress("one", rule("x.test", ("/", "Prefix", "a"))), services={"a": backends["a"].port}))
    before = await gateway.supervised.status()
    files = {"nginx.conf": b"events {} http { nonsense on; }"}
    with pytest.raises(GenerationRefused) as refused:
        await gateway.supervised.apply(gateway.supervised.write(files, {}))
    assert refused.value.stage == "test"
    assert "nonsense" in refused.value.stderr
    assert (await gateway.supervised.status()).current == before.current
    assert await gateway.backend_of("x.test") == "a"


async def test_a_configuration_that_never_serves_is_rolled_back(
    gateway: Gateway, backends: dict[str, Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that passes the test but whose port is taken goes back to the old one by itself."""
    gateway.stop()
    gateway.flags = ["--reload-timeout=10"]
    await gateway.start()
    await gateway.serve(world(ingress("one", rule("x.test", ("/", "Prefix", "a"))), services={"a": backends["a"].port}))
    taken = await asyncio.start_server(lambda *_: None, "0.0.0.0", 0)
    port = taken.sockets[0].getsockname()[1]
    name = gateway.supervised.write({"nginx.conf": BUILTIN_CONFIG.format(port=port).encode()}, {})
    with pytest.raises(GenerationRefused) as refused:
        await gateway.supervised.apply(name)
    taken.close()
    assert refused.value.stage == "reload"
    assert (await gateway.supervised.status()).current != name
    assert await gateway.backend_of("x.test") == "a"


@pytest.mark.parametrize(
    "name", ["../etc", "gen-..", "gen-0123456789abcdef/../x", "current", "", None, 7, "gen-ffffffffffffffff"]
)
async def test_only_generations_are_opened(gateway: Gateway, name: object) -> None:
    """A name that is no generation of ours is refused before any file is touched."""
    with pytest.raises(GenerationRefused) as refused:
        await gateway.supervised.apply(name)  # type: ignore[arg-type]
    assert refused.value.stage == "command"


async def test_reloads_under_load_answer_every_request(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Clients that keep connections alive get an answer to each request while configurations change."""
    services = {name: backend.port for name, backend in backends.items()}
    await gateway.serve(world(ingress("one", rule("x.test", ("/", "Prefix", "a"))), services=services))
    done = asyncio.Event()
    answers: list[int] = []

    async def client() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
            while not done.is_set():
                async with session.get(f"http://127.0.0.1:{gateway.http}/", headers={"Host": "x.test"}) as answer:
                    answers.append(answer.status)
                await asyncio.sleep(0.005)

    clients = [asyncio.create_task(client()) for _ in range(4)]
    for number in range(5):
        name = "abc"[number % 3]
        await gateway.serve(world(ingress("one", rule("x.test", ("/", "Prefix", name))), services=services))
        before = len(answers)
        await eventually(lambda before=before: asyncio.sleep(0, len(answers) >= before + 20))
    done.set()
    await asyncio.gather(*clients)
    assert set(answers) == {200}


def test_nothing_outlives_these_tests(nginx_binary: Path) -> None:
    """Where a test kills the supervisor, the nginx that it leaves ends with the gateway."""
    with running(nginx_binary) as gateway:
        processes = [gateway.master, *child_pids(gateway.master)]
        assert gateway.process is not None
        gateway.process.kill()
        gateway.process.wait()
        assert len(processes) > 1
        assert all(map(alive, processes))
    assert not any(map(alive, processes))


def alive(pid: int) -> bool:
    """Whether a process runs: one that nobody reaps has no command line any more."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_killed_nginx_comes_back(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """The master is killed: its workers hand the ports over, and the last good configuration serves again."""
    await gateway.serve(world(ingress("one", rule("x.test", ("/", "Prefix", "a"))), services={"a": backends["a"].port}))
    old = gateway.master
    os.kill(old, signal.SIGKILL)

    async def back() -> bool:
        status = await gateway.supervised.status()
        return (
            status.restarts == 1
            and status.running
            and gateway.master != old
            and await gateway.backend_of("x.test") == "a"
        )

    await eventually(back)


async def test_a_restarted_supervisor_serves_without_the_controller(
    gateway: Gateway, backends: dict[str, Backend]
) -> None:
    """After a restart of the container the stored configuration serves; a spoilt one falls back to the last good."""
    await gateway.serve(world(ingress("one", rule("x.test", ("/", "Prefix", "a"))), services={"a": backends["a"].port}))
    assert gateway.stop() == 0
    bad = gateway.supervised.write({"nginx.conf": b"}"}, {})
    (gateway.folder / "current").unlink()
    (gateway.folder / "current").symlink_to(bad)
    await gateway.start()

    async def serves() -> bool:
        return await gateway.backend_of("x.test") == "a"

    await eventually(serves)


async def test_draining_generations_are_capped(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """Requests that never end keep at most so many old generations alive; the oldest is ended and counted."""
    gateway.stop()
    gateway.flags = ["--max-draining=2"]
    await gateway.start()
    services = {name: backend.port for name, backend in backends.items()}
    waiting = []
    for number in range(5):
        one = ingress("one", rule("x.test", ("/", "Prefix", "abc"[number % 3])), annotations={"proxy-body-size": "2m"})
        await gateway.serve(world(one, services=services))
        waiting.append(asyncio.create_task(gateway.get("x.test", "/?wait=60", method="POST")))
        await eventually(lambda seen=number + 1: _asked(backends, seen))
    assert gateway.reloads == 5
    status = await eventually(lambda: _ended(gateway, 2))
    assert status.draining_generations == 2
    assert status.draining_workers >= 2
    cut, going = waiting[:2], waiting[2:]
    for task in cut:
        with pytest.raises(aiohttp.ClientError):
            await task
    assert not any(task.done() for task in going)
    for task in going:
        task.cancel()
    await asyncio.gather(*going, return_exceptions=True)


async def _asked(backends: dict[str, Backend], number: int) -> bool:
    return sum(len(backend.seen) for backend in backends.values()) >= number


async def _ended(gateway: Gateway, number: int) -> NginxStatus | None:
    status = await gateway.supervised.status()
    return status if status.draining_ended >= number else None


async def test_the_status_describes_the_machine(gateway: Gateway) -> None:
    """The controller learns from it which renderer fits: Lua's version is asked of nginx, not of file names."""
    status = await gateway.supervised.status()
    assert status.lua_version >= 10_022
    assert status.lua.endswith("/ingress/lua")
    assert status.modules.endswith("/modules")
    assert status.cpus >= 1
    assert status.memory >= 0


async def test_another_life_is_told(gateway: Gateway) -> None:
    """Who waits learns of a restart at once, not at the next look."""
    before = await gateway.supervised.status()
    waiting = asyncio.create_task(gateway.supervised.wait_for_another_life(before.life))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    os.kill(gateway.master, signal.SIGKILL)
    assert (await waiting).life != before.life


async def test_term_lets_requests_end(gateway: Gateway, backends: dict[str, Backend]) -> None:
    """A request that is under way at TERM gets its answer; then everything is gone."""
    asked, told = asyncio.Event(), asyncio.Event()

    async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await told.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    slow = await asyncio.start_server(answer_late, "127.0.0.1", 0)
    port = slow.sockets[0].getsockname()[1]
    await gateway.serve(world(ingress("one", rule("x.test", ("/", "Prefix", "a"))), services={"a": port}))
    request = asyncio.create_task(gateway.get("x.test"))
    await asked.wait()
    ending = asyncio.create_task(asyncio.to_thread(gateway.stop))
    await asyncio.sleep(0.5)
    assert not ending.done()
    told.set()
    assert (await request).status == 200
    assert await ending == 0
    slow.close()


async def test_files_and_modes(gateway: Gateway) -> None:
    """Keys are for the group that nginx runs in, and for nobody else."""
    await gateway.serve(world())
    status = await gateway.supervised.status()
    folder = gateway.folder / str(status.current)
    assert oct(folder.stat().st_mode) == "0o42750"
    assert {oct(path.stat().st_mode & 0o777) for path in folder.rglob("*") if path.is_file()} == {"0o640"}
    gateway.supervised.prune({str(status.current)})
    assert folder.is_dir()


def test_equal_files_are_one_generation() -> None:
    """The name depends on names and contents, not on their order."""
    first = generation_name({"a": b"1", "b": b"2"})
    assert first == generation_name({"b": b"2", "a": b"1"})
    assert first != generation_name({"a": b"12", "b": b""})
