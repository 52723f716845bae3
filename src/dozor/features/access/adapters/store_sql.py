"""The state of access in the state database, by SQLAlchemy Core: SQLite or PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import ColumnElement

from dozor.features.access.adapters.tables import (
    AUDIT,
    KEYS,
    NOTES,
    PEOPLE,
    RECOVERY_CODES,
    REFRESH_TOKENS,
    ROLES,
    SESSIONS,
)
from dozor.features.access.core.chain import START, link
from dozor.features.access.core.subjects import account_key
from dozor.features.access.model import (
    AuditFilter,
    AuditRecord,
    ConflictError,
    Credentials,
    Entry,
    Event,
    Key,
    Person,
    Role,
    Session,
)
from dozor.infra.database import Database
from dozor.kernel.i18n import _

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LOCK = "access"
_SETUP = "setup"
_HEAD = "audit.head"
_CHAIN_PAGE = 1000


class SqlAccessStore:
    """People, sessions, keys and the audit trail in a `Database` that is up to date.

    Args:
        database: The state database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlReading]:
        """Look at one state.

        Raises:
            UnavailableError: The database does not answer.
        """
        async with self._database.read() as connection:
            yield SqlReading(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[SqlWriting]:
        """Change it as a whole or not at all, one process at a time.

        Raises:
            UnavailableError: The database does not answer.
        """
        async with self._database.write() as connection:
            await self._database.alone(connection, _LOCK)
            yield SqlWriting(connection)

    async def chain(self) -> AsyncIterator[AuditRecord]:
        """All audit records from the first to the last, a thousand at a time.

        Raises:
            UnavailableError: The database does not answer.
        """
        last = -1
        while True:
            async with self._database.read() as connection:
                asked = select(AUDIT).where(AUDIT.c.number > last).order_by(AUDIT.c.number).limit(_CHAIN_PAGE)
                rows = (await connection.execute(asked)).all()
            for row in rows:
                yield _record(row)
            if len(rows) < _CHAIN_PAGE:
                return
            last = rows[-1].number


class SqlReading:
    """`Reading` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def people(self) -> Sequence[Person]:
        """All people, by name."""
        return [_person(row) for row in await self._all(select(PEOPLE).order_by(PEOPLE.c.username_key))]

    async def person(self, person_id: str) -> Person | None:
        """The person of this id."""
        return await self._person(PEOPLE.c.id == person_id)

    async def person_named(self, username: str) -> Person | None:
        """The person of this name."""
        return await self._person(PEOPLE.c.username_key == account_key(username))

    async def owner(self) -> Person | None:
        """The owner."""
        return await self._person(PEOPLE.c.is_owner)

    async def credentials(self, person_id: str) -> Credentials | None:
        """What proves that somebody is that person."""
        columns = (PEOPLE.c.password, PEOPLE.c.totp, PEOPLE.c.totp_pending, PEOPLE.c.totp_step)
        row = await self._one(select(*columns).where(PEOPLE.c.id == person_id))
        return Credentials(*row) if row else None

    async def recovery_codes(self, person_id: str) -> int:
        """How many unused recovery codes are left."""
        return len(
            await self._all(select(RECOVERY_CODES.c.hash).where(RECOVERY_CODES.c.person_id == person_id))
        )

    async def roles(self) -> Sequence[Role]:
        """The custom roles, by name."""
        return [_role(row) for row in await self._all(select(ROLES).order_by(ROLES.c.name))]

    async def role(self, name: str) -> Role | None:
        """The custom role of this name."""
        row = await self._one(select(ROLES).where(ROLES.c.name == name))
        return _role(row) if row else None

    async def sessions(self, now: datetime, person_id: str | None = None) -> Sequence[Session]:
        """Live sessions, the newest first."""
        asked = _live(now).order_by(SESSIONS.c.created.desc(), SESSIONS.c.id)
        if person_id is not None:
            asked = asked.where(SESSIONS.c.person_id == person_id)
        return [_session(row) for row in await self._all(asked)]

    async def session(self, session_id: str, now: datetime) -> Session | None:
        """A live session."""
        row = await self._one(_live(now).where(SESSIONS.c.id == session_id))
        return _session(row) if row else None

    async def console_session(self, token_hash: str, now: datetime) -> Session | None:
        """The live session whose cookie has this hash."""
        row = await self._one(_live(now).where(SESSIONS.c.console_hash == token_hash))
        return _session(row) if row else None

    async def refresh(self, refresh_hash: str) -> tuple[str, bool] | None:
        """The session id of a refresh token, and whether it was used before."""
        tokens = REFRESH_TOKENS.c
        row = await self._one(select(tokens.session_id, tokens.is_used).where(tokens.hash == refresh_hash))
        return (row.session_id, bool(row.is_used)) if row else None

    async def keys(self, person_id: str | None = None, *, everyone: bool = False) -> Sequence[Key]:
        """Keys, the newest first."""
        asked = select(KEYS).order_by(KEYS.c.created.desc(), KEYS.c.id)
        if not everyone:
            asked = asked.where(KEYS.c.person_id == person_id)
        return [_key(row) for row in await self._all(asked)]

    async def key(self, key_id: str) -> tuple[Key, str] | None:
        """A key and the hash of its secret."""
        row = await self._one(select(KEYS).where(KEYS.c.id == key_id))
        return (_key(row), row.hash) if row else None

    async def setup_token(self) -> str:
        """Hash of the set-up link's token."""
        return await self.note(_SETUP)

    async def note(self, name: str) -> str:
        """A small fact."""
        row = await self._one(select(NOTES.c.text).where(NOTES.c.name == name))
        return str(row.text) if row else ""

    async def head(self) -> tuple[int, str]:
        """Number and hash of the last audit record."""
        number, _colon, hashed = (await self.note(_HEAD)).partition(":")
        return (int(number), hashed) if number else (0, START)

    async def records(self, which: AuditFilter, *, before: int | None, limit: int) -> Sequence[AuditRecord]:
        """Audit records that fit, from the newest to the oldest."""
        asked = select(AUDIT).where(*_conditions(which)).order_by(AUDIT.c.number.desc()).limit(limit)
        if before is not None:
            asked = asked.where(AUDIT.c.number < before)
        return [_record(row) for row in await self._all(asked)]

    async def _person(self, condition: ColumnElement[bool]) -> Person | None:
        row = await self._one(select(PEOPLE).where(condition))
        return _person(row) if row else None

    async def _one(self, asked: Select[Any]) -> Row[Any] | None:
        row: Row[Any] | None = (await self._connection.execute(asked)).first()
        return row

    async def _all(self, asked: Select[Any]) -> Sequence[Row[Any]]:
        rows: Sequence[Row[Any]] = (await self._connection.execute(asked)).all()
        return rows


class SqlWriting(SqlReading):
    """`Writing` on a connection whose transaction is the only writing one."""

    async def add_person(self, person: Person, credentials: Credentials) -> None:
        """Add a person.

        Raises:
            ConflictError: The name is taken, or there is an owner and this is another one.
        """
        values = _facts(person) | _secrets(credentials) | {"id": person.id}
        try:
            await self._connection.execute(insert(PEOPLE).values(values))
        except IntegrityError as error:
            raise _taken(person.username) from error

    async def change_person(self, person: Person) -> None:
        """Put these facts in the place of those of the same id.

        Raises:
            ConflictError: The name is taken.
        """
        try:
            await self._connection.execute(
                update(PEOPLE).where(PEOPLE.c.id == person.id).values(_facts(person))
            )
        except IntegrityError as error:
            raise _taken(person.username) from error

    async def remove_person(self, person_id: str) -> None:
        """Remove a person with sessions, keys and codes."""
        await self._connection.execute(delete(PEOPLE).where(PEOPLE.c.id == person_id))

    async def change_credentials(self, person_id: str, credentials: Credentials) -> None:
        """Put these in the place of the person's."""
        await self._connection.execute(
            update(PEOPLE).where(PEOPLE.c.id == person_id).values(_secrets(credentials))
        )

    async def replace_recovery_codes(self, person_id: str, hashes: Sequence[str]) -> None:
        """Forget the old codes and keep these."""
        await self._connection.execute(delete(RECOVERY_CODES).where(RECOVERY_CODES.c.person_id == person_id))
        if hashes:
            await self._connection.execute(
                insert(RECOVERY_CODES), [{"person_id": person_id, "hash": text} for text in hashes]
            )

    async def use_recovery_code(self, person_id: str, code_hash: str) -> bool:
        """Forget this code; False when there is none."""
        codes = RECOVERY_CODES.c
        done = await self._connection.execute(
            delete(RECOVERY_CODES).where(codes.person_id == person_id, codes.hash == code_hash)
        )
        return done.rowcount > 0

    async def put_role(self, role: Role) -> None:
        """Add a custom role, or put it in the place of the one of its name."""
        await self.remove_role(role.name)
        values = {
            "name": role.name,
            "permissions": " ".join(role.permissions),
            "description": role.description,
        }
        await self._connection.execute(insert(ROLES).values(values))

    async def remove_role(self, name: str) -> None:
        """Remove a custom role."""
        await self._connection.execute(delete(ROLES).where(ROLES.c.name == name))

    async def add_session(self, session: Session, *, console_hash: str = "", refresh_hash: str = "") -> None:
        """Add a session with the hash of its cookie or of its first refresh token."""
        values = {
            "id": session.id,
            "person_id": session.person_id,
            "kind": session.kind,
            "created": _micros(session.created),
            "seen": _micros(session.seen),
            "expires": _micros(session.expires),
            "address": session.address,
            "agent": session.agent,
            "console_hash": console_hash or None,
        }
        await self._connection.execute(insert(SESSIONS).values(values))
        if refresh_hash:
            await self._add_refresh(refresh_hash, session.id)

    async def rotate(self, old_hash: str, new_hash: str, expires: datetime) -> None:
        """Mark a refresh token used, add the next one of its session and move the session's end."""
        found = await self.refresh(old_hash)
        if found is None:
            return
        tokens = REFRESH_TOKENS.c
        await self._connection.execute(
            update(REFRESH_TOKENS).where(tokens.hash == old_hash).values(is_used=True)
        )
        await self._add_refresh(new_hash, found[0])
        await self._connection.execute(
            update(SESSIONS).where(SESSIONS.c.id == found[0]).values(expires=_micros(expires))
        )

    async def touch_session(self, session_id: str, seen: datetime, expires: datetime | None = None) -> None:
        """Note the last use, and move the end when one is given."""
        values = {"seen": _micros(seen)} | ({"expires": _micros(expires)} if expires else {})
        await self._connection.execute(update(SESSIONS).where(SESSIONS.c.id == session_id).values(values))

    async def end_session(self, session_id: str) -> None:
        """End a session and its tokens."""
        await self._connection.execute(delete(SESSIONS).where(SESSIONS.c.id == session_id))

    async def end_sessions(self, person_id: str, *, but: str | None = None) -> int:
        """End all sessions of a person but one; returns how many rows went."""
        asked = delete(SESSIONS).where(SESSIONS.c.person_id == person_id)
        if but is not None:
            asked = asked.where(SESSIONS.c.id != but)
        return (await self._connection.execute(asked)).rowcount

    async def forget_ended(self, now: datetime) -> None:
        """Remove sessions that have expired, with their tokens."""
        await self._connection.execute(delete(SESSIONS).where(SESSIONS.c.expires <= _micros(now)))

    async def add_key(self, key: Key, secret_hash: str) -> None:
        """Add a key."""
        values = {
            "id": key.id,
            "name": key.name,
            "role": key.role,
            "scopes": " ".join(key.scopes),
            "person_id": key.person_id,
            "created": _micros(key.created),
            "expires": _micros(key.expires),
            "seen": _micros(key.seen),
            "hash": secret_hash,
        }
        await self._connection.execute(insert(KEYS).values(values))

    async def touch_key(self, key_id: str, seen: datetime) -> None:
        """Note the last use."""
        await self._connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(seen=_micros(seen)))

    async def remove_key(self, key_id: str) -> None:
        """Revoke a key."""
        await self._connection.execute(delete(KEYS).where(KEYS.c.id == key_id))

    async def put_setup_token(self, token_hash: str) -> None:
        """Put the hash of the set-up link's token in the place of the former."""
        await self.put_note(_SETUP, token_hash)

    async def put_note(self, name: str, text: str) -> None:
        """Tell the other processes a small fact."""
        await self._connection.execute(delete(NOTES).where(NOTES.c.name == name))
        if text:
            await self._connection.execute(insert(NOTES).values(name=name, text=text))

    async def append(self, entry: Entry, at: datetime) -> AuditRecord:
        """Add a record at the end of the chain."""
        number, hashed = await self.head()
        record = link(entry, at, number + 1, hashed)
        values = {
            "number": record.number,
            "at": _micros(record.at),
            "event": entry.event.value,
            "action": entry.action,
            "result": entry.result,
            "actor": entry.actor,
            "actor_key": account_key(entry.actor),
            "actor_id": entry.actor_id,
            "actor_kind": entry.actor_kind,
            "target": entry.target,
            "address": entry.address,
            "agent": entry.agent,
            "count": entry.count,
            "details": json.dumps(dict(entry.details), sort_keys=True, ensure_ascii=False),
            "previous": record.previous,
            "hash": record.hash,
        }
        await self._connection.execute(insert(AUDIT).values(values))
        await self.put_note(_HEAD, f"{record.number}:{record.hash}")
        return record

    async def _add_refresh(self, token_hash: str, session_id: str) -> None:
        values = {"hash": token_hash, "session_id": session_id, "is_used": False}
        await self._connection.execute(insert(REFRESH_TOKENS).values(values))


