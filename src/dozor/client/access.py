"""People, roles, sessions, keys, audit trail. Every method raises `ApiError` (`dozor.client.errors`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar, cast
from urllib.parse import quote

from dozor.client.connection import Connection
from dozor.wire import access as wire
from dozor.wire.access import Language, Result
from dozor.wire.base import Request

Sent = TypeVar("Sent", bound=Request)

_ROOT = "/api/v1"
_AUTH = f"{_ROOT}/auth"
_MEDIA_TYPES = {"jsonl": "application/jsonl", "csv": "text/csv"}


class Access:
    """Calls about people and what they may do; those about oneself need no permission."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # Oneself

    def login(self, username: str, password: str, totp: str | None = None) -> wire.Tokens:
        """Tokens of a new login; they are the caller's to keep (`Client(tokens=...)` does it by itself).

        Args:
            username: Who signs in.
            password: Their password.
            totp: A code of their second factor, or a recovery code; without it `TotpRequired` tells to ask.
        """
        body = _sent(wire.Login, username=username, password=password, totp=totp)
        return self._connection.send("POST", f"{_AUTH}/login", wire.Tokens, body)

    def me(self) -> wire.Me:
        """Who calls, and what they may do."""
        return self._connection.get(f"{_AUTH}/me", wire.Me)

    def change_me(self, *, language: Language | None = None, display_name: str | None = None) -> wire.Me:
        """Change one's language or shown name; what is None stays."""
        body = _sent(wire.MeChange, language=language, display_name=display_name)
        return self._connection.send("PATCH", f"{_AUTH}/me", wire.Me, body)

    def change_password(self, current: str, new: str) -> None:
        """Change one's password; all other sessions end."""
        self._connection.tell(
            "POST", f"{_AUTH}/password", _sent(wire.PasswordChange, current=current, new=new)
        )

    def logout(self) -> None:
        """End the session that calls."""
        self._connection.tell("POST", f"{_AUTH}/logout")

    def begin_totp(self) -> wire.TotpEnrolment:
        """A new second factor, which counts once it is confirmed."""
        return self._connection.send("POST", f"{_AUTH}/totp", wire.TotpEnrolment)

    def confirm_totp(self, code: str) -> tuple[str, ...]:
        """Confirm it by its first code; the recovery codes are told this once."""
        body = _sent(wire.TotpCode, code=code)
        answer = self._connection.send("POST", f"{_AUTH}/totp/confirm", wire.RecoveryCodes, body)
        return answer.recovery_codes

    def remove_totp(self, password: str) -> None:
        """Take one's second factor away."""
        self._connection.tell("DELETE", f"{_AUTH}/totp", _sent(wire.PasswordCheck, password=password))

    def new_recovery_codes(self, password: str) -> tuple[str, ...]:
        """New recovery codes; those so far are void."""
        body = _sent(wire.PasswordCheck, password=password)
        answer = self._connection.send("POST", f"{_AUTH}/recovery-codes", wire.RecoveryCodes, body)
        return answer.recovery_codes

    def sessions(self) -> tuple[wire.Session, ...]:
        """One's own sessions."""
        return self._connection.get(f"{_AUTH}/sessions", wire.Sessions).items

    def end_session(self, id: str) -> None:  # noqa: A002 - the field's name
        """End one of one's own sessions."""
        self._connection.delete(f"{_AUTH}/sessions/{_segment(id)}")

    def end_other_sessions(self) -> None:
        """End all of one's own sessions but the one that calls."""
        self._connection.delete(f"{_AUTH}/sessions")

    # Keys

    def keys(self, *, all: bool = False) -> tuple[wire.Key, ...]:  # noqa: A002 - the parameter's name
        """One's own API keys; with `all` those of everybody, which needs `keys.read`."""
        query = _sent(wire.KeysQuery, all=True) if all else None
        return self._connection.get(f"{_ROOT}/keys", wire.Keys, query).items

    def create_key(
        self,
        name: str,
        *,
        role: str | None = None,
        scopes: Sequence[str] = (),
        expires_in_days: int | None = None,
    ) -> wire.KeyCreated:
        """Make an API key, bounded by a role (one's own without it) and by scopes; it is told this once."""
        body = _sent(
            wire.NewKey,
            name=name,
            role=role,
            scopes=tuple(scopes) or None,
            expires_in_days=expires_in_days,
        )
        return self._connection.send("POST", f"{_ROOT}/keys", wire.KeyCreated, body)

    def revoke_key(self, id: str) -> None:  # noqa: A002
        """Call an API key back; another person's needs `keys.write`."""
        self._connection.delete(f"{_ROOT}/keys/{_segment(id)}")

    # People

    def people(self) -> tuple[wire.Person, ...]:
        """All people; needs `people.read`."""
        return self._connection.get(f"{_ROOT}/people", wire.People).items

    def person(self, id: str) -> wire.Person:  # noqa: A002
        """One of them; needs `people.read`."""
        return self._connection.get(f"{_ROOT}/people/{_segment(id)}", wire.Person)

    def add_person(
        self,
        username: str,
        password: str,
        role: str,
        *,
        display_name: str | None = None,
        language: Language | None = None,
    ) -> wire.Person:
        """Add somebody; needs `people.write`."""
        body = _sent(
            wire.NewPerson,
            username=username,
            password=password,
            role=role,
            display_name=display_name,
            language=language,
        )
        return self._connection.send("POST", f"{_ROOT}/people", wire.Person, body)

    def change_person(
        self,
        id: str,  # noqa: A002
        *,
        role: str | None = None,
        display_name: str | None = None,
        language: Language | None = None,
        disabled: bool | None = None,
        password: str | None = None,
        reset_totp: bool = False,
    ) -> wire.Person:
        """Change somebody; what is None stays. Needs `people.write`."""
        body = _sent(
            wire.PersonChange,
            role=role,
            display_name=display_name,
            language=language,
            disabled=disabled,
            password=password,
            reset_totp=reset_totp or None,
        )
        return self._connection.send("PATCH", f"{_ROOT}/people/{_segment(id)}", wire.Person, body)

    def remove_person(self, id: str) -> None:  # noqa: A002
        """Remove somebody with their sessions and keys; needs `people.write`."""
        self._connection.delete(f"{_ROOT}/people/{_segment(id)}")

    def unlock_person(self, id: str) -> None:  # noqa: A002
        """Forget somebody's failed logins; needs `people.write`."""
        self._connection.tell("POST", f"{_ROOT}/people/{_segment(id)}/unlock")

    def sessions_of(self, id: str) -> tuple[wire.Session, ...]:  # noqa: A002
        """Somebody's sessions; needs `sessions.read`."""
        return self._connection.get(f"{_ROOT}/people/{_segment(id)}/sessions", wire.Sessions).items

    def end_sessions_of(self, id: str, session: str | None = None) -> None:  # noqa: A002
        """End one or all of somebody's sessions; needs `sessions.write`."""
        path = f"{_ROOT}/people/{_segment(id)}/sessions"
        self._connection.delete(f"{path}/{_segment(session)}" if session else path)

    # Roles

    def roles(self) -> tuple[wire.Role, ...]:
        """All roles."""
        return self._connection.get(f"{_ROOT}/roles", wire.Roles).items

    def add_role(self, name: str, permissions: Sequence[str], *, description: str = "") -> wire.Role:
        """Add a role; needs `roles.write`."""
        body = _sent(wire.NewRole, name=name, permissions=tuple(permissions), description=description)
        return self._connection.send("POST", f"{_ROOT}/roles", wire.Role, body)

    def change_role(
        self, name: str, *, permissions: Sequence[str] | None = None, description: str | None = None
    ) -> wire.Role:
        """Change a role; what is None stays. Needs `roles.write`."""
        body = _sent(
            wire.RoleChange,
            permissions=None if permissions is None else tuple(permissions),
            description=description,
        )
        return self._connection.send("PATCH", f"{_ROOT}/roles/{_segment(name)}", wire.Role, body)

    def remove_role(self, name: str) -> None:
        """Remove a role that nobody has; needs `roles.write`."""
        self._connection.delete(f"{_ROOT}/roles/{_segment(name)}")

    def permissions(self) -> tuple[wire.Permission, ...]:
        """All permissions that there are."""
        return self._connection.get(f"{_ROOT}/permissions", wire.Permissions).items

    # Audit trail

    def audit(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        event: str | None = None,
        action: str | None = None,
        person: str | None = None,
        address: str | None = None,
        result: Result | None = None,
        limit: int = 100,
        cursor: int | None = None,
    ) -> wire.AuditPage:
        """A page of the audit trail, the newest first; `cursor` is `next` of the page before.

        Needs `audit.read`.
        """
        query = _sent(
            wire.AuditQuery,
            limit=limit,
            since=since,
            until=until,
            event=event,
            action=action,
            person=person,
            address=address,
            result=result,
            cursor=cursor,
        )
        return self._connection.get(f"{_ROOT}/audit", wire.AuditPage, query)

    def audit_export(
        self,
        format: Literal["jsonl", "csv"] = "jsonl",
        *,
        since: str | None = None,
        until: str | None = None,
        event: str | None = None,
        action: str | None = None,
        person: str | None = None,
        address: str | None = None,
        result: Result | None = None,
    ) -> Iterator[bytes]:
        """All records, the oldest first, in pieces as they come; needs `audit.read`."""
        query = _sent(
            wire.AuditQuery,
            format=format,
            since=since,
            until=until,
            event=event,
            action=action,
            person=person,
            address=address,
            result=result,
        )
        with self._connection.streamed(f"{_ROOT}/audit", query, _MEDIA_TYPES[format]) as pieces:
            yield from pieces

    def verify_audit(self) -> wire.AuditProof:
        """Whether the chain of records is whole; needs `audit.read`."""
        return self._connection.get(f"{_ROOT}/audit/verify", wire.AuditProof)


def _sent(kind: type[Sent], /, **fields: Any) -> Sent:
    """A request with what is not None: the rest is not sent, so that it stays as it is.

    It is not looked at here: what is wrong with it the server says, in the reader's language.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return cast("Sent", kind.model_construct(**given))


def _segment(text: str) -> str:
    return quote(text, safe="")
