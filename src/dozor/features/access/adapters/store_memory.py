"""The state of access in memory: works, and forgets when the process ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime

from dozor.features.access.core.chain import START, link
from dozor.features.access.core.subjects import account_key
from dozor.features.access.model import (
    AuditFilter,
    AuditRecord,
    ConflictError,
    Credentials,
    Entry,
    Key,
    Person,
    Role,
    Session,
)
from dozor.kernel.i18n import _

_SETUP = "setup"


@dataclass
class _State:
    people: dict[str, Person] = field(default_factory=dict)
    credentials: dict[str, Credentials] = field(default_factory=dict)
    codes: dict[str, frozenset[str]] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    refreshes: dict[str, tuple[str, bool]] = field(default_factory=dict)
    keys: dict[str, tuple[Key, str]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    audit: list[AuditRecord] = field(default_factory=list)

    def copied(self) -> _State:
        """Another one with the same content; what it holds never changes by itself."""
        return _State(**{name: copy(value) for name, value in vars(self).items()})


class InMemoryAccessStore:
    """An `AccessStore` of one process."""

    def __init__(self) -> None:
        self._state = _State()
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[InMemoryReading]:
        """Look at one state."""
        yield InMemoryReading(self._state)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[InMemoryWriting]:
        """Change it as a whole or not at all."""
        async with self._turn:
            state = self._state.copied()
            yield InMemoryWriting(state)
            self._state = state

    async def chain(self) -> AsyncIterator[AuditRecord]:
        """All audit records from the first to the last."""
        for record in self._state.audit:
            yield record


class InMemoryReading:
    """`Reading` of one state."""

    def __init__(self, state: _State) -> None:
        self._state = state

    async def people(self) -> Sequence[Person]:
        """All people, by name."""
        everybody = sorted(self._state.people.values(), key=lambda person: account_key(person.username))
        return [self._shown(person) for person in everybody]

    async def person(self, person_id: str) -> Person | None:
        """The person of this id."""
        found = self._state.people.get(person_id)
        return self._shown(found) if found else None

    async def person_named(self, username: str) -> Person | None:
        """The person of this name."""
        key = account_key(username)
        return next((person for person in await self.people() if account_key(person.username) == key), None)

    async def owner(self) -> Person | None:
        """The owner."""
        return next((person for person in await self.people() if person.is_owner), None)

    async def credentials(self, person_id: str) -> Credentials | None:
        """What proves that somebody is that person."""
        return self._state.credentials.get(person_id)

    async def recovery_codes(self, person_id: str) -> int:
        """How many unused recovery codes are left."""
        return len(self._state.codes.get(person_id, ()))

    async def roles(self) -> Sequence[Role]:
        """The custom roles, by name."""
        return sorted(self._state.roles.values(), key=lambda role: role.name)

    async def role(self, name: str) -> Role | None:
        """The custom role of this name."""
        return self._state.roles.get(name)

    async def sessions(self, now: datetime, person_id: str | None = None) -> Sequence[Session]:
        """Live sessions, the newest first."""
        live = [
            session
            for session in self._state.sessions.values()
            if session.expires > now and person_id in {None, session.person_id}
        ]
        return sorted(live, key=lambda session: (-session.created.timestamp(), session.id))

    async def session(self, session_id: str, now: datetime) -> Session | None:
        """A live session."""
        found = self._state.sessions.get(session_id)
        return found if found and found.expires > now else None

    async def console_session(self, token_hash: str, now: datetime) -> Session | None:
        """The live session whose cookie has this hash."""
        return await self.session(self._state.cookies.get(token_hash, ""), now)

    async def refresh(self, refresh_hash: str) -> tuple[str, bool] | None:
        """The session id of a refresh token, and whether it was used before."""
        return self._state.refreshes.get(refresh_hash)

    async def keys(self, person_id: str | None = None, *, everyone: bool = False) -> Sequence[Key]:
        """Keys, the newest first."""
        found = [key for key, _hash in self._state.keys.values() if everyone or key.person_id == person_id]
        return sorted(found, key=lambda key: (-key.created.timestamp(), key.id))

    async def key(self, key_id: str) -> tuple[Key, str] | None:
        """A key and the hash of its secret."""
        return self._state.keys.get(key_id)

    async def setup_token(self) -> str:
        """Hash of the set-up link's token."""
        return await self.note(_SETUP)

    async def note(self, name: str) -> str:
        """A small fact."""
        return self._state.notes.get(name, "")

    async def head(self) -> tuple[int, str]:
        """Number and hash of the last audit record."""
        return (self._state.audit[-1].number, self._state.audit[-1].hash) if self._state.audit else (0, START)

    async def records(self, which: AuditFilter, *, before: int | None, limit: int) -> Sequence[AuditRecord]:
        """Audit records that fit, from the newest to the oldest."""
        found = (
            record
            for record in reversed(self._state.audit)
            if (before is None or record.number < before) and _fits(record, which)
        )
        return [record for record, _number in zip(found, range(limit), strict=False)]

    def _shown(self, person: Person) -> Person:
        credentials = self._state.credentials.get(person.id)
        return replace(person, has_totp=bool(credentials and credentials.totp))


