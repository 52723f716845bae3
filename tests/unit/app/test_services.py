from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from dozor.app.services import Announcer, ConsoleService, Gate, Readiness, StoreService
from dozor.infra.server import Late, Receive, Scope, Send
from dozor.kernel.errors import UnavailableError


class FakeStore:
    def __init__(self) -> None:
        self.closed = False

    def check(self) -> str:
        return "fine"

    def close(self) -> None:
        self.closed = True


class FakeConsole:
    def __init__(self) -> None:
        self.log: list[str] = []

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        @asynccontextmanager
        async def life(_app: Any) -> AsyncIterator[None]:
            self.log.append("started")
            yield
            self.log.append("stopped")

        return life

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Unused."""


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


def test_a_store_that_is_not_open_yet_is_away_for_now() -> None:
    with pytest.raises(UnavailableError, match=r"The store is being opened\. Try again"):
        Gate().summary("anything", top=3)


def test_the_store_is_open_while_the_service_runs() -> None:
    store, gate = FakeStore(), Gate()

    async def main() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(StoreService(gate, lambda: store).run(stop))
        await until(lambda: gate.store is store)
        assert gate.check() == "fine"
        assert not store.closed
        stop.set()
        await running

    asyncio.run(main())
    assert store.closed
    with pytest.raises(UnavailableError, match="being closed"):
        gate.check()


def test_a_store_that_cannot_be_opened_says_why_to_all_who_ask() -> None:
    gate = Gate()

    def fail() -> FakeStore:
        raise UnavailableError("The disk is full.", hint="Free some space.")

    with pytest.raises(UnavailableError, match="The disk is full"):
        asyncio.run(StoreService(gate, fail).run(asyncio.Event()))
    with pytest.raises(UnavailableError, match="The disk is full"):
        gate.check()


def test_the_console_takes_its_place_and_leaves_it() -> None:
    console, place = FakeConsole(), Late(FakeConsole())

    async def main() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(ConsoleService(place, lambda: console).run(stop))
        await until(lambda: place.app is console)
        assert console.log == ["started"]
        stop.set()
        await running

    asyncio.run(main())
    assert place.app is None
    assert console.log == ["started", "stopped"]


def test_readiness_names_each_part_with_its_reason() -> None:
    def check() -> None:
        raise UnavailableError("No space.", hint="Free some.")

    readiness = Readiness(check, lambda: {"a.log": "", "b.log": "May not be read."})
    assert asyncio.run(readiness.reasons()) == {
        "store": "No space. Free some.",
        "a.log": "",
        "b.log": "May not be read.",
    }


def test_the_store_is_not_asked_more_than_once_a_second() -> None:
    asked: list[int] = []
    readiness = Readiness(lambda: asked.append(1), dict)

    async def main() -> None:
        for _time in range(5):
            await readiness.reasons()

    asyncio.run(main())
    assert len(asked) == 1


def test_all_who_ask_at_once_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dozor.app.services._CHECK_AGE", 0)
    readiness = Readiness(lambda: None, dict)

    async def ask() -> None:
        for _time in range(5):
            assert await readiness.reasons() == {"store": ""}

    async def main() -> None:
        await asyncio.gather(*(ask() for _one in range(8)))

    asyncio.run(main())


def test_a_store_that_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dozor.app.services._CHECK_WAIT", 0.05)
    done = threading.Event()

    def check() -> None:
        done.wait(30)

    readiness = Readiness(check, dict)

    async def main() -> dict[str, str]:
        try:
            return await readiness.reasons()
        finally:
            done.set()

    assert asyncio.run(main()) == {"store": "The store does not answer."}


def test_the_announcer_says_once_that_all_is_ready_and_ends_when_all_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dozor.app.services._LOOK", 0.001)
    monkeypatch.setattr("dozor.app.services._SAY_AGAIN", 0)
    reasons = [{"store": "Opening."}, {"store": ""}, {"store": ""}, {"store": ""}]
    behind = [["a.log: 10 %"], ["a.log: 60 %"], ["a.log: 90 %"], []]
    said: list[str] = []

    async def ask() -> dict[str, str]:
        return reasons.pop(0)

    asyncio.run(Announcer(ask, lambda: behind.pop(0), said.append).run(asyncio.Event()))
    assert said[0] == "store: Opening."
    assert [text for text in said if text.startswith("Ready after ")] == [said[2]]
    assert said[-1] == "a.log: 90 %"
