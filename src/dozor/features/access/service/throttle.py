"""Failed sign-ins: counted per address and per account, and refused once they are too many.

Attempts of one address, and on one account, are looked at one after another, so that a hundred at once do not
all slip in before the first has failed. A refused attempt is not counted: the lock-out ends by itself, and
`dozor access unlock` ends it at once, also from another process, by a note in the store. Unlocking an account
lets it in from every address: also from one that its own failures have locked out.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

from dozor.features.access.core.chain import moment
from dozor.features.access.core.subjects import account_subject, address_group, address_subject
from dozor.features.access.model import LOCAL, Event, LockedOutError, Origin
from dozor.features.access.ports import AccessStore, FailureLimiter
from dozor.features.access.service.ledger import Clock, Ledger, entry_by
from dozor.features.access.service.watch import DoorWatch
from dozor.kernel.i18n import _, ngettext

EVERYBODY = "*"
"""The subject of an unlock that is meant for all."""

MOST_WAITING = 50
"""Attempts on one subject that may wait for each other; more are refused for the moment."""

_UNLOCK_KEPT = timedelta(hours=1)
_MOST_REMEMBERED = 10_000
_NOTE = "unlocked:"


class _Queue:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting = 0


class Throttle:
    """Guards whatever checks a password or a code.

    Args:
        limiter: Counts failures.
        store: Where processes leave notes for each other.
        ledger: Records lock-outs.
        watch: Tells detectors.
        clock: Tells the time.
    """

    def __init__(
        self, limiter: FailureLimiter, store: AccessStore, ledger: Ledger, watch: DoorWatch, clock: Clock
    ) -> None:
        self._limiter = limiter
        self._store = store
        self._ledger = ledger
        self._watch = watch
        self._clock = clock
        self._queues: dict[str, _Queue] = {}
        self._locked: OrderedDict[str, str] = OrderedDict()
        self._applied: OrderedDict[str, str] = OrderedDict()

    @asynccontextmanager
    async def attempt(self, origin: Origin, username: str, action: str) -> AsyncIterator[None]:
        """Let one attempt through, alone among those of its address and account.

        Args:
            origin: Where from.
            username: The account as it was written; empty for a secret that belongs to no account.
            action: What is attempted, for the audit trail.

        Raises:
            LockedOutError: Too many have failed.
        """
        subjects = self._subjects(origin, username)
        async with AsyncExitStack() as turns:
            for subject in sorted(subjects):
                await turns.enter_async_context(self._turn(subject))
            wait = max([await self._wait(subject, *subjects) for subject in subjects], default=0.0)
            if wait > 0:
                await self._ledger.refused(
                    entry_by(
                        None, origin, Event.LOGIN_ATTEMPT, action, result="refused", target=username,
                        reason="locked-out",
                    )
                )  # fmt: skip
                raise _locked_out(math.ceil(wait))
            yield

    async def failed(self, origin: Origin, username: str) -> None:
        """Count a failed attempt; when it is one too many, record it and tell the detectors."""
        self._watch.failed(origin.address, username)
        for subject in self._subjects(origin, username):
            if not await self._limiter.hit(subject):
                continue
            self._remember(self._locked, subject, moment(self._clock()))
            if subject.startswith("address:"):
                await self._ledger.record(
                    entry_by(
                        None, origin, Event.IP_BLOCKED, "auth.lock_out", target=address_group(origin.address),
                        reason="brute-force",
                    )
                )  # fmt: skip
                self._watch.blocked(origin.address, username)
            else:
                await self._ledger.record(
                    entry_by(None, origin, Event.ACCOUNT_LOCKED, "auth.lock_out", target=username)
                )
                self._watch.locked(origin.address, username)

    async def unlock(self, subject: str) -> None:
        """End the lock-out of a subject (`core.subjects`), or of `EVERYBODY`, in all processes.

        That of an account ends those of addresses, too, as soon as they try that account.
        """
        if subject != EVERYBODY:
            await self._limiter.clear(subject)
        async with self._store.writing() as unit:
            await unit.put_note(_NOTE + subject, moment(self._clock()))

    async def waits(self, username: str) -> float:
        """Seconds until the account may try again; 0 when it is not locked out."""
        return await self._wait(account_subject(username))

    def _subjects(self, origin: Origin, username: str) -> tuple[str, ...]:
        if origin.address == LOCAL.address:
            return ()
        account = (account_subject(username),) if username else ()
        return (address_subject(origin.address), *account)

    @asynccontextmanager
    async def _turn(self, subject: str) -> AsyncIterator[None]:
        queue = self._queues.setdefault(subject, _Queue())
        if queue.waiting >= MOST_WAITING:
            raise _locked_out(1)
        queue.waiting += 1
        try:
            async with queue.lock:
                yield
        finally:
            queue.waiting -= 1
            if not queue.waiting:
                self._queues.pop(subject, None)

    async def _wait(self, subject: str, *attempted: str) -> float:
        wait = await self._limiter.wait(subject)
        if wait > 0 and await self._was_unlocked(subject, {subject, *attempted, EVERYBODY}):
            await self._limiter.clear(subject)
            return 0.0
        return wait

    async def _was_unlocked(self, subject: str, names: Collection[str]) -> bool:
        """Whether somebody has ended it since it began, or since we last looked; each note counts once."""
        accounts = {name for name in names if not name.startswith("address:")}
        async with self._store.reading() as unit:
            notes = [await unit.note(_NOTE + name) for name in {subject} | accounts]
        latest = max(notes)
        if not latest or latest <= self._applied.get(subject, "") or latest < self._locked.get(subject, ""):
            return False
        if self._clock() - datetime.fromisoformat(latest) > _UNLOCK_KEPT:
            return False
        self._remember(self._applied, subject, latest)
        return True

    def _remember(self, when: OrderedDict[str, str], subject: str, at: str) -> None:
        when[subject] = at
        when.move_to_end(subject)
        while len(when) > _MOST_REMEMBERED:
            when.popitem(last=False)


def _locked_out(seconds: int) -> LockedOutError:
    return LockedOutError(
        _("Too many attempts have failed."),
        retry_after=seconds,
        hint=ngettext(
            "Try again in {count} second, or let the owner run 'dozor access unlock' on the server.",
            "Try again in {count} seconds, or let the owner run 'dozor access unlock' on the server.",
            seconds,
        ).format(count=seconds),
    )
