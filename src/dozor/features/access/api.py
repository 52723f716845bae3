"""`/api/v1/auth`, `people`, `roles`, `permissions`, `keys` and `audit`: the REST face of `Access`.

Who may call a route at all is said by `needs` and enforced by the guard before it comes here; what one may do
to whom is decided by the services. Failures are raised and become problems (`infra.problems`).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Body, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from dozor.features.access import model
from dozor.features.access.model import (
    AuditFilter,
    AuditRecord,
    ForbiddenError,
    Granted,
    InvalidTokenError,
    Key,
    Origin,
    Person,
    Principal,
    Session,
    SessionKind,
    allows,
)
from dozor.features.access.service import Access
from dozor.infra.admission import PERSON, PUBLIC, SELF, needs
from dozor.infra.callers import (
    ACCESS_COOKIE,
    CSRF_COOKIE,
    CSRF_HEADER,
    REFRESH_COOKIE,
    SESSION_COOKIE,
    Caller,
    caller_of,
    cookie_name,
)
from dozor.infra.guard import csrf_refused
from dozor.infra.problems import ParameterError
from dozor.kernel.errors import UsageError
from dozor.kernel.i18n import _
from dozor.kernel.moments import parse_moment
from dozor.wire import access as wire
from dozor.wire.base import Wire
from dozor.wire.problem import Problem

AUTH = "/api/v1/auth"
"""Path of the routes that see the refresh cookie."""

ENTRANCES = frozenset({f"{AUTH}/login", f"{AUTH}/refresh", f"{AUTH}/setup"})
"""Routes by which one signs in."""

_HEADERS = {"Cache-Control": "no-store"}

_Responses = dict[int | str, dict[str, Any]]


def _problem(text: str) -> dict[str, Any]:
    return {"model": Problem, "description": text}


_INVALID: _Responses = {422: _problem("A value cannot be used; `errors` names it.")}
_MISSING: _Responses = {404: _problem("There is no such thing, or not any more.")}
_WRONG: _Responses = {
    401: _problem("Name, password, code or token is wrong, or a second factor is needed: see `type`."),
    429: _problem("Too many attempts have failed, or there were too many calls: see Retry-After."),
}
_CHECKED: _Responses = {
    **_INVALID,
    401: _problem("Nobody is signed in, or the password or code is wrong: see `type`."),
    429: _problem("Too many attempts have failed, or there were too many calls: see Retry-After."),
}
_SIGNED: _Responses = {
    **_INVALID,
    **_WRONG,
    403: _problem("Nobody may sign in from this address, or the CSRF token of a cookie is missing."),
}
_CONFLICT: _Responses = {409: _problem("It contradicts what is there.")}
_AUDIT: _Responses = {
    200: {
        "description": "A page, or all records.",
        "content": {
            "application/jsonl": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
        },
    },
    400: _problem("A time cannot be read."),
    **_INVALID,
}

Id = Annotated[str, Path(max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="Its `id`.")]
SessionId = Annotated[
    str, Path(max_length=64, pattern=r"^[A-Za-z0-9_-]+$", description="`id` of the session.")
]
RoleId = Annotated[str, Path(max_length=40, pattern=r"^[a-z][a-z0-9-]*$", description="Name of the role.")]


class PageTokens(Protocol):
    """Makes and checks the tokens that pages send with what they change."""

    def issue(self, session_id: str) -> str:
        """The token of a session."""

    def genuine(self, token: str) -> bool:
        """Tell whether it is a token of ours, of whichever session."""


@dataclass(frozen=True)
class Export:
    """A form in which audit records are handed out.

    Args:
        media_type: What it is.
        line: One record, with the end of its line.
        head: What stands before all.
    """

    media_type: str
    line: Callable[[AuditRecord], str]
    head: str = ""


def build_routers(
    access: Access,
    pages: PageTokens,
    exports: Mapping[str, Export],
    *,
    refresh_seconds: int,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Sequence[APIRouter]:
    """All routes of access.

    Args:
        access: The services.
        pages: Tokens of pages.
        exports: Forms of the audit trail, by name: `jsonl`, `csv`.
        refresh_seconds: How long a refresh token lives.
        now: Tells the time.
    """
    return (
        _auth(access, pages, refresh_seconds),
        _profile(access, pages),
        _keys(access),
        _people(access),
        _roles(access),
        _audit(access, exports, now),
    )


# Signing in


def _auth(access: Access, pages: PageTokens, refresh_seconds: int) -> APIRouter:  # noqa: C901 - one short function per route
    router = APIRouter(prefix="/auth", tags=["auth"])

    def answer(
        caller: Caller, granted: Granted, *, cookies: bool, response: Response
    ) -> wire.Tokens | wire.SignedIn:
        response.headers.update(_HEADERS)
        if not cookies and not granted.console_token:
            return wire.Tokens(
                access_token=granted.access_token,
                refresh_token=granted.refresh_token,
                token_type="Bearer",  # noqa: S106 - its kind
                expires_in=granted.expires_in,
                refresh_expires_in=refresh_seconds,
            )
        csrf = pages.issue(granted.session.id)
        jar = _Jar(caller, response)
        if granted.console_token:
            jar.put(SESSION_COOKIE, granted.console_token, granted.expires_in)
        else:
            jar.put(ACCESS_COOKIE, granted.access_token, granted.expires_in)
            jar.put(REFRESH_COOKIE, granted.refresh_token, refresh_seconds, path=AUTH)
        jar.put(CSRF_COOKIE, csrf, max(granted.expires_in, refresh_seconds), readable=True)
        return wire.SignedIn(csrf_token=csrf, expires_in=granted.expires_in)

    @router.post(
        "/login",
        operation_id="auth_login",
        response_model=wire.Tokens | wire.SignedIn,
        responses=_SIGNED,
        openapi_extra=needs(PUBLIC),
    )
    async def login(
        request: Request,
        response: Response,
        asked: Annotated[wire.CookieQuery, Query()],
        who: Annotated[wire.Login, Body()],
    ) -> wire.Tokens | wire.SignedIn:
        """Sign in with name, password and, for those who have one, a second factor.

        Only failed attempts count for the limit of logins; while it is used up, a right password is refused
        with the same words as a wrong one.
        """
        caller = caller_of(request.scope)
        granted = await access.signin.login(
            who.username, who.password, _origin(caller), totp=who.totp or "", kind=_kind(asked)
        )
        return answer(caller, granted, cookies=asked.cookies, response=response)

    @router.post(
        "/setup",
        operation_id="auth_setup",
        response_model=wire.Tokens | wire.SignedIn,
        responses={**_SIGNED, 409: _problem("There is an owner already.")},
        openapi_extra=needs(PUBLIC),
    )
    async def setup(
        request: Request,
        response: Response,
        asked: Annotated[wire.CookieQuery, Query()],
        who: Annotated[wire.Setup, Body()],
    ) -> wire.Tokens | wire.SignedIn:
        """Make the owner by the one-time link that Dozor printed when it started, and sign in."""
        caller = caller_of(request.scope)
        granted = await access.setup.create_owner(
            who.token, who.username, who.password, _origin(caller), kind=_kind(asked)
        )
        if who.language is not None:
            await access.profile.update(_principal_of(granted), _origin(caller), language=who.language)
        return answer(caller, granted, cookies=asked.cookies, response=response)

    @router.post(
        "/refresh",
        operation_id="auth_refresh",
        response_model=wire.Tokens | wire.SignedIn,
        responses=_SIGNED,
        openapi_extra=needs(PUBLIC),
    )
    async def refresh(
        request: Request, response: Response, sent: Annotated[wire.Refresh | None, Body()] = None
    ) -> wire.Tokens | wire.SignedIn | Response:
        """Change a refresh token for the next pair of tokens; each is good once.

        A token that comes a second time has been copied: its whole session ends.
        """
        caller = caller_of(request.scope)
        if sent is not None and sent.refresh_token is not None:
            granted = await access.signin.refresh(sent.refresh_token, _origin(caller))
            return answer(caller, granted, cookies=False, response=response)
        token = caller.cookie(REFRESH_COOKIE)
        if not token:
            raise InvalidTokenError(_("There is no refresh token."), hint=_("Send it as refresh_token."))
        csrf = request.headers.get(CSRF_HEADER, "")
        if csrf != caller.cookie(CSRF_COOKIE) or not pages.genuine(csrf):
            return csrf_refused()
        granted = await access.signin.refresh(token, _origin(caller))
        return answer(caller, granted, cookies=True, response=response)

    @router.post("/logout", operation_id="auth_logout", status_code=204, openapi_extra=needs(SELF))
    async def logout(request: Request, response: Response) -> None:
        """End the session that calls; its tokens and cookies are void. An API key stays as it is."""
        caller = caller_of(request.scope)
        await access.signin.logout(_by(caller), _origin(caller))
        jar = _Jar(caller, response)
        for name in (ACCESS_COOKIE, SESSION_COOKIE, CSRF_COOKIE):
            jar.drop(name)
        jar.drop(REFRESH_COOKIE, path=AUTH)

    return router


class _Jar:
    """Sets our cookies on an answer."""

    def __init__(self, caller: Caller, response: Response) -> None:
        self._secure = caller.cookies_secure
        self._response = response

    def put(self, name: str, value: str, seconds: int, *, path: str = "/", readable: bool = False) -> None:
        self._response.set_cookie(
            cookie_name(name, secure=self._secure),
            value,
            max_age=seconds,
            path=path,
            secure=self._secure,
            httponly=not readable,
            samesite="lax",
        )

    def drop(self, name: str, *, path: str = "/") -> None:
        self._response.delete_cookie(
            cookie_name(name, secure=self._secure), path=path, secure=self._secure, samesite="lax"
        )


# Oneself


def _profile(access: Access, pages: PageTokens) -> APIRouter:  # noqa: C901 - one short function per route
    router = APIRouter(prefix="/auth", tags=["auth"])

    async def told(caller: Caller) -> wire.Me:
        by = _by(caller)
        common = {
            "username": by.username,
            "kind": by.kind,
            "role": by.role,
            "permissions": by.permissions,
            "language": by.language or None,
        }
        if by.kind == "key":
            return wire.Me(id=by.person_id or by.key_id or "", key_id=by.key_id, **common)
        person, codes = await access.profile.get(by)
        csrf = pages.issue(by.session_id) if caller.by_cookie and by.session_id else None
        return wire.Me(
            id=person.id,
            **{**common, "language": person.language or None},
            display_name=person.display_name,
            is_owner=person.is_owner,
            totp_enabled=person.has_totp,
            recovery_codes_left=codes,
            session_id=by.session_id,
            csrf_token=csrf,
        )

    @router.get("/me", operation_id="auth_me", response_model=wire.Me, openapi_extra=needs(SELF))
    async def me(request: Request) -> Response:
        """Who asks, and what they may do."""
        return _ok(await told(caller_of(request.scope)))

    @router.patch(
        "/me",
        operation_id="auth_me_change",
        response_model=wire.Me,
        responses=_INVALID,
        openapi_extra=needs(PERSON),
    )
    async def change(request: Request, sent: Annotated[wire.MeChange, Body()]) -> Response:
        """Change one's own language or shown name; what is left out stays."""
        caller = caller_of(request.scope)
        await access.profile.update(
            _by(caller), _origin(caller), display_name=sent.display_name, language=sent.language
        )
        return _ok(await told(caller))

    @router.post(
        "/password",
        operation_id="auth_password",
        status_code=204,
        responses=_CHECKED,
        openapi_extra=needs(PERSON),
    )
    async def password(request: Request, sent: Annotated[wire.PasswordChange, Body()]) -> None:
        """Change one's own password; all other sessions end."""
        caller = caller_of(request.scope)
        await access.profile.change_password(_by(caller), _origin(caller), current=sent.current, new=sent.new)

    @router.post(
        "/totp",
        operation_id="auth_totp_begin",
        response_model=wire.TotpEnrolment,
        responses=_CONFLICT,
        openapi_extra=needs(PERSON),
    )
    async def begin(request: Request) -> Response:
        """Begin with a second factor (RFC 6238); it counts once a code of it was confirmed."""
        caller = caller_of(request.scope)
        begun = await access.profile.begin_totp(_by(caller), _origin(caller))
        picture = "data:image/svg+xml;base64," + b64encode(begun.qr.encode()).decode()
        return _ok(wire.TotpEnrolment(secret=begun.secret, uri=begun.uri, qr=picture))

    @router.post(
        "/totp/confirm",
        operation_id="auth_totp_confirm",
        response_model=wire.RecoveryCodes,
        responses={**_CHECKED, **_CONFLICT},
        openapi_extra=needs(PERSON),
    )
    async def confirm(request: Request, sent: Annotated[wire.TotpCode, Body()]) -> Response:
        """Switch the second factor on by its first code; the recovery codes are told this once."""
        caller = caller_of(request.scope)
        codes = await access.profile.confirm_totp(_by(caller), _origin(caller), sent.code)
        return _ok(wire.RecoveryCodes(recovery_codes=codes))

    @router.delete(
        "/totp",
        operation_id="auth_totp_remove",
        status_code=204,
        responses={**_CHECKED, **_CONFLICT},
        openapi_extra=needs(PERSON),
    )
    async def remove(request: Request, sent: Annotated[wire.PasswordCheck, Body()]) -> None:
        """Take one's own second factor away."""
        caller = caller_of(request.scope)
        await access.profile.remove_totp(_by(caller), _origin(caller), sent.password)

    @router.post(
        "/recovery-codes",
        operation_id="auth_recovery_codes",
        response_model=wire.RecoveryCodes,
        responses={**_CHECKED, **_CONFLICT},
        openapi_extra=needs(PERSON),
    )
    async def recovery(request: Request, sent: Annotated[wire.PasswordCheck, Body()]) -> Response:
        """Make new recovery codes; those so far are void."""
        caller = caller_of(request.scope)
        codes = await access.profile.new_recovery_codes(_by(caller), _origin(caller), sent.password)
        return _ok(wire.RecoveryCodes(recovery_codes=codes))

    @router.get(
        "/sessions", operation_id="auth_sessions", response_model=wire.Sessions, openapi_extra=needs(PERSON)
    )
    async def sessions(request: Request) -> Response:
        """One's own sessions."""
        by = _by(caller_of(request.scope))
        return _ok(_sessions(await access.sessions.own(by), by))

    @router.delete(
        "/sessions", operation_id="auth_sessions_end_others", status_code=204, openapi_extra=needs(PERSON)
    )
    async def end_others(request: Request) -> None:
        """End all of one's own sessions but the one that calls."""
        caller = caller_of(request.scope)
        await access.sessions.end_own_others(_by(caller), _origin(caller))

    @router.delete(
        "/sessions/{id}",
        operation_id="auth_session_end",
        status_code=204,
        responses={**_MISSING, **_INVALID},
        openapi_extra=needs(PERSON),
    )
    async def end(request: Request, id: SessionId) -> None:  # noqa: A002 - the parameter's name
        """End one of one's own sessions."""
        caller = caller_of(request.scope)
        await access.sessions.end_own(_by(caller), _origin(caller), id)

    return router


