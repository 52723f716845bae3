"""The words of access: people, roles, sessions, keys, audit records, and the failures of them.

AccessError                     every refusal and failure of access; carries its status and problem type
  NotAuthenticatedError         401  not-authenticated: no valid token, session or key
    InvalidTokenError           401  invalid-token: malformed, forged, expired or revoked
      TokenReuseError           401  token-reused: a refresh token came twice; its family is dead
    InvalidCredentialsError     401  invalid-credentials: name, password or code is wrong
    TotpRequiredError           401  totp-required: the password is right, the second factor is missing
  LockedOutError                429  too-many-attempts, with the seconds to wait
  ForbiddenError                403  forbidden
  MissingError                  404  not-found
  ConflictError                 409  conflict
  InvalidValueError             422  invalid-parameter, with the field's name
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal

from dozor.kernel.errors import DozorError, UsageError
from dozor.kernel.i18n import N_

ADMIN = "admin"
OPERATOR = "operator"
VIEWER = "viewer"

PERMISSIONS: Mapping[str, str] = {
    "traffic.read": N_("See web traffic, its attacks and the queries that run."),
    "system.status": N_("See whether the system works, and its figures."),
    "bots.read": N_("See bots."),
    "bots.start": N_("Start bots."),
    "bots.stop": N_("Stop bots."),
    "conversations.read": N_("Read conversations of bots."),
    "people.read": N_("See people and their roles."),
    "people.write": N_("Add, change and remove people, and unlock them."),
    "roles.write": N_("Add, change and remove roles."),
    "sessions.read": N_("See sessions of other people."),
    "sessions.write": N_("End sessions of other people."),
    "keys.read": N_("See API keys of other people."),
    "keys.write": N_("Revoke API keys of other people, and make keys that belong to nobody."),
    "audit.read": N_("Read, check and export the audit trail."),
}
"""Every permission that exists and what it allows, in English (the message id)."""

Kind = Literal["person", "key"]
SessionKind = Literal["api", "console"]
Result = Literal["ok", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of permissions.

    Args:
        name: Lower-case letters, digits and `-`.
        permissions: Dotted names; `*` is everything, `bots.*` everything below `bots`.
        description: What it is for; of a built-in role the English message id.
        builtin: It cannot be changed or removed.
    """

    name: str
    permissions: tuple[str, ...]
    description: str = ""
    builtin: bool = False


_SEEING = ("bots.read", "conversations.read", "system.status", "traffic.read")

BUILTIN_ROLES: Mapping[str, Role] = {
    ADMIN: Role(ADMIN, ("*",), N_("May do everything."), builtin=True),
    OPERATOR: Role(
        OPERATOR,
        tuple(sorted((*_SEEING, "bots.start", "bots.stop"))),
        N_("Runs bots and sees the data."),
        builtin=True,
    ),
    VIEWER: Role(VIEWER, _SEEING, N_("Only looks at data."), builtin=True),
}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in; nothing here is secret.

    Args:
        id: Never changes.
        username: As it was written; compared without case.
        display_name: How pages call the person; may be empty.
        role: Name of a role.
        is_owner: The first one: cannot be removed, disabled or demoted.
        is_active: May sign in.
        language: `en`, `ru`, or empty for what the caller asks for.
        has_totp: A second factor is set up.
        created: When the person was added.
        last_login: The last successful sign-in.
        password_changed: When the password was set.
    """

    id: str
    username: str
    role: str
    created: datetime
    password_changed: datetime
    display_name: str = ""
    is_owner: bool = False
    is_active: bool = True
    language: str = ""
    has_totp: bool = False
    last_login: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves that somebody is that person; never leaves the services.

    Args:
        password: Hash, with its kind as prefix.
        totp: Secret of the second factor, encrypted; empty without one.
        totp_pending: The same of one that is not confirmed yet.
        totp_step: Number of the last 30-second step whose code was taken; it and older ones are void.
    """

    password: str
    totp: str = ""
    totp_pending: str = ""
    totp_step: int = 0


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a call, and what they may do.

    Args:
        person_id: The person; None for a key that belongs to nobody.
        username: The person's, or the key's name.
        kind: `person` or `key`.
        role: Name of the role.
        permissions: What the role allows; of a key no more than its scopes and its person's role.
        session_id: The session, for a person.
        key_id: The key, for a key.
        session_kind: `api` or `console`, for a person.
        language: The person's choice, or empty.
        is_owner: It is the owner's session.
    """

    person_id: str | None
    username: str
    kind: Kind
    role: str
    permissions: tuple[str, ...]
    session_id: str | None = None
    key_id: str | None = None
    session_kind: SessionKind | None = None
    language: str = ""
    is_owner: bool = False

    def can(self, permission: str) -> bool:
        """Tell whether this permission is among theirs, by `*` or `prefix.*` too."""
        return allows(self.permissions, permission)


def allows(granted: tuple[str, ...], permission: str) -> bool:
    """Tell whether `granted` holds `permission`: by name, by `*`, or by a `prefix.*` above it.

    `bots.*` allows `bots.read` and `bots.logs.read`, not `bots` and not `botsmith.read`. A permission that
    is itself a pattern is allowed only by one that is as wide.
    """
    if permission in granted or "*" in granted:
        return True
    return any(rule.endswith(".*") and permission.startswith(rule[:-1]) for rule in granted)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call comes from.

    Args:
        address: The real client's, in normal form; `local` for the command line.
        agent: `User-Agent`, as it came.
    """

    address: str
    agent: str = ""


