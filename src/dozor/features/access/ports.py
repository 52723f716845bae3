"""What access needs from outside.

State is read and written in units of work: what happens in one `async with store.writing() as unit` is kept
as a whole or not at all, its audit record included. Units that write are one at a time, within and across
processes, so that what one has read still holds when it writes; each should be short and hash no password.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from dozor.features.access.model import (
    AuditFilter,
    AuditRecord,
    Claims,
    Credentials,
    Entry,
    Key,
    Person,
    Role,
    Session,
)


class Reading(Protocol):
    """What can be read of one state of the store."""

    async def people(self) -> Sequence[Person]:
        """All people, by name."""

    async def person(self, person_id: str) -> Person | None:
        """The person of this id; None when there is none."""

    async def person_named(self, username: str) -> Person | None:
        """The person of this name, written with whatever case; None when there is none."""

    async def owner(self) -> Person | None:
        """The owner; None while there is none."""

    async def credentials(self, person_id: str) -> Credentials | None:
        """What proves that somebody is that person; None when there is no such person."""

    async def recovery_codes(self, person_id: str) -> int:
        """How many unused recovery codes are left."""

    async def roles(self) -> Sequence[Role]:
        """The custom roles, by name; built-in ones are not stored."""

    async def role(self, name: str) -> Role | None:
        """The custom role of this name; None when there is none."""

    async def sessions(self, now: datetime, person_id: str | None = None) -> Sequence[Session]:
        """Live sessions of a person or of all, the newest first."""

    async def session(self, session_id: str, now: datetime) -> Session | None:
        """A live session; None when there is none, or not any more."""

    async def console_session(self, token_hash: str, now: datetime) -> Session | None:
        """The live session whose cookie has this hash; None when there is none."""

    async def refresh(self, refresh_hash: str) -> tuple[str, bool] | None:
        """The session id of a refresh token, and whether it was used before.

        Returns:
            None when no live session knows it. A used token of a session that has ended is not known.
        """

    async def keys(self, person_id: str | None = None, *, everyone: bool = False) -> Sequence[Key]:
        """Keys that were not revoked, the newest first: a person's, nobody's (None), or those of everyone."""

    async def key(self, key_id: str) -> tuple[Key, str] | None:
        """A key that was not revoked and the hash of its secret; None when there is none."""

    async def setup_token(self) -> str:
        """Hash of the set-up link's token; empty when there is none."""

    async def note(self, name: str) -> str:
        """A small fact that processes tell each other; empty when nobody told it."""

    async def head(self) -> tuple[int, str]:
        """Number and hash of the last audit record; 0 and `core.chain.START` before the first."""

    async def records(self, which: AuditFilter, *, before: int | None, limit: int) -> Sequence[AuditRecord]:
        """Audit records that fit, from the newest to the oldest, with numbers below `before`."""


class Writing(Reading, Protocol):
    """What can be changed; a call that names something that is not there changes nothing."""

    async def add_person(self, person: Person, credentials: Credentials) -> None:
        """Add a person.

        Raises:
            ConflictError: The name is taken, or there is an owner and this is another one.
        """

    async def change_person(self, person: Person) -> None:
        """Put these facts in the place of those of the same id.

        Raises:
            ConflictError: The name is taken.
        """

    async def remove_person(self, person_id: str) -> None:
        """Remove a person with sessions, keys and codes; the audit trail stays."""

    async def change_credentials(self, person_id: str, credentials: Credentials) -> None:
        """Put these in the place of the person's."""

    async def replace_recovery_codes(self, person_id: str, hashes: Sequence[str]) -> None:
        """Forget the old codes and keep these."""

    async def use_recovery_code(self, person_id: str, code_hash: str) -> bool:
        """Forget this code; False when it is none of the person's, or was used."""

    async def put_role(self, role: Role) -> None:
        """Add a custom role, or put it in the place of the one of its name."""

    async def remove_role(self, name: str) -> None:
        """Remove a custom role."""

    async def add_session(self, session: Session, *, console_hash: str = "", refresh_hash: str = "") -> None:
        """Add a session with the hash of its cookie or of its first refresh token."""

    async def rotate(self, old_hash: str, new_hash: str, expires: datetime) -> None:
        """Mark a refresh token used, add the next one of its session and move the session's end."""

    async def touch_session(self, session_id: str, seen: datetime, expires: datetime | None = None) -> None:
        """Note the last use, and move the end when one is given."""

    async def end_session(self, session_id: str) -> None:
        """End a session and its tokens."""

    async def end_sessions(self, person_id: str, *, but: str | None = None) -> int:
        """End all sessions of a person but one; returns how many ended."""

    async def forget_ended(self, now: datetime) -> None:
        """Remove what has expired: sessions with their tokens."""

    async def add_key(self, key: Key, secret_hash: str) -> None:
        """Add a key."""

    async def touch_key(self, key_id: str, seen: datetime) -> None:
        """Note the last use."""

    async def remove_key(self, key_id: str) -> None:
        """Revoke a key."""

    async def put_setup_token(self, token_hash: str) -> None:
        """Put the hash of the set-up link's token in the place of the former; empty for none."""

    async def put_note(self, name: str, text: str) -> None:
        """Tell the other processes a small fact; an empty text takes it back."""

    async def append(self, entry: Entry, at: datetime) -> AuditRecord:
        """Add a record at the end of the chain (`core.chain.link`)."""