# Keys


def _keys(access: Access) -> APIRouter:
    router = APIRouter(prefix="/keys", tags=["keys"])

    @router.get(
        "",
        operation_id="keys",
        response_model=wire.Keys,
        responses=_INVALID,
        openapi_extra=needs(PERSON, "keys.read"),
    )
    async def listed(request: Request, asked: Annotated[wire.KeysQuery, Query()]) -> Response:
        """One's own API keys; with `all`, and to an API key, those of everybody, which needs `keys.read`."""
        by = _by(caller_of(request.scope))
        if not asked.all and by.kind == "person":
            return _ok(_told_keys(await access.keys.own(by), {by.person_id: by.username}))
        _demand(by, "keys.read")
        names: dict[str | None, str] = {person.id: person.username for person in await access.people.list()}
        return _ok(_told_keys(await access.keys.all(), names))

    @router.post(
        "",
        operation_id="key_create",
        response_model=wire.KeyCreated,
        status_code=201,
        responses=_INVALID,
        openapi_extra=needs(PERSON, "keys.write"),
    )
    async def create(request: Request, sent: Annotated[wire.NewKey, Body()]) -> Response:
        """Make an API key, bounded by a role and by scopes; it is told this once.

        An API key that makes another needs `keys.write`.
        """
        caller = caller_of(request.scope)
        days = sent.expires_in_days
        key, secret = await access.keys.create(
            _by(caller),
            _origin(caller),
            name=sent.name,
            role=sent.role,
            scopes=sent.scopes,
            expires_in=None if days is None else timedelta(days=days),
        )
        return _ok(wire.KeyCreated(id=key.id, key=secret), status=201)

    @router.delete(
        "/{id}",
        operation_id="key_revoke",
        status_code=204,
        responses={**_MISSING, **_INVALID},
        openapi_extra=needs(PERSON, "keys.write"),
    )
    async def revoke(request: Request, id: Id) -> None:  # noqa: A002
        """Revoke an API key of one's own; another person's needs `keys.write`."""
        caller = caller_of(request.scope)
        await access.keys.revoke(_by(caller), _origin(caller), id)

    return router