LOCAL = Origin("local")
"""The command line on this machine."""

COMMAND_LINE = Principal(None, "local", "person", ADMIN, ("*",))
"""Whoever may use the state's files: the rescue, which may do everything."""


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in of one person: an API session is a family of refresh tokens, a console one a cookie.

    Args:
        id: Names it to people; no secret.
        person_id: Whose.
        kind: `api` or `console`.
        created: When it began.
        seen: The last use, to the minute.
        expires: When it ends by itself.
        address: Where it began.
        agent: `User-Agent` at its begin.
    """

    id: str
    person_id: str
    kind: SessionKind
    created: datetime
    seen: datetime
    expires: datetime
    address: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret.

    Args:
        id: Names it to people, and stands in the key itself.
        name: What it is for.
        role: The role that bounds it.
        scopes: Permissions that it is narrowed down to; empty for all of the role.
        person_id: Whose; None for one made on the command line, which belongs to nobody.
        created: When it was made.
        expires: When it ends; None never.
        seen: The last use, to the minute.
    """

    id: str
    name: str
    role: str
    created: datetime
    scopes: tuple[str, ...] = ()
    person_id: str | None = None
    expires: datetime | None = None
    seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """What a sign-in or a refresh gives.

    Args:
        person: Who signed in.
        session: The session.
        access_token: JSON web token; empty for the console.
        refresh_token: Opaque; empty for the console.
        console_token: Value of the console's cookie; empty for the API.
        expires_in: Seconds until the access token, or the console session, ends.
    """

    person: Person
    session: Session
    expires_in: int
    access_token: str = ""
    refresh_token: str = ""
    console_token: str = ""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A second factor that waits for its first code.

    Args:
        secret: Base32, for typing.
        uri: `otpauth://…`, for the picture.
        qr: The picture as SVG text.
    """

    secret: str
    uri: str
    qr: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says (RFC 7519): person, session, begin and end in seconds."""

    person_id: str
    session_id: str
    issued: int
    expires: int


