"""Requests and responses of `/api/v1/auth`, `people`, `roles`, `permissions`, `keys` and `audit`.

Secrets go one way: a password, a code or a token that was sent is never sent back, and a token or key that
Dozor makes is in one answer, once. Tokens are sent as `Authorization: Bearer` (RFC 6750).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from dozor.wire.base import Instant, Request, Wire

Language = Literal["en", "ru"]
"""A language that Dozor speaks."""

SessionKind = Literal["api", "console"]
"""What a session signs in: programs by tokens, or a browser to the console."""

PrincipalKind = Literal["person", "key"]

Result = Literal["ok", "refused", "failed"]
"""How an audited action ended: `refused` was not allowed, `failed` was tried in vain."""

ActorKind = Literal["person", "key", "local", "anonymous"]
"""Who did something: `local` is the command line of this machine."""

MAX_AUDIT = 1_000

Name = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=64, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?$"
    ),
]
"""A name of a person: letters, digits and `. _ @ + -`, which stand neither first nor last."""

RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
"""A name of a role: lower-case letters, digits and `-`, the first a letter."""

Printable = StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$")
"""No control characters: such texts come to logs and terminals."""

Given = Annotated[str, StringConstraints(max_length=1_024)]
"""A word that is compared, never kept: anything may come."""

NewPassword = Annotated[str, StringConstraints(max_length=1_024)]
"""A password to be set: the server says in words which are too short, and refuses well-known ones."""

PermissionName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=64, pattern=r"^(\*|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?)$"
    ),
]
"""A permission (`traffic.read`), all below a name (`bots.*`), or all (`*`)."""


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


_SIGNED = {"id": "p_7Jv0b2", "username": "anna"}


class CookieQuery(Request):
    """How a login is kept."""

    cookies: bool = Field(
        default=False,
        description="Set the tokens as cookies in place of telling them; writes then need `X-CSRF-Token`.",
    )
    console: bool = Field(
        default=False, description="Set the console's session cookie in place of telling tokens."
    )


# Signing in


class Login(Request):
    """Who signs in."""

    model_config = _example(username="anna", password="correct horse battery staple", totp="492039")  # noqa: S106

    username: Given = Field(description="Name of the person.")
    password: Given = Field(description="The password.", json_schema_extra={"format": "password"})
    totp: Given | None = Field(
        None, description="Code of the second factor (RFC 6238), or one of the recovery codes."
    )


class Setup(Request):
    """The first person, who owns this Dozor."""

    model_config = _example(
        token="k3J9-the-part-after-the-hash-of-the-link",  # noqa: S106
        username="anna",
        password="correct horse battery staple",  # noqa: S106
    )

    token: Given = Field(description="The part after `#` of the link that Dozor printed when it started.")
    username: Name = Field(description="Name of the owner.")
    password: NewPassword = Field(description="The password.", json_schema_extra={"format": "password"})
    language: Language | None = Field(None, description="Language of texts for the owner.")


class Refresh(Request):
    """A renewal of tokens; empty when the refresh token is in its cookie."""

    model_config = _example(refresh_token="dzr_6tQm...")  # noqa: S106

    refresh_token: Given | None = Field(
        None, description="The refresh token; without it the one of the cookie is taken."
    )


class Tokens(Wire):
    """What a program signs in with from now on."""

    model_config = _example(
        access_token="eyJhbGciOiJIUzI1NiIsImtpZCI6...",  # noqa: S106
        refresh_token="dzr_6tQm...",  # noqa: S106
        token_type="Bearer",  # noqa: S106
        expires_in=1800,
        refresh_expires_in=2592000,
    )

    access_token: str = Field(description="Goes into `Authorization: Bearer` (RFC 6750).")
    refresh_token: str = Field(description="Makes the next pair of tokens, once.")
    token_type: Literal["Bearer"] = Field("Bearer", description="What to write before the access token.")
    expires_in: int = Field(description="Seconds for which the access token is good.")
    refresh_expires_in: int = Field(description="Seconds for which the refresh token is good.")


class SignedIn(Wire):
    """What a browser is told when its tokens are cookies."""

    model_config = _example(csrf_token="q1Zk...", expires_in=1800)  # noqa: S106

    csrf_token: str = Field(description="Goes into `X-CSRF-Token` of each call that changes something.")
    expires_in: int = Field(description="Seconds for which the cookie is good.")


class Me(Wire):
    """Who asks, and what they may do."""

    model_config = _example(
        **_SIGNED,
        display_name="Anna",
        kind="person",
        role="admin",
        permissions=["*"],
        language="en",
        is_owner=True,
        totp_enabled=True,
        recovery_codes_left=10,
        session_id="s_91hd",
        key_id=None,
        csrf_token=None,
    )

    id: str = Field(description="Id of the person; of a key, of the person whose key it is.")
    username: str = Field(description="Name of the person, or of the key.")
    display_name: str = Field("", description="Name as it is shown.")
    kind: PrincipalKind = Field(description="Whether a person asks or an API key.")
    role: str = Field(description="Role, by name; empty for a key with permissions of its own.")
    permissions: tuple[str, ...] = Field(description="What they may do; `*` is all.")
    language: Language | None = Field(None, description="Language of texts; without it the browser's.")
    is_owner: bool = Field(default=False, description="Whether it is the owner, who cannot be shut out.")
    totp_enabled: bool = Field(default=False, description="Whether a second factor is asked for.")
    recovery_codes_left: int = Field(0, description="Recovery codes that were not used.")
    session_id: str | None = Field(None, description="Id of the session that asks; null for a key.")
    key_id: str | None = Field(None, description="Id of the key that asks; null for a session.")
    csrf_token: str | None = Field(
        None, description="Goes into `X-CSRF-Token`; null when no cookie signs this call in."
    )


class MeChange(Request):
    """What people may change about themselves; what is left out stays."""

    model_config = _example(language="ru", display_name="Анна")

    language: Language | None = Field(None, description="Language of texts.")
    display_name: Annotated[str, StringConstraints(max_length=80), Printable] | None = Field(
        None, description="Name as it is shown."
    )


class PasswordChange(Request):
    """A new password; all other sessions of the person end."""

    model_config = _example(current="correct horse battery staple", new="four quite different words here")

    current: Given = Field(description="The password so far.", json_schema_extra={"format": "password"})
    new: NewPassword = Field(description="The new password.", json_schema_extra={"format": "password"})


class PasswordCheck(Request):
    """The person's password once more, for what an open browser alone must not do."""

    model_config = _example(password="correct horse battery staple")  # noqa: S106

    password: Given = Field(description="The password.", json_schema_extra={"format": "password"})