# People


def _people(access: Access) -> APIRouter:  # noqa: C901 - one short function per route
    router = APIRouter(prefix="/people", tags=["people"])

    async def told(person: Person) -> wire.Person:
        return wire.Person(
            id=person.id,
            username=person.username,
            display_name=person.display_name,
            role=person.role,
            language=_language(person.language),
            is_owner=person.is_owner,
            disabled=not person.is_active,
            locked=await access.throttle.waits(person.username) > 0,
            totp_enabled=person.has_totp,
            created=person.created,
            last_login=person.last_login,
        )

    @router.get("", operation_id="people", response_model=wire.People, openapi_extra=needs("people.read"))
    async def listed() -> Response:
        """All people."""
        return _ok(wire.People(items=tuple([await told(person) for person in await access.people.list()])))

    @router.post(
        "",
        operation_id="person_create",
        response_model=wire.Person,
        status_code=201,
        responses={**_INVALID, **_CONFLICT},
        openapi_extra=needs("people.write"),
    )
    async def create(request: Request, sent: Annotated[wire.NewPerson, Body()]) -> Response:
        """Add somebody, with no more permissions than one's own."""
        caller = caller_of(request.scope)
        person = await access.people.create(
            _by(caller),
            _origin(caller),
            username=sent.username,
            password=sent.password,
            role=sent.role,
            display_name=sent.display_name,
            language=sent.language or "",
        )
        return _ok(await told(person), status=201)

    @router.get(
        "/{id}",
        operation_id="person",
        response_model=wire.Person,
        responses={**_MISSING, **_INVALID},
        openapi_extra=needs("people.read"),
    )
    async def one(id: Id) -> Response:  # noqa: A002
        """One of them."""
        return _ok(await told(await access.people.get(id)))

    @router.patch(
        "/{id}",
        operation_id="person_change",
        response_model=wire.Person,
        responses={**_MISSING, **_INVALID, **_CONFLICT},
        openapi_extra=needs("people.write"),
    )
    async def change(request: Request, id: Id, sent: Annotated[wire.PersonChange, Body()]) -> Response:  # noqa: A002
        """Change somebody; what is left out stays. The owner's role and state stay in any case."""
        caller = caller_of(request.scope)
        person = await access.people.update(
            _by(caller),
            _origin(caller),
            id,
            role=sent.role,
            is_active=None if sent.disabled is None else not sent.disabled,
            display_name=sent.display_name,
            language=sent.language,
            password=sent.password,
            reset_totp=sent.reset_totp,
        )
        return _ok(await told(person))

    @router.delete(
        "/{id}",
        operation_id="person_remove",
        status_code=204,
        responses={**_MISSING, **_INVALID},
        openapi_extra=needs("people.write"),
    )
    async def remove(request: Request, id: Id) -> None:  # noqa: A002
        """Remove somebody with their sessions and keys; the audit trail stays."""
        caller = caller_of(request.scope)
        await access.people.remove(_by(caller), _origin(caller), id)

    @router.post(
        "/{id}/unlock",
        operation_id="person_unlock",
        status_code=204,
        responses={**_MISSING, **_INVALID},
        openapi_extra=needs("people.write"),
    )
    async def unlock(request: Request, id: Id) -> None:  # noqa: A002
        """Forget somebody's failed logins, so that they can sign in at once."""
        caller = caller_of(request.scope)
        await access.people.unlock(_by(caller), _origin(caller), id)

    @router.get(
        "/{id}/sessions",
        operation_id="person_sessions",
        response_model=wire.Sessions,
        responses={**_MISSING, **_INVALID},
        openapi_extra=needs("sessions.read"),
    )
    async def sessions(request: Request, id: Id) -> Response:  # noqa: A002
        """Somebody's sessions."""
        return _ok(_sessions(await access.sessions.of(id), _by(caller_of(request.scope))))

    @router.delete(
        "/{id}/sessions",
        operation_id="person_sessions_end",
        status_code=204,
        responses={**_MISSING, **_INVALID},
        openapi_extra=needs("sessions.write"),
    )
    async def end_all(request: Request, id: Id) -> None:  # noqa: A002
        """End all sessions of somebody."""
        caller = caller_of(request.scope)
        await access.sessions.end_of(_by(caller), _origin(caller), id)

    @router.delete(
        "/{id}/sessions/{session}",
        operation_id="person_session_end",
        status_code=204,
        responses={**_MISSING, **_INVALID},
        openapi_extra=needs("sessions.write"),
    )
    async def end(request: Request, id: Id, session: SessionId) -> None:  # noqa: A002
        """End one session of somebody."""
        caller = caller_of(request.scope)
        known = {found.id for found in await access.sessions.of(id)}
        if session not in known:
            raise model.MissingError(_("There is no such session, or not any more."))
        await access.sessions.end(_by(caller), _origin(caller), session)

    return router


