from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from dozor.infra.supervisor import Backoff, Ending, State, Supervisor, signals
from dozor.kernel.errors import UnavailableError, UsageError
from dozor.testing.loop import run_virtual

Body = Callable[[asyncio.Event], Awaitable[None]]


class FakeService:
    """A service whose runs are scripted; it notes when each began and ended."""

    def __init__(self, name: str, *bodies: Body, log: list[str] | None = None) -> None:
        self.name = name
        self.log = log if log is not None else []
        self.starts: list[float] = []
        self._bodies = list(bodies)

    async def run(self, stop: asyncio.Event) -> None:
        self.starts.append(asyncio.get_running_loop().time())
        self.log.append(f"{self.name} started")
        body = self._bodies.pop(0) if self._bodies else until_stopped
        await body(stop)
        self.log.append(f"{self.name} ended")


async def until_stopped(stop: asyncio.Event) -> None:
    await stop.wait()


async def done_at_once(stop: asyncio.Event) -> None:
    del stop


def fails(error: BaseException, *, after: float = 0) -> Body:
    async def body(stop: asyncio.Event) -> None:
        del stop
        await asyncio.sleep(after)
        raise error

    return body


def ends_after(seconds: float) -> Body:
    async def body(stop: asyncio.Event) -> None:
        await stop.wait()
        await asyncio.sleep(seconds)

    return body


async def deaf(stop: asyncio.Event) -> None:
    del stop
    await asyncio.sleep(10_000)


def supervise(
    *services: FakeService,
    seconds: float = 100,
    grace: float = 20,
    essential: tuple[str, ...] = (),
    then: Callable[[Supervisor], None] = Supervisor.stop,
) -> tuple[Supervisor, Ending, float]:
    """Run services for so many virtual seconds; return also how long their end took."""

    async def main() -> tuple[Supervisor, Ending, float]:
        supervisor = Supervisor(grace=grace, backoff=Backoff(first=1, cap=8, steady=60, jitter=0))
        for service in services:
            supervisor.add(service, essential=service.name in essential)
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, then, supervisor)
        ending = await supervisor.run()
        return supervisor, ending, loop.time() - seconds

    return run_virtual(main())


def states(supervisor: Supervisor) -> dict[str, str]:
    return {status.name: status.state for status in supervisor.statuses}


def test_services_start_in_order_and_end_in_reverse() -> None:
    log: list[str] = []
    supervisor, ending, took = supervise(*(FakeService(name, log=log) for name in "abc"))
    assert log == ["a started", "b started", "c started", "c ended", "b ended", "a ended"]
    assert (ending, took) == (Ending(), 0)
    assert set(states(supervisor).values()) == {State.STOPPED}


def test_all_end_when_all_are_done() -> None:
    _supervisor, ending, took = supervise(FakeService("a", done_at_once), FakeService("b", done_at_once))
    assert ending == Ending()
    assert took == -100


def test_a_service_that_is_done_leaves_the_others_running() -> None:
    a, b = FakeService("a", done_at_once), FakeService("b")
    supervisor, _ending, took = supervise(a, b)
    assert (a.starts, took, states(supervisor)["a"]) == ([0], 0, State.STOPPED)


def test_a_failing_service_runs_again_after_waits_that_double_up_to_the_cap() -> None:
    gone = fails(UnavailableError("The store does not answer."))
    service = FakeService("ingest", *[gone] * 6)
    other = FakeService("other")
    supervisor, ending, _took = supervise(service, other)
    assert service.starts == [0, 1, 3, 7, 15, 23, 31]
    assert other.starts == [0]
    assert ending == Ending()
    assert supervisor.statuses[0].restarts == 6


def test_after_a_steady_run_the_next_failure_counts_as_the_first() -> None:
    boom = UnavailableError("Away.")
    service = FakeService("a", fails(boom), fails(boom), fails(boom, after=70))
    supervise(service)
    assert service.starts == [0, 1, 3, 74]


def test_jitter_only_shortens_a_wait() -> None:
    backoff = Backoff(first=2, cap=30, jitter=0.5)
    assert [backoff.wait(1, chance) for chance in (0, 0.5, 1)] == [2, 1.5, 1]
    assert backoff.wait(500, 0) == 30


def test_a_status_tells_why_a_service_is_restarting() -> None:
    service = FakeService("a", *[fails(UnavailableError("Away.", hint="Wait."))] * 9)
    seen: list[tuple[State, str]] = []

    def look(supervisor: Supervisor) -> None:
        seen.append((supervisor.statuses[0].state, supervisor.statuses[0].reason))
        supervisor.stop()

    supervise(service, seconds=2, then=look)
    assert seen == [(State.RESTARTING, "Away. Wait.")]


def test_a_bug_is_named_with_its_kind_and_does_not_end_the_process() -> None:
    service = FakeService("a", fails(ZeroDivisionError("division by zero")))
    supervisor, ending, _took = supervise(service)
    assert ending == Ending()
    assert supervisor.statuses[0].reason == "ZeroDivisionError: division by zero"