class TotpEnrolment(Wire):
    """A second factor that counts once a code of it was confirmed."""

    model_config = _example(
        secret="JBSWY3DPEHPK3PXP",  # noqa: S106
        uri="otpauth://totp/Dozor:anna?secret=JBSWY3DPEHPK3PXP&issuer=Dozor",
        qr="data:image/svg+xml;base64,PHN2ZyB4bWxucz0i...",
    )

    secret: str = Field(description="The shared secret in Base32, for typing.")
    uri: str = Field(description="The same as an `otpauth:` address.")
    qr: str = Field(description="The address as a QR code: an SVG image as a `data:` address.")


class TotpCode(Request):
    """A code of the authenticator."""

    model_config = _example(code="492039")

    code: Given = Field(description="Six digits (RFC 6238).")


class RecoveryCodes(Wire):
    """Codes that stand for the second factor, each once; they are told this once."""

    model_config = _example(recovery_codes=["k7m2-9xqp", "w4ht-2bnc"])

    recovery_codes: tuple[str, ...] = Field(description="Keep them where the authenticator is not.")


# Sessions and keys


class Session(Wire):
    """A login that is good."""

    model_config = _example(
        id="s_91hd",
        kind="console",
        created="2026-11-25T08:30:00.000Z",
        last_seen="2026-11-25T09:12:41.000Z",
        expires="2026-12-25T08:30:00.000Z",
        address="203.0.113.7",
        agent="Firefox 142 on Linux",
        current=True,
    )

    id: str = Field(description="Its id; not a secret.")
    kind: SessionKind = Field(description="`api` for tokens, `console` for a browser.")
    created: Instant = Field(description="When it began.")
    last_seen: Instant = Field(description="When it was last used, to a minute.")
    expires: Instant = Field(description="When it ends by itself.")
    address: str = Field(description="Address it was last used from.")
    agent: str = Field("", description="What it was last used with.")
    current: bool = Field(default=False, description="Whether this call belongs to it.")


class Sessions(Wire):
    """Sessions, the latest used first."""

    items: tuple[Session, ...]