# Roles


def _roles(access: Access) -> APIRouter:
    router = APIRouter(tags=["roles"])

    async def told(roles: Sequence[model.Role]) -> tuple[wire.Role, ...]:
        people = await access.people.list()
        return tuple(
            wire.Role(
                name=role.name,
                description=role.description,
                permissions=role.permissions,
                builtin=role.builtin,
                people=sum(person.role == role.name for person in people),
            )
            for role in roles
        )

    @router.get(
        "/permissions", operation_id="permissions", response_model=wire.Permissions, openapi_extra=needs(SELF)
    )
    async def permissions() -> Response:
        """All permissions that there are."""
        items = [
            wire.Permission(name=name, description=text)
            for name, text in sorted(access.roles.permissions().items())
        ]
        return _ok(wire.Permissions(items=tuple(items)))

    @router.get("/roles", operation_id="roles", response_model=wire.Roles, openapi_extra=needs(SELF))
    async def listed() -> Response:
        """All roles."""
        return _ok(wire.Roles(items=await told(await access.roles.list())))

    @router.post(
        "/roles",
        operation_id="role_create",
        response_model=wire.Role,
        status_code=201,
        responses={**_INVALID, **_CONFLICT},
        openapi_extra=needs("roles.write"),
    )
    async def create(request: Request, sent: Annotated[wire.NewRole, Body()]) -> Response:
        """Make a role, with no more permissions than one's own."""
        caller = caller_of(request.scope)
        role = await access.roles.create(
            _by(caller), _origin(caller), sent.name, sent.permissions, sent.description
        )
        return _ok((await told([role]))[0], status=201)

    @router.get(
        "/roles/{name}",
        operation_id="role",
        response_model=wire.Role,
        responses={**_MISSING, **_INVALID},
        openapi_extra=needs(SELF),
    )
    async def one(name: RoleId) -> Response:
        """One of them."""
        return _ok((await told([await access.roles.get(name)]))[0])

    @router.patch(
        "/roles/{name}",
        operation_id="role_change",
        response_model=wire.Role,
        responses={**_MISSING, **_INVALID},
        openapi_extra=needs("roles.write"),
    )
    async def change(request: Request, name: RoleId, sent: Annotated[wire.RoleChange, Body()]) -> Response:
        """Change a role; it counts at once for all who have it. Those that come with Dozor stay."""
        caller = caller_of(request.scope)
        role = await access.roles.update(
            _by(caller), _origin(caller), name, permissions=sent.permissions, description=sent.description
        )
        return _ok((await told([role]))[0])

    @router.delete(
        "/roles/{name}",
        operation_id="role_remove",
        status_code=204,
        responses={**_MISSING, **_INVALID, **_CONFLICT},
        openapi_extra=needs("roles.write"),
    )
    async def remove(request: Request, name: RoleId) -> None:
        """Remove a role that nobody has."""
        caller = caller_of(request.scope)
        await access.roles.remove(_by(caller), _origin(caller), name)

    return router


