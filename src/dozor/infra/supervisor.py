"""Named services of one process: started in order, restarted when they fail, ended in reverse.

    add(service) ... > run(): start all > wait for stop() or an essential failure > end all in reverse

A service is told to stop by its event and may take what is left of the grace; what is still running then
is cancelled and named in the `Ending`. Restarting belongs here: a service lets its errors pass.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from dozor.kernel.errors import DozorError, UsageError
from dozor.kernel.masking import mask

_log = logging.getLogger(__name__)

_CUT_WAIT = 1.0  # seconds that a cancelled service gets to clean up
_REASON = 300  # signs of an error that a status keeps


class Service(Protocol):
    """Something that runs for as long as the process, such as a follower of logs."""

    @property
    def name(self) -> str:
        """What the operator calls it: a noun, unique in the process."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what is under way and return.

        Returning earlier means that the work is done. An error that passes means that it failed: the
        supervisor calls `run` again after a while, but not after a UsageError, which no retry mends.
        """


class State(StrEnum):
    """Where a service is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Status:
    """What a service is doing.

    Args:
        name: The service.
        state: Where it is in its life.
        since: When it came there (UTC).
        reason: Why it failed the last time; empty while nothing is wrong.
        restarts: How often it was restarted.
    """

    name: str
    state: State
    since: datetime
    reason: str = ""
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a service runs again, in seconds.

    Args:
        first: Wait after the first failure.
        cap: Longest wait.
        steady: After running this long, the next failure counts as the first.
        jitter: Share of the wait that chance may take away, so that services do not march in step.
    """

    first: float = 0.5
    cap: float = 30.0
    steady: float = 60.0
    jitter: float = 0.5

    def wait(self, failures: int, chance: float) -> float:
        """Seconds to wait after so many failures in a row; `chance` is 0 to 1."""
        longest = min(self.cap, self.first * 2.0 ** min(failures - 1, 32))
        return longest * (1 - self.jitter * chance)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the services ended.

    Args:
        cut: Services that did not finish within the grace, last started first.
        aborted: Whether somebody asked not to wait.
        failed: The essential service whose failure ended all, and its error.
    """

    cut: tuple[str, ...] = ()
    aborted: bool = False
    failed: tuple[str, BaseException] | None = None