class Key(Wire):
    """An API key; its secret part was told once."""

    model_config = _example(
        id="5d0f8a21",
        name="grafana",
        person_id="p_7Jv0b2",
        username="anna",
        role="viewer",
        scopes=["traffic.read"],
        created="2026-11-25T08:30:00.000Z",
        expires="2026-12-25T08:30:00.000Z",
        last_used=None,
    )

    id: str = Field(description="Its id, which is also the middle of the key.")
    name: str = Field(description="What it is for.")
    person_id: str | None = Field(
        None, description="Id of the person whose key it is; null for one of the command line."
    )
    username: str = Field("", description="Name of that person.")
    role: str = Field(description="The role that bounds it, by name.")
    scopes: tuple[str, ...] = Field((), description="What it is narrowed down to; empty for all of the role.")
    created: Instant = Field(description="When it was made.")
    expires: Instant | None = Field(None, description="When it ends by itself; null for never.")
    last_used: Instant | None = Field(None, description="When it was last used, to a minute.")


class Keys(Wire):
    """API keys, the newest first."""

    items: tuple[Key, ...]


class KeysQuery(Request):
    """Whose keys."""

    all: bool = Field(default=False, description="Keys of all people; needs `keys.read`.")


class NewKey(Request):
    """An API key to make. It never does more than its person may at the time."""

    model_config = _example(name="grafana", role="viewer", expires_in_days=30)

    name: Annotated[str, StringConstraints(min_length=1, max_length=80), Printable] = Field(
        description="What it is for."
    )
    role: RoleName | None = Field(None, description="The role that bounds it; yours without it.")
    scopes: Annotated[tuple[PermissionName, ...], Field(max_length=100)] = Field(
        (), description="What it is narrowed down to; all of the role without it."
    )
    expires_in_days: int | None = Field(
        None, ge=1, le=3_650, description="Days after which it ends by itself; never without it."
    )


class KeyCreated(Wire):
    """A new API key: the one time that it is told."""

    model_config = _example(id="5d0f8a21", key="dz_5d0f8a21_Xb9v...")

    id: str = Field(description="Its id, for calling it back.")
    key: str = Field(description="The key; goes into `Authorization: Bearer`.")


# People and roles


class Person(Wire):
    """Somebody who may sign in."""

    model_config = _example(
        **_SIGNED,
        display_name="Anna",
        role="admin",
        language="en",
        is_owner=True,
        disabled=False,
        locked=False,
        totp_enabled=True,
        created="2026-11-25T08:30:00.000Z",
        last_login="2026-11-25T09:12:41.000Z",
    )

    id: str
    username: str
    display_name: str = ""
    role: str = Field(description="Role, by name.")
    language: Language | None = Field(None, description="Language of texts; without it the browser's.")
    is_owner: bool = Field(default=False, description="Whether it is the owner, who cannot be shut out.")
    disabled: bool = Field(default=False, description="Whether they are kept from signing in.")
    locked: bool = Field(default=False, description="Whether logins are refused now, after failed ones.")
    totp_enabled: bool = Field(default=False, description="Whether a second factor is asked for.")
    created: Instant
    last_login: Instant | None = None


class People(Wire):
    """All people, by name."""

    items: tuple[Person, ...]


class NewPerson(Request):
    """Somebody who shall be able to sign in."""

    model_config = _example(
        username="boris",
        password="correct horse battery staple",  # noqa: S106
        role="operator",
        display_name="Борис",
    )

    username: Name = Field(description="Name to sign in with; it stays.")
    password: NewPassword = Field(description="First password.", json_schema_extra={"format": "password"})
    role: RoleName = Field(description="Role, by name.")
    display_name: Annotated[str, StringConstraints(max_length=80), Printable] = Field(
        "", description="Name as it is shown."
    )
    language: Language | None = Field(None, description="Language of texts.")


class PersonChange(Request):
    """What changes about a person; what is left out stays."""

    model_config = _example(role="viewer", disabled=False)

    role: RoleName | None = Field(None, description="Role, by name.")
    display_name: Annotated[str, StringConstraints(max_length=80), Printable] | None = Field(
        None, description="Name as it is shown."
    )
    language: Language | None = Field(None, description="Language of texts.")
    disabled: bool | None = Field(None, description="Whether they are kept from signing in.")
    password: NewPassword | None = Field(
        None,
        description="A new password; all their sessions end.",
        json_schema_extra={"format": "password"},
    )
    reset_totp: bool = Field(
        default=False, description="Take the second factor away, such as after a lost phone."
    )


class Role(Wire):
    """A named set of permissions."""

    model_config = _example(
        name="operator",
        description="Starts and stops bots, looks at data.",
        permissions=["bots.read", "bots.start", "bots.stop"],
        builtin=True,
        people=2,
    )

    name: str
    description: str = ""
    permissions: tuple[str, ...]
    builtin: bool = Field(default=False, description="Whether it comes with Dozor and stays as it is.")
    people: int = Field(0, description="How many people have it.")