# Audit trail


def _audit(access: Access, exports: Mapping[str, Export], now: Callable[[], datetime]) -> APIRouter:
    router = APIRouter(prefix="/audit", tags=["audit"])

    @router.get(
        "",
        operation_id="audit",
        response_model=wire.AuditPage,
        responses=_AUDIT,
        openapi_extra=needs("audit.read"),
    )
    async def page(asked: Annotated[wire.AuditQuery, Query()]) -> Response:
        """Who did, tried or was refused what; a page, or all as JSON lines or CSV."""
        which = _filter(asked, now())
        export = exports.get(asked.format)
        if export is not None:
            first = await access.ledger.search(which, limit=1)  # a store that is away is told by the status
            headers = {
                **_HEADERS,
                "Content-Disposition": f'attachment; filename="dozor-audit.{asked.format}"',
            }
            lines = _lines(access.ledger.export(which), export) if first.records else _only(export.head)
            return StreamingResponse(lines, media_type=export.media_type, headers=headers)
        found = await access.ledger.search(which, before=asked.cursor, limit=asked.limit)
        return _ok(wire.AuditPage(items=tuple(map(_told_record, found.records)), next=found.following))

    @router.get(
        "/verify",
        operation_id="audit_verify",
        response_model=wire.AuditProof,
        openapi_extra=needs("audit.read"),
    )
    async def verify() -> Response:
        """Check the chain of all records: whether one was changed, taken out or put in."""
        state = await access.ledger.verify()
        return _ok(
            wire.AuditProof(
                whole=state.broken is None,
                records=state.records,
                first_broken=state.broken,
                reason=state.reason,
            )
        )

    return router