class InMemoryWriting(InMemoryReading):
    """`Writing` of a state that is a copy until the block ends."""

    async def add_person(self, person: Person, credentials: Credentials) -> None:
        """Add a person.

        Raises:
            ConflictError: The name is taken, or there is an owner and this is another one.
        """
        if await self.person_named(person.username) or (person.is_owner and await self.owner()):
            raise _taken(person.username)
        self._state.people[person.id] = person
        self._state.credentials[person.id] = credentials

    async def change_person(self, person: Person) -> None:
        """Put these facts in the place of those of the same id.

        Raises:
            ConflictError: The name is taken.
        """
        named = await self.person_named(person.username)
        if named and named.id != person.id:
            raise _taken(person.username)
        if person.id in self._state.people:
            self._state.people[person.id] = person

    async def remove_person(self, person_id: str) -> None:
        """Remove a person with sessions, keys and codes."""
        await self.end_sessions(person_id)
        for table in (self._state.people, self._state.credentials, self._state.codes):
            table.pop(person_id, None)
        for key in await self.keys(person_id):
            self._state.keys.pop(key.id)

    async def change_credentials(self, person_id: str, credentials: Credentials) -> None:
        """Put these in the place of the person's."""
        if person_id in self._state.credentials:
            self._state.credentials[person_id] = credentials

    async def replace_recovery_codes(self, person_id: str, hashes: Sequence[str]) -> None:
        """Forget the old codes and keep these."""
        self._state.codes[person_id] = frozenset(hashes)

    async def use_recovery_code(self, person_id: str, code_hash: str) -> bool:
        """Forget this code; False when there is none."""
        codes = self._state.codes.get(person_id, frozenset())
        self._state.codes[person_id] = codes - {code_hash}
        return code_hash in codes

    async def put_role(self, role: Role) -> None:
        """Add a custom role, or put it in the place of the one of its name."""
        self._state.roles[role.name] = role

    async def remove_role(self, name: str) -> None:
        """Remove a custom role."""
        self._state.roles.pop(name, None)

    async def add_session(self, session: Session, *, console_hash: str = "", refresh_hash: str = "") -> None:
        """Add a session with the hash of its cookie or of its first refresh token."""
        self._state.sessions[session.id] = session
        if console_hash:
            self._state.cookies[console_hash] = session.id
        if refresh_hash:
            self._state.refreshes[refresh_hash] = (session.id, False)

    async def rotate(self, old_hash: str, new_hash: str, expires: datetime) -> None:
        """Mark a refresh token used, add the next one of its session and move the session's end."""
        found = self._state.refreshes.get(old_hash)
        if found is None:
            return
        self._state.refreshes[old_hash] = (found[0], True)
        self._state.refreshes[new_hash] = (found[0], False)
        session = self._state.sessions[found[0]]
        self._state.sessions[session.id] = replace(session, expires=expires)

    async def touch_session(self, session_id: str, seen: datetime, expires: datetime | None = None) -> None:
        """Note the last use, and move the end when one is given."""
        session = self._state.sessions.get(session_id)
        if session:
            self._state.sessions[session_id] = replace(session, seen=seen, expires=expires or session.expires)

    async def end_session(self, session_id: str) -> None:
        """End a session and its tokens."""
        self._state.sessions.pop(session_id, None)
        self._state.cookies = {
            name: value for name, value in self._state.cookies.items() if value != session_id
        }
        self._state.refreshes = {
            name: value for name, value in self._state.refreshes.items() if value[0] != session_id
        }

    async def end_sessions(self, person_id: str, *, but: str | None = None) -> int:
        """End all sessions of a person but one; returns how many ended."""
        ended = [
            session.id
            for session in self._state.sessions.values()
            if session.person_id == person_id and session.id != but
        ]
        for session_id in ended:
            await self.end_session(session_id)
        return len(ended)

    async def forget_ended(self, now: datetime) -> None:
        """Remove sessions that have expired, with their tokens."""
        for session in [one for one in self._state.sessions.values() if one.expires <= now]:
            await self.end_session(session.id)

    async def add_key(self, key: Key, secret_hash: str) -> None:
        """Add a key."""
        self._state.keys[key.id] = (key, secret_hash)

    async def touch_key(self, key_id: str, seen: datetime) -> None:
        """Note the last use."""
        found = self._state.keys.get(key_id)
        if found:
            self._state.keys[key_id] = (replace(found[0], seen=seen), found[1])

    async def remove_key(self, key_id: str) -> None:
        """Revoke a key."""
        self._state.keys.pop(key_id, None)

    async def put_setup_token(self, token_hash: str) -> None:
        """Put the hash of the set-up link's token in the place of the former."""
        await self.put_note(_SETUP, token_hash)

    async def put_note(self, name: str, text: str) -> None:
        """Tell a small fact."""
        self._state.notes.pop(name, None)
        if text:
            self._state.notes[name] = text

    async def append(self, entry: Entry, at: datetime) -> AuditRecord:
        """Add a record at the end of the chain."""
        number, hashed = await self.head()
        record = link(entry, at, number + 1, hashed)
        self._state.audit.append(record)
        return record


def _fits(record: AuditRecord, which: AuditFilter) -> bool:
    entry = record.entry
    if (which.since and record.at < which.since) or (which.until and record.at >= which.until):
        return False
    if which.action.endswith(".*"):
        if not entry.action.startswith(which.action[:-1]):
            return False
    elif which.action not in {"", entry.action}:
        return False
    if which.actor and account_key(which.actor) != account_key(entry.actor):
        return False
    pairs = ((which.event, entry.event), (which.address, entry.address), (which.result, entry.result))
    return all(not wanted or wanted == found for wanted, found in pairs)


def _taken(username: str) -> ConflictError:
    return ConflictError(
        _("The name '{name}' is taken.").format(name=username), hint=_("Choose another one.")
    )