class Event(StrEnum):
    """Kinds of audit records; the first four are those of the earlier systems, by name."""

    LOGIN_ATTEMPT = "login_attempt"
    PERMISSION_DENIED = "permission_denied"
    SENSITIVE_OPERATION = "sensitive_operation"
    IP_BLOCKED = "ip_blocked"
    ACCOUNT_LOCKED = "account_locked"
    TOKEN_REUSE = "token_reuse"  # noqa: S105 - a name
    RATE_LIMITED = "rate_limited"
    LOGOUT = "logout"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to be recorded: who did what, on what, from where, and how it went.

    Args:
        event: Its kind.
        action: Dotted name of what was done: `auth.login`, `people.create`, `GET /api/v1/people`.
        result: `ok`, `refused` or `failed`.
        actor: Name of who did it; empty for the anonymous.
        actor_id: Person or key; empty for the anonymous and the command line.
        actor_kind: `person`, `key`, `local` (the command line) or `anonymous`.
        target: What it was done on: a person's name, a key's id, a path.
        address: Where from; `local` for the command line.
        agent: `User-Agent`, cut to 200 characters.
        count: How many alike this one stands for.
        details: Further facts; never a secret.
    """

    event: Event
    action: str
    result: Result = "ok"
    actor: str = ""
    actor_id: str = ""
    actor_kind: Literal["person", "key", "local", "anonymous"] = "anonymous"
    target: str = ""
    address: str = ""
    agent: str = ""
    count: int = 1
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One link of the chain.

    Args:
        number: 1, 2, 3 and on, without a gap.
        at: When it was recorded (UTC, to the microsecond).
        entry: What happened.
        previous: Hash of the record before; 64 zeros for the first.
        hash: SHA-256 over all the above (`core.chain.digest`), in hex.
    """

    number: int
    at: datetime
    entry: Entry
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records; what is None or empty does not matter.

    Args:
        since: At this time or later.
        until: Before this time.
        event: Kind, by name.
        action: Exactly, or `people.*`.
        actor: Name of who did it, without case.
        address: Where from, exactly.
        result: `ok`, `refused` or `failed`.
    """

    since: datetime | None = None
    until: datetime | None = None
    event: str = ""
    action: str = ""
    actor: str = ""
    address: str = ""
    result: str = ""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Records from the newest to the oldest; `following` is the cursor of the next page, None at the end."""

    records: tuple[AuditRecord, ...]
    following: int | None = None


@dataclass(frozen=True, slots=True)
class ChainState:
    """What checking the chain found.

    Args:
        records: How many were checked.
        broken: Number of the first record that does not fit; None when all is well.
        reason: What is wrong with it, already translated.
    """

    records: int
    broken: int | None = None
    reason: str = ""


class AccessError(DozorError):
    """A refusal or failure of access."""

    status: ClassVar[int] = 400
    problem: ClassVar[str] = "bad-request"


class NotAuthenticatedError(AccessError):
    """The call carries nothing valid that says who makes it."""

    status = 401
    problem = "not-authenticated"


class InvalidTokenError(NotAuthenticatedError):
    """A token, cookie or key is malformed, forged, expired or revoked; the text does not say which."""

    problem = "invalid-token"


class TokenReuseError(InvalidTokenError):
    """A refresh token came twice: somebody holds a copy, so its family was ended (RFC 9700, 4.14.2)."""

    problem = "token-reused"


class InvalidCredentialsError(NotAuthenticatedError):
    """Name, password or code is wrong; the text is the same whichever it is (OWASP ASVS 2.2)."""

    problem = "invalid-credentials"


class TotpRequiredError(NotAuthenticatedError):
    """The password is right and a code of the second factor is needed as well."""

    problem = "totp-required"


class LockedOutError(AccessError):
    """Too many failed attempts from this address or for this account (RFC 6585, 429).

    Args:
        retry_after: Seconds until an attempt is looked at again.
    """

    status = 429
    problem = "too-many-attempts"

    def __init__(self, message: str, *, retry_after: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class ForbiddenError(AccessError):
    """Known, but not allowed to do this.

    Args:
        permission: The one that is missing; empty where it is another rule, such as the owner's.
    """

    status = 403
    problem = "forbidden"

    def __init__(self, message: str, *, permission: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.permission = permission


class MissingError(AccessError):
    """There is no such person, role, session or key, or not any more."""

    status = 404
    problem = "not-found"


class ConflictError(AccessError):
    """It contradicts what is there: a name that is taken, a role in use, an owner that exists."""

    status = 409
    problem = "conflict"


class InvalidValueError(AccessError, UsageError):
    """A value cannot be used.

    Args:
        field: Which one.
    """

    status = 422
    problem = "invalid-parameter"

    def __init__(self, message: str, *, field: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field