async def _lines(records: AsyncIterator[AuditRecord], export: Export) -> AsyncIterator[str]:
    if export.head:
        yield export.head
    async for record in records:
        yield export.line(record)


async def _only(text: str) -> AsyncIterator[str]:
    yield text


def _filter(asked: wire.AuditFilter, now: datetime) -> AuditFilter:
    return AuditFilter(
        since=_moment("since", asked.since, now),
        until=_moment("until", asked.until, now),
        event=asked.event or "",
        action=asked.action or "",
        actor=asked.person or "",
        address=asked.address or "",
        result=asked.result or "",
    )


def _moment(name: str, text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_moment(text, now=now)
    except UsageError as error:
        raise ParameterError(name, text, error.message, hint=error.hint) from error


# In the words of the wire


def _told_record(record: AuditRecord) -> wire.AuditRecord:
    entry = record.entry
    return wire.AuditRecord(
        number=record.number,
        time=record.at,
        event=entry.event.value,
        action=entry.action,
        result=entry.result,
        actor=entry.actor,
        actor_id=entry.actor_id,
        actor_kind=entry.actor_kind,
        target=entry.target,
        address=entry.address,
        agent=entry.agent,
        count=entry.count,
        details=dict(entry.details),
        hash=record.hash,
    )


def _sessions(sessions: Sequence[Session], by: Principal) -> wire.Sessions:
    return wire.Sessions(
        items=tuple(
            wire.Session(
                id=session.id,
                kind=session.kind,
                created=session.created,
                last_seen=session.seen,
                expires=session.expires,
                address=session.address,
                agent=session.agent,
                current=session.id == by.session_id,
            )
            for session in sorted(sessions, key=lambda session: session.seen, reverse=True)
        )
    )


def _told_keys(keys: Sequence[Key], names: Mapping[str | None, str]) -> wire.Keys:
    return wire.Keys(
        items=tuple(
            wire.Key(
                id=key.id,
                name=key.name,
                person_id=key.person_id,
                username=names.get(key.person_id, "") if key.person_id else "",
                role=key.role,
                scopes=key.scopes,
                created=key.created,
                expires=key.expires,
                last_used=key.seen,
            )
            for key in keys
        )
    )


def _language(code: str) -> wire.Language | None:
    match code:
        case "en":
            return "en"
        case "ru":
            return "ru"
        case _:
            return None


def _ok(told: Wire, *, status: int = 200) -> Response:
    return Response(
        told.model_dump_json(), status_code=status, media_type="application/json", headers=_HEADERS
    )


# Who asks


def _by(caller: Caller) -> Principal:
    """Who asks, as the guard found out."""
    if not isinstance(caller.principal, Principal):
        raise TypeError("A route that needs somebody was reached by nobody.")
    return caller.principal


def _principal_of(granted: Granted) -> Principal:
    person, session = granted.person, granted.session
    return Principal(
        person.id, person.username, "person", person.role, ("*",), session.id, None, session.kind
    )


def _origin(caller: Caller) -> Origin:
    return Origin(caller.address, caller.agent)


def _kind(asked: wire.CookieQuery) -> SessionKind:
    return "console" if asked.console else "api"


def _demand(by: Principal, permission: str) -> None:
    if not allows(by.permissions, permission):
        raise ForbiddenError(
            _("{name} may not do this.").format(name=by.username),
            permission=permission,
            hint=_("It needs the permission {permission}.").format(permission=permission),
        )