class AccessStore(Protocol):
    """Keeps the state of access. Calls raise UnavailableError while it is away."""

    def reading(self) -> AbstractAsyncContextManager[Reading]:
        """Look at one state."""

    def writing(self) -> AbstractAsyncContextManager[Writing]:
        """Change it: all of the block is kept when it ends, nothing when it raises."""

    def chain(self) -> AsyncIterator[AuditRecord]:
        """All audit records from the first to the last, a few at a time."""


class Passwords(Protocol):
    """Hashes and checks passwords, slowly on purpose; called in a thread."""

    def hash(self, password: str) -> str:
        """Hash a password, of any length up to `core.passwords.MOST_CHARACTERS`."""

    def check(self, password: str, hashed: str) -> bool:
        """Tell whether it is the password; False also for a hash of an unknown kind."""

    def is_dated(self, hashed: str) -> bool:
        """Tell whether the hash should be made anew: another kind, or fewer rounds than now."""

    def waste(self, password: str) -> None:
        """Take the time of one check, for a person who is not there."""


class AccessTokens(Protocol):
    """Signs and reads access tokens."""

    def issue(self, claims: Claims) -> str:
        """Sign them with the current key, whose name stands in the header as `kid`."""

    def read(self, token: str, now: datetime) -> Claims:
        """Check a token: signature by a key of the ring, algorithm, issuer, audience, time.

        Raises:
            InvalidTokenError: It does not hold.
        """


class Cipher(Protocol):
    """Encrypts what must be read again."""

    def encrypt(self, text: str) -> str:
        """Encrypt with the current key."""

    def decrypt(self, text: str) -> str:
        """Decrypt with whichever key of the ring it was.

        Raises:
            JobError: None of them did it.
        """


class OneTimeCodes(Protocol):
    """Time-based one-time codes (RFC 6238)."""

    def secret(self) -> str:
        """A new secret in base32."""

    def uri(self, secret: str, username: str) -> str:
        """The `otpauth://` address of it."""

    def qr(self, uri: str) -> str:
        """A picture of it as SVG text."""

    def step(self, secret: str, code: str, now: datetime) -> int | None:
        """Number of the 30-second step to which the code belongs, one around now; None for a wrong code."""


class FailureLimiter(Protocol):
    """Counts failed sign-ins by subject, such as `address:203.0.113.9` and `account:anna`.

    Processes that share a Valkey share the counts.
    """

    async def wait(self, subject: str) -> float:
        """Seconds until the next attempt may be looked at; 0 when it may be now."""

    async def hit(self, subject: str) -> bool:
        """Count one failure; True when it was the last one that was free, so that `wait` is above 0 now."""

    async def clear(self, subject: str) -> None:
        """Forget the failures of a subject."""


class AuditSink(Protocol):
    """Takes audit records besides the database."""

    def write(self, record: AuditRecord) -> None:
        """Hand one over; called in a thread, in the order of the chain of this process.

        Raises:
            JobError: It could not be written; the record is in the database nevertheless.
        """