class Roles(Wire):
    """All roles, those that come with Dozor first."""

    items: tuple[Role, ...]


class NewRole(Request):
    """A role to make."""

    model_config = _example(name="analyst", description="Looks at traffic.", permissions=["traffic.read"])

    name: RoleName
    description: Annotated[str, StringConstraints(max_length=200), Printable] = ""
    permissions: Annotated[tuple[PermissionName, ...], Field(max_length=100)]


class RoleChange(Request):
    """What changes about a role; what is left out stays."""

    model_config = _example(permissions=["traffic.read", "system.status"])

    description: Annotated[str, StringConstraints(max_length=200), Printable] | None = None
    permissions: Annotated[tuple[PermissionName, ...], Field(max_length=100)] | None = None


class Permission(Wire):
    """Something that people may be allowed."""

    model_config = _example(name="traffic.read", description="Look at web traffic.")

    name: str
    description: str = Field(description="In the language of `Accept-Language`.")


class Permissions(Wire):
    """All permissions, by name."""

    items: tuple[Permission, ...]


# Audit trail


class AuditFilter(Request):
    """Which records."""

    since: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        None,
        description="First moment, inclusive: ISO 8601 (UTC without a zone), or `30m`, `24h`, `7d` ago.",
        examples=["24h", "2026-11-22T10:00"],
    )
    until: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        None, description="Moment after the last, exclusive; written like `since`.", examples=["30m"]
    )
    event: Annotated[str, StringConstraints(max_length=64), Printable] | None = Field(
        None, description="Kind of event.", examples=["login_attempt"]
    )
    action: Annotated[str, StringConstraints(max_length=64), Printable] | None = Field(
        None, description="What was done.", examples=["person.create"]
    )
    person: Annotated[str, StringConstraints(max_length=128), Printable] | None = Field(
        None, description="Name of who did it, without case.", examples=["anna"]
    )
    address: Annotated[str, StringConstraints(max_length=64), Printable] | None = Field(
        None, description="Address it came from.", examples=["203.0.113.7"]
    )
    result: Result | None = Field(None, description="How it ended.")


class AuditQuery(AuditFilter):
    """A page of records."""

    limit: int = Field(100, ge=1, le=MAX_AUDIT, description="Records at the most.")
    cursor: int | None = Field(None, ge=1, le=2**53, description="`next` of the page before.")
    format: Literal["json", "jsonl", "csv"] = Field(
        "json", description="A page, or all records as JSON lines or CSV; the newest first."
    )


class AuditRecord(Wire):
    """One thing that was done, tried or refused."""

    model_config = _example(
        number=4812,
        time="2026-11-25T09:12:41.120Z",
        event="sensitive_operation",
        action="people.change",
        result="ok",
        actor="anna",
        actor_id="p_7Jv0b2",
        actor_kind="person",
        target="boris",
        address="203.0.113.7",
        agent="Firefox 142 on Linux",
        count=1,
        details={"role": "operator"},
        hash="9f2c",
    )

    number: int = Field(description="Its place in the chain, from 1.")
    time: Instant = Field(description="When.")
    event: str = Field(description="Kind: `login_attempt`, `permission_denied`, `sensitive_operation`, …")
    action: str = Field(description="What was done, by its dotted name, or method and path.")
    result: Result = Field(description="How it ended.")
    actor: str = Field("", description="Name of who did it, or the name that was tried.")
    actor_id: str = Field("", description="Id of that person or key.")
    actor_kind: ActorKind = Field(description="Who did it.")
    target: str = Field("", description="What it was done to.")
    address: str = Field("", description="Where it came from; `local` for this machine's command line.")
    agent: str = Field("", description="What it was done with.")
    count: int = Field(1, description="How many alike this record stands for.")
    details: dict[str, str] = Field(default_factory=dict, description="Further facts, without secrets.")
    hash: str = Field(description="SHA-256 over this record and the hash of the one before.")


class AuditPage(Wire):
    """Records, the newest first."""

    items: tuple[AuditRecord, ...]
    next: int | None = Field(None, description="`cursor` of the next page; null on the last.")


class AuditProof(Wire):
    """Whether the chain of records is whole."""

    model_config = _example(whole=True, records=4812, first_broken=None, reason="")

    whole: bool = Field(description="Whether no record was changed, taken out or put in.")
    records: int = Field(description="How many were looked at.")
    first_broken: int | None = Field(None, description="Number of the first record that does not fit.")
    reason: str = Field("", description="What does not fit.")