def _micros(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def _at(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def _at_or_none(micros: int | None) -> datetime | None:
    return None if micros is None else _at(micros)


def _live(now: datetime) -> Select[Any]:
    return select(SESSIONS).where(SESSIONS.c.expires > _micros(now))


def _facts(person: Person) -> dict[str, Any]:
    return {
        "username": person.username,
        "username_key": account_key(person.username),
        "display_name": person.display_name,
        "role": person.role,
        "is_owner": person.is_owner,
        "is_active": person.is_active,
        "language": person.language,
        "created": _micros(person.created),
        "password_changed": _micros(person.password_changed),
        "last_login": _micros(person.last_login),
    }


def _secrets(credentials: Credentials) -> dict[str, Any]:
    return {
        "password": credentials.password,
        "totp": credentials.totp,
        "totp_pending": credentials.totp_pending,
        "totp_step": credentials.totp_step,
    }


def _person(row: Row[Any]) -> Person:
    return Person(
        id=row.id,
        username=row.username,
        role=row.role,
        created=_at(row.created),
        password_changed=_at(row.password_changed),
        display_name=row.display_name,
        is_owner=bool(row.is_owner),
        is_active=bool(row.is_active),
        language=row.language,
        has_totp=bool(row.totp),
        last_login=_at_or_none(row.last_login),
    )


def _role(row: Row[Any]) -> Role:
    return Role(row.name, tuple(row.permissions.split()), row.description)


def _session(row: Row[Any]) -> Session:
    return Session(
        id=row.id,
        person_id=row.person_id,
        kind=row.kind,
        created=_at(row.created),
        seen=_at(row.seen),
        expires=_at(row.expires),
        address=row.address,
        agent=row.agent,
    )


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        role=row.role,
        created=_at(row.created),
        scopes=tuple(row.scopes.split()),
        person_id=row.person_id,
        expires=_at_or_none(row.expires),
        seen=_at_or_none(row.seen),
    )


def _record(row: Row[Any]) -> AuditRecord:
    # `count` and `index` are methods of a row as well, so its columns are asked by name.
    values = cast("Mapping[str, Any]", row._mapping)  # noqa: SLF001 - the documented way
    entry = Entry(
        event=Event(values["event"]),
        details=json.loads(values["details"]),
        **{
            name: values[name]
            for name in (
                *("action", "result", "actor", "actor_id", "actor_kind"),
                *("target", "address", "agent", "count"),
            )
        },
    )
    return AuditRecord(values["number"], _at(values["at"]), entry, values["previous"], values["hash"])


def _conditions(which: AuditFilter) -> list[ColumnElement[bool]]:
    columns = AUDIT.c
    found: list[ColumnElement[bool]] = []
    if which.since:
        found.append(columns.at >= _micros(which.since))
    if which.until:
        found.append(columns.at < _micros(which.until))
    if which.action.endswith(".*"):
        found.append(columns.action.startswith(which.action[:-1], autoescape=True))
    elif which.action:
        found.append(columns.action == which.action)
    if which.actor:
        found.append(columns.actor_key == account_key(which.actor))
    same = {columns.event: which.event, columns.address: which.address, columns.result: which.result}
    found.extend(column == value for column, value in same.items() if value)
    return found


def _taken(username: str) -> ConflictError:
    return ConflictError(
        _("The name '{name}' is taken.").format(name=username), hint=_("Choose another one.")
    )
