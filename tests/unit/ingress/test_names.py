"""DNS names resolved by the controller: again and again, with the last good answer kept, and no forbidden address."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from gateway_operator.ingress.names import Names, system_answer
from gateway_operator.ingress.slices import SliceIndex
from tests.nginx.objects import meta


@contextlib.asynccontextmanager
async def running(names: Names) -> AsyncIterator[None]:
    """Let it resolve while the block runs."""
    task = asyncio.create_task(names.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def eventually(check: object) -> None:
    async with asyncio.timeout(60):
        while not check():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_answers_are_kept_when_the_resolver_fails() -> None:
    """A name that can't be resolved any more keeps its addresses; a new answer replaces them."""
    answers: dict[str, tuple[str, ...] | Exception] = {"a.test": ("10.0.0.1", "127.0.0.1", "169.254.169.254")}
    asked: list[str] = []

    async def answer(name: str) -> tuple[str, ...]:
        asked.append(name)
        found = answers[name]
        if isinstance(found, Exception):
            raise found
        return found

    woken = asyncio.Event()
    names = Names(woken.set, answer=answer, again=0.05)
    async with running(names):
        assert names.follow(["a.test"])
        assert not names.follow(["a.test"])
        await names.arrived()
        assert names.addresses == {"a.test": ("10.0.0.1",)}
        assert woken.is_set()
        answers["a.test"] = OSError("no answer")
        number = len(asked)
        await eventually(lambda: len(asked) > number + 1)
        assert names.addresses == {"a.test": ("10.0.0.1",)}
        answers["a.test"] = ("10.0.0.2",)
        await eventually(lambda: names.addresses == {"a.test": ("10.0.0.2",)})
        names.follow([])
        assert names.addresses == {}


async def test_the_systems_resolver() -> None:
    """localhost has an answer, which is then refused; an invented name has none."""
    assert "127.0.0.1" in await system_answer("localhost")
    names = Names(lambda: None)
    async with running(names):
        names.follow(["localhost", "does-not-exist.invalid"])
        async with asyncio.timeout(60):
            await names.arrived()
    assert names.addresses.get("localhost", ()) == ()


def test_slices_are_sorted_by_their_service() -> None:
    """A change replaces one Service's tuple and leaves the others as they are."""
    index = SliceIndex()

    def item(name: str, service: str) -> dict[str, object]:
        return {"metadata": meta(name, labels={"kubernetes.io/service-name": service})}

    one, two, other = item("one", "s"), item("two", "s"), item("three", "t")
    for obj in (two, one, other):
        index.take("ADDED", obj, None)
    kept = index.slices.now()["apps", "t"]
    assert index.slices.now()["apps", "s"] == (one, two)
    moved = item("two", "u")
    index.take("MODIFIED", moved, two)
    assert index.slices.now() == {("apps", "s"): (one,), ("apps", "t"): kept, ("apps", "u"): (moved,)}
    index.take("DELETED", one, one)
    assert index.slices.now()["apps", "t"] is kept
    assert ("apps", "s") not in index.slices.now()