@dataclass(slots=True)
class _Entry:
    service: Service
    essential: bool
    status: Status
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Supervisor:
    """Runs services and keeps them running.

    Args:
        grace: Seconds that all services together may take to finish after `stop()`.
        backoff: Waits before a restart.
        now: The time that statuses carry.
    """

    def __init__(
        self,
        *,
        grace: float = 20.0,
        backoff: Backoff | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.grace = grace
        self._backoff = backoff or Backoff()
        self._now = now
        self._entries: list[_Entry] = []
        self._stopping = asyncio.Event()
        self._aborting = asyncio.Event()
        self._failed: tuple[str, BaseException] | None = None
        self._cut: list[str] = []
        self._deadline = float("inf")

    def add(self, service: Service, *, essential: bool = False) -> None:
        """Take a service; later ones are started later and ended earlier.

        Args:
            service: What to run.
            essential: Without it the process is of no use: when it cannot run, all end.
        """
        if service.name in {entry.service.name for entry in self._entries}:
            raise ValueError(f"There are two services '{service.name}'.")
        status = Status(service.name, State.WAITING, self._now())
        self._entries.append(_Entry(service, essential, status))

    @property
    def statuses(self) -> tuple[Status, ...]:
        """What each service is doing, in the order of starting."""
        return tuple(entry.status for entry in self._entries)

    @property
    def stopping(self) -> bool:
        """Whether the services are being ended."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End all services within the grace."""
        self._stopping.set()

    def abort(self) -> None:
        """End all services at once, whatever they are at."""
        self._stopping.set()
        self._aborting.set()

    async def run(self) -> Ending:
        """Run all services until `stop()`, `abort()`, the failure of an essential one, or all are done.

        Cancelling this call ends the services as `stop()` does before the cancellation passes.
        """
        async with AsyncExitStack() as stack:
            for entry in self._entries:
                entry.task = asyncio.create_task(self._keep(entry), name=entry.service.name)
                stack.push_async_callback(self._end, entry)
            try:
                await self._until_stopped()
            finally:
                self._stopping.set()
                self._deadline = asyncio.get_running_loop().time() + self.grace
        return Ending(tuple(self._cut), self._aborting.is_set(), self._failed)

    async def _until_stopped(self) -> None:
        waiting = asyncio.create_task(self._stopping.wait())
        running = {entry.task for entry in self._entries if entry.task}
        try:
            while running and not waiting.done():
                done, _rest = await asyncio.wait({*running, waiting}, return_when=asyncio.FIRST_COMPLETED)
                running -= done
        finally:
            waiting.cancel()

    async def _keep(self, entry: _Entry) -> None:
        """Run one service again and again until it is done, told to stop, or beyond help."""
        loop, name, failures = asyncio.get_running_loop(), entry.service.name, 0
        while not entry.stop.is_set():
            started = loop.time()
            self._note(entry, State.RUNNING)
            try:
                await entry.service.run(entry.stop)
                break
            except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 - a panic of a Rust library is no Exception
                failures = 1 if loop.time() - started >= self._backoff.steady else failures + 1
                if entry.stop.is_set():
                    _log.warning("The service %s failed while it was ending: %s", name, reason_of(error))
                    self._note(entry, State.FAILED, error)
                    return
                if self._beyond_help(entry, error):
                    return
                # Not a matter of security: it only spreads restarts.
                wait = self._backoff.wait(failures, random.random())  # noqa: S311
            _log.warning(
                "The service %s failed and runs again in %.1f s: %s", name, wait, entry.status.reason
            )
            await _wait(entry.stop, wait)
            self._note(entry, entry.status.state, restarts=entry.status.restarts + 1)
        self._note(entry, State.STOPPED)

    def _beyond_help(self, entry: _Entry, error: BaseException) -> bool:
        """Note the failure; tell whether running again cannot help."""
        if not isinstance(error, DozorError) and reason_of(error) != entry.status.reason:
            _log.error("The service %s has a bug.", entry.service.name, exc_info=error)
        if not isinstance(error, UsageError):
            self._note(entry, State.RESTARTING, error)
            return False
        self._note(entry, State.FAILED, error)
        _log.error("The service %s cannot run: %s", entry.service.name, error)
        if entry.essential:
            self._failed = entry.service.name, error
            self.stop()
        return True

    def _note(
        self, entry: _Entry, state: State, error: BaseException | None = None, *, restarts: int | None = None
    ) -> None:
        before = entry.status
        entry.status = Status(
            name=before.name,
            state=state,
            since=self._now() if state is not before.state else before.since,
            # A service that runs again keeps its reason: what went wrong is worth knowing after it passed.
            reason=reason_of(error) if error is not None else before.reason,
            restarts=before.restarts if restarts is None else restarts,
        )

    async def _end(self, entry: _Entry) -> None:
        """Tell a service to stop, wait within what is left of the grace, then cancel it."""
        task = entry.task
        assert task is not None  # noqa: S101 - set before this callback is pushed
        entry.stop.set()
        left = self._deadline - asyncio.get_running_loop().time()
        aborting = asyncio.create_task(self._aborting.wait())
        try:
            await asyncio.wait({task, aborting}, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            aborting.cancel()
        if not task.done():
            self._cut.append(entry.service.name)
            _log.error("The service %s was cut off: it did not end within the grace.", entry.service.name)
            task.cancel()
            await asyncio.wait({task}, timeout=_CUT_WAIT)
            self._note(entry, State.FAILED)


def reason_of(error: BaseException) -> str:
    """What went wrong in one line without secrets, since `/ready` shows it."""
    text = mask(" ".join(str(error).split()))
    return (text if isinstance(error, DozorError) and text else f"{type(error).__name__}: {text}")[:_REASON]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({waiting}, timeout=seconds)
    finally:
        waiting.cancel()


@contextmanager
def signals(supervisor: Supervisor, *, reload: Callable[[], None]) -> Iterator[list[signal.Signals]]:
    """Let signals rule the supervisor while the block runs; yields the ending signals as they come.

    SIGTERM and SIGINT end the services within the grace, a second one at once; SIGHUP calls `reload`.
    """
    loop = asyncio.get_running_loop()
    came: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        came.append(number)
        if len(came) == 1:
            _log.info("Ending on %s; a second signal ends at once.", number.name)
            supervisor.stop()
        else:
            supervisor.abort()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield came
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
