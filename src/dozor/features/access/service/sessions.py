"""Sessions: one's own, and those of others."""

from __future__ import annotations

from collections.abc import Sequence

from dozor.features.access.model import Event, MissingError, Origin, Principal, Session
from dozor.features.access.ports import AccessStore
from dozor.features.access.service.checks import existing_person, may_change, signed_in
from dozor.features.access.service.ledger import Clock, Ledger, entry_by
from dozor.features.access.service.signin import Known
from dozor.kernel.i18n import _


class Sessions:
    """Lists and ends sessions; an ended one is dead at once here, within seconds in other processes.

    Args:
        store: Keeps sessions.
        ledger: Records.
        known: Emptied by every change.
        clock: Tells the time.
    """

    def __init__(self, *, store: AccessStore, ledger: Ledger, known: Known, clock: Clock) -> None:
        self._store = store
        self._ledger = ledger
        self._known = known
        self._clock = clock

    async def own(self, by: Principal) -> Sequence[Session]:
        """The caller's own, the newest first.

        Raises:
            ForbiddenError: It is a key.
        """
        async with self._store.reading() as unit:
            return await unit.sessions(self._clock(), signed_in(by))

    async def of(self, person_id: str) -> Sequence[Session]:
        """Somebody's, the newest first.

        Raises:
            MissingError: There is no such person.
        """
        async with self._store.reading() as unit:
            await existing_person(unit, person_id)
            return await unit.sessions(self._clock(), person_id)

    async def all(self) -> Sequence[Session]:
        """Everybody's, the newest first."""
        async with self._store.reading() as unit:
            return await unit.sessions(self._clock())

    async def end_own(self, by: Principal, origin: Origin, session_id: str) -> None:
        """End one of one's own.

        Raises:
            MissingError: It is none of the caller's.
            ForbiddenError: It is a key.
        """
        await self._end(by, origin, session_id, signed_in(by))

    async def end_own_others(self, by: Principal, origin: Origin) -> int:
        """End all of one's own but the one of this call; returns how many.

        Raises:
            ForbiddenError: It is a key.
        """
        return await self._end_all(by, origin, signed_in(by), but=by.session_id)

    async def end(self, by: Principal, origin: Origin, session_id: str) -> None:
        """End somebody's.

        Raises:
            MissingError: There is none of this id.
            ForbiddenError: Its person may do more than the caller.
        """
        await self._end(by, origin, session_id, None)

    async def end_of(self, by: Principal, origin: Origin, person_id: str) -> int:
        """End all of a person; returns how many.

        Raises:
            MissingError: There is no such person.
            ForbiddenError: The person may do more than the caller.
        """
        return await self._end_all(by, origin, person_id, but=None)

    async def _end(self, by: Principal, origin: Origin, session_id: str, person_id: str | None) -> None:
        async with self._ledger.writing() as change:
            session = await change.unit.session(session_id, change.now)
            if session is None or person_id not in {None, session.person_id}:
                raise MissingError(_("There is no such session, or not any more."))
            person = await existing_person(change.unit, session.person_id)
            if person.id != by.person_id:
                await may_change(change.unit, by, person)
            await change.unit.end_session(session_id)
            await change.note(
                entry_by(
                    by, origin, Event.SENSITIVE_OPERATION, "sessions.end", target=person.username,
                    session=session_id,
                )
            )  # fmt: skip
        self._known.forget()

    async def _end_all(self, by: Principal, origin: Origin, person_id: str, *, but: str | None) -> int:
        async with self._ledger.writing() as change:
            person = await existing_person(change.unit, person_id)
            if person.id != by.person_id:
                await may_change(change.unit, by, person)
            ended = await change.unit.end_sessions(person_id, but=but)
            await change.note(
                entry_by(
                    by, origin, Event.SENSITIVE_OPERATION, "sessions.end_all", target=person.username,
                    count=str(ended),
                )
            )  # fmt: skip
        self._known.forget()
        return ended
