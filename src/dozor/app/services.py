"""Services of the running process that belong to no feature: the store's life, the console, the first words.

The store and the console are opened while the process already answers, since both take seconds; until
then a `Gate` stands for the store and a `Late` for the console.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from dozor.infra.server import Late
from dozor.infra.supervisor import reason_of
from dozor.kernel.errors import DozorError, UnavailableError
from dozor.kernel.i18n import _, format_number

_CHECK_AGE = 1.0  # seconds for which an answer of the store to "do you take writes?" is believed
_CHECK_WAIT = 3.0  # seconds that it may take
_LOOK = 0.2
_SAY_AGAIN = 5.0

_log = logging.getLogger(__name__)


class Gate:
    """Stands for the store until it is open, and while it is being opened again.

    It has every method of the store; a call before it is open raises UnavailableError.
    """

    def __init__(self) -> None:
        self.store: Any = None
        self.reason = ""
        self.opened = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        """The store's own attribute."""
        store = self.__dict__.get("store")
        if store is None:
            return self._closed
        return getattr(store, name)

    def _closed(self, *_arguments: object, **_named: object) -> Any:
        raise UnavailableError(
            self.reason or _("The store is being opened."), hint=_("Try again in a few seconds.")
        )


class StoreService:
    """Opens the store, and closes it after all who use it have ended.

    Args:
        gate: Where it stands when it is open.
        open_store: Opens it; called in a thread.
        before_close: Ends what still asks it; called in a thread.
    """

    name = "store"

    def __init__(
        self, gate: Gate, open_store: Callable[[], Any], *, before_close: Callable[[], None] = lambda: None
    ) -> None:
        self._gate = gate
        self._open = open_store
        self._before_close = before_close

    async def run(self, stop: asyncio.Event) -> None:
        """Keep it open until `stop`.

        Raises:
            DozorError: It cannot be opened.
        """
        opening = asyncio.create_task(asyncio.to_thread(self._open))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not opening.done():
            return  # a server that does not answer may take minutes; nothing was stored yet
        try:
            store = opening.result()
        except Exception as error:
            self._gate.reason = reason_of(error)
            raise
        self._gate.store, self._gate.reason = store, ""
        self._gate.opened.set()
        try:
            await stop.wait()
        finally:
            self._gate.opened.clear()
            self._gate.store = None
            self._gate.reason = _("The store is being closed.")
            await asyncio.to_thread(self._close, store)

    def _close(self, store: Any) -> None:
        self._before_close()
        store.close()


class ConsoleService:
    """Loads the console beside the loop, then puts it in its place.

    Args:
        place: Where it is mounted.
        build: Makes it, with `lifespan()`; called in a thread.
    """

    name = "console"

    def __init__(self, place: Late, build: Callable[[], Any]) -> None:
        self._place = place
        self._build = build
        self._console: Any = None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve it until `stop`."""
        if self._console is None:  # Streamlit takes one application per process
            self._console = await asyncio.to_thread(self._build)
        async with self._console.lifespan()(self._console):
            self._place.app = self._console
            # What is loaded by now stays: the collector need not look at it again (UI.md 7).
            gc.collect()
            gc.freeze()
            try:
                await stop.wait()
            finally:
                self._place.app = None


class Readiness:
    """Tells whether the process does its work, part by part.

    Args:
        check: Raises when the store takes no writes; called in a thread.
        sources: Reason by source, empty when it is followed.
        state: Why the state database does not answer, empty when it does.
    """

    def __init__(
        self,
        check: Callable[[], None],
        sources: Callable[[], Mapping[str, str]],
        state: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        self._check = check
        self._sources = sources
        self._state = state
        self._known: tuple[float, str] = (-_CHECK_AGE, "")
        self._asking: asyncio.Task[str] | None = None

    async def reasons(self) -> dict[str, str]:
        """What is not ready: part to reason, an empty text for a part that is ready."""
        state = {"state": await self._state()} if self._state else {}
        return {**state, "store": await self._store(), **self._sources()}

    async def _store(self) -> str:
        asked, reason = self._known
        if time.monotonic() - asked < _CHECK_AGE:
            return reason
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="ask-store")
        asking = self._asking  # by the time this one goes on, another may have asked anew
        done, _waiting = await asyncio.wait({asking}, timeout=_CHECK_WAIT)
        reason = asking.result() if done else _("The store does not answer.")
        self._known = (time.monotonic(), reason)
        return reason

    async def _ask(self) -> str:
        try:
            await asyncio.to_thread(self._check)
        except DozorError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a bug of the store is a reason as well
            _log.exception("The store could not be asked whether it takes writes.")
            return f"{type(error).__name__}: {error}"
        return ""


class Announcer:
    """Tells the operator when the process is ready, and what it waits for when that takes long.

    Args:
        reasons: As `Readiness.reasons`.
        progress: How far the sources are, a sentence each; empty when they have caught up.
        say: Tells it.
    """

    name = "announcer"

    def __init__(
        self,
        reasons: Callable[[], Any],
        progress: Callable[[], Sequence[str]],
        say: Callable[[str], object],
    ) -> None:
        self._reasons = reasons
        self._progress = progress
        self._say = say

    async def run(self, stop: asyncio.Event) -> None:
        """Look until all is ready and read, then be done."""
        began = said = time.monotonic()
        ready = False
        while not stop.is_set():
            waits = [f"{part}: {reason}" for part, reason in (await self._reasons()).items() if reason]
            now = time.monotonic()
            if not waits and not ready:
                ready = True
                self._say(_("Ready after {seconds} s.").format(seconds=format_number(now - began, 1)))
            behind = self._progress()
            if ready and not behind:
                return
            if now - said >= _SAY_AGAIN:
                said = now
                for text in [*waits, *behind]:
                    self._say(text)
            waiting = asyncio.create_task(stop.wait())
            await asyncio.wait({waiting}, timeout=_LOOK)
            waiting.cancel()