def test_a_reason_holds_no_secret() -> None:
    service = FakeService("a", fails(ValueError("bad address http://eve:secret@db:8123")))
    supervisor, _ending, _took = supervise(service)
    assert supervisor.statuses[0].reason == "ValueError: bad address http://eve:***@db:8123"


def test_a_panic_of_a_library_restarts_its_service() -> None:
    class PanicException(BaseException):
        """As Polars raises it: no Exception."""

    service = FakeService("a", fails(PanicException("index out of bounds")))
    supervisor, ending, _took = supervise(service)
    assert (len(service.starts), ending) == (2, Ending())
    assert supervisor.statuses[0].reason == "PanicException: index out of bounds"


def test_a_usage_error_is_final_for_its_service_alone() -> None:
    service, other = FakeService("a", fails(UsageError("No such format."))), FakeService("b")
    supervisor, ending, _took = supervise(service, other)
    assert (service.starts, ending) == ([0], Ending())
    assert states(supervisor) == {"a": State.FAILED, "b": State.STOPPED}


def test_the_failure_of_an_essential_service_ends_all() -> None:
    error = UsageError("No.")
    log: list[str] = []
    a, b = FakeService("a", fails(error, after=5), log=log), FakeService("b", log=log)
    _supervisor, ending, took = supervise(a, b, essential=("a",))
    assert ending == Ending(failed=("a", error))
    assert (log[-1], took) == ("b ended", -95)


def test_the_grace_is_shared_and_what_outlives_it_is_cut_and_named() -> None:
    log: list[str] = []
    a = FakeService("a", ends_after(3), log=log)
    b = FakeService("b", deaf, log=log)
    c = FakeService("c", ends_after(15), log=log)
    supervisor, ending, took = supervise(a, b, c)
    assert ending == Ending(cut=("b", "a"))
    assert took == 20
    assert log == ["a started", "b started", "c started", "c ended"]
    assert states(supervisor) == {"a": State.FAILED, "b": State.FAILED, "c": State.STOPPED}


def test_an_abort_ends_at_once() -> None:
    _supervisor, ending, took = supervise(FakeService("a", deaf), then=Supervisor.abort)
    assert ending == Ending(cut=("a",), aborted=True)
    assert took == 0


def test_an_abort_while_ending_waits_no_longer() -> None:
    def stop_then_abort(supervisor: Supervisor) -> None:
        supervisor.stop()
        asyncio.get_running_loop().call_later(4, supervisor.abort)

    _supervisor, ending, took = supervise(FakeService("a", deaf), FakeService("b"), then=stop_then_abort)
    assert (ending.cut, ending.aborted, took) == (("a",), True, 4)


def test_a_stop_ends_the_wait_for_a_restart() -> None:
    service = FakeService("a", *[fails(UnavailableError("Away."))] * 9)
    supervisor, _ending, took = supervise(service, seconds=20)
    assert took == 0
    assert states(supervisor) == {"a": State.STOPPED}


def test_a_service_that_fails_while_it_ends_is_not_restarted() -> None:
    async def spills(stop: asyncio.Event) -> None:
        await stop.wait()
        raise UnavailableError("Full.")

    service = FakeService("a", spills)
    supervisor, ending, _took = supervise(service)
    assert (service.starts, ending) == ([0], Ending())
    assert supervisor.statuses[0].state is State.FAILED


def test_cancelling_the_run_ends_the_services_first() -> None:
    log: list[str] = []

    async def main() -> None:
        supervisor = Supervisor()
        supervisor.add(FakeService("a", log=log))
        task = asyncio.create_task(supervisor.run())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())
    assert log == ["a started", "a ended"]


def test_two_services_of_one_name_are_a_mistake() -> None:
    supervisor = Supervisor()
    supervisor.add(FakeService("a"))
    with pytest.raises(ValueError, match="two services 'a'"):
        supervisor.add(FakeService("a"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_and_a_second_one_aborts(number: signal.Signals) -> None:
    async def main() -> tuple[Ending, list[signal.Signals]]:
        supervisor = Supervisor(grace=1000)
        supervisor.add(FakeService("a", deaf))
        loop = asyncio.get_running_loop()
        with signals(supervisor, reload=lambda: None) as came:
            loop.call_soon(os.kill, os.getpid(), number)
            loop.call_later(0.2, os.kill, os.getpid(), number)
            return await supervisor.run(), came

    ending, came = asyncio.run(main())
    assert ending == Ending(cut=("a",), aborted=True)
    assert came == [number, number]


def test_sighup_reloads_and_ends_nothing() -> None:
    reloads: list[str] = []

    async def main() -> Ending:
        supervisor = Supervisor()
        supervisor.add(FakeService("a"))

        def reload() -> None:
            reloads.append("reloaded")
            asyncio.get_running_loop().call_soon(supervisor.stop)

        with signals(supervisor, reload=reload):
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGHUP)
            return await supervisor.run()

    assert asyncio.run(main()) == Ending()
    assert reloads == ["reloaded"]
