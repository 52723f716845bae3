"""Signing in and out, refreshing, and telling from a token, cookie or key who makes a call."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from dozor.features.access.core.permissions import intersection
from dozor.features.access.core.secrets import CONSOLE, KEY, REFRESH, digest, key_id, new_id, new_token, same
from dozor.features.access.core.subjects import account_key
from dozor.features.access.model import (
    Claims,
    Credentials,
    Event,
    Granted,
    InvalidCredentialsError,
    InvalidTokenError,
    Key,
    Origin,
    Person,
    Principal,
    Session,
    SessionKind,
    TokenReuseError,
    TotpRequiredError,
)
from dozor.features.access.ports import AccessStore, AccessTokens, Reading
from dozor.features.access.service.checks import CodeCheck, Hashing, permissions_of
from dozor.features.access.service.ledger import Change, Clock, Ledger, entry_by
from dozor.features.access.service.throttle import Throttle
from dozor.features.access.service.watch import DoorWatch
from dozor.features.access.settings import AccessSettings
from dozor.kernel.errors import UnavailableError
from dozor.kernel.i18n import _

KNOWN_FOR = 3.0
"""Seconds for which who somebody is and what they may do is believed, since another process may change it."""

_MOST_KNOWN = 10_000
_SEEN_EVERY = timedelta(minutes=1)
_LONGEST_TOKEN = 4096

_log = logging.getLogger(__name__)


class Known:
    """Who was behind a token a moment ago; every change in this process empties it.

    Args:
        timer: Seconds that only go forward.
    """

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._known: OrderedDict[str, tuple[float, Principal]] = OrderedDict()
        self.changes = 0

    def get(self, name: str) -> Principal | None:
        """Who it is; None when that must be looked up."""
        found = self._known.get(name)
        if found is None or self._timer() >= found[0]:
            return None
        return found[1]

    def put(self, name: str, principal: Principal, changes: int, *, most: float = KNOWN_FOR) -> None:
        """Remember it, unless something has changed since `changes` was read, before the looking up."""
        if changes != self.changes:
            return
        self._known[name] = (self._timer() + min(most, KNOWN_FOR), principal)
        self._known.move_to_end(name)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def forget(self) -> None:
        """Look everybody up again."""
        self._known.clear()
        self.changes += 1


class SignIn:
    """Everything between a password and a `Principal`.

    Args:
        store: Keeps people, sessions and keys.
        ledger: Records.
        throttle: Refuses after too many failures.
        watch: Tells of stolen tokens.
        hashing: Checks passwords.
        codes: Checks the second factor.
        tokens: Signs access tokens.
        settings: How long things live.
        known: Shared with the services that change people, sessions, roles and keys.
        clock: Tells the time.
    """

    def __init__(
        self,
        *,
        store: AccessStore,
        ledger: Ledger,
        throttle: Throttle,
        watch: DoorWatch,
        hashing: Hashing,
        codes: CodeCheck,
        tokens: AccessTokens,
        settings: AccessSettings,
        known: Known,
        clock: Clock,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._throttle = throttle
        self._watch = watch
        self._hashing = hashing
        self._codes = codes
        self._tokens = tokens
        self._settings = settings
        self._known = known
        self._clock = clock

    async def login(
        self, username: str, password: str, origin: Origin, *, totp: str = "", kind: SessionKind = "api"
    ) -> Granted:
        """Sign a person in.

        Args:
            username: In whatever case.
            password: As typed.
            origin: Where from.
            totp: A one-time code, or a recovery code; empty for none.
            kind: What the session is for.

        Raises:
            InvalidCredentialsError: Name, password or code is wrong, or the person is disabled; an unknown
                name takes as long as a wrong password.
            TotpRequiredError: Only the code is missing.
            LockedOutError: Too many attempts from this address or for this account have failed.
        """
        async with self._throttle.attempt(origin, username, "auth.login"):
            person, credentials = await self._find(username)
            right = await self._hashing.check(password, credentials.password if credentials else None)
            if not right or person is None or credentials is None or not person.is_active:
                await self._fail(origin, username, "credentials")
                raise _invalid()
            if credentials.totp and not totp:
                await self._ledger.refused(
                    entry_by(
                        None, origin, Event.LOGIN_ATTEMPT, "auth.login", result="refused",
                        target=person.username, reason="second-factor-missing",
                    )
                )  # fmt: skip
                raise TotpRequiredError(
                    _("A code of the second factor is needed."),
                    hint=_("Send it as 'totp', or a recovery code."),
                )
            renewed = (
                await self._hashing.hash(password) if self._hashing.is_dated(credentials.password) else ""
            )
            granted = await self._admit(person.id, credentials, origin, totp=totp, kind=kind, renewed=renewed)
            if granted is None:
                await self._fail(origin, username, "code")
                raise _invalid()
        self._known.forget()
        return granted

    async def confirm(self, by: Principal, password: str, origin: Origin, action: str) -> Credentials:
        """Check the password of somebody who is signed in, before what a borrowed screen must not do.

        Raises:
            InvalidCredentialsError: It is wrong; this counts like a failed sign-in.
            LockedOutError: Too many have failed.
        """
        async with self._throttle.attempt(origin, by.username, action):
            async with self._store.reading() as unit:
                credentials = await unit.credentials(by.person_id or "")
            if not await self._hashing.check(password, credentials.password if credentials else None):
                await self._fail(origin, by.username, "password", action, by)
                raise InvalidCredentialsError(_("The password is wrong."))
        if credentials is None:
            raise _invalid()
        return credentials

    async def begin(self, change: Change, person: Person, origin: Origin, kind: SessionKind) -> Granted:
        """Begin a session for a person within a unit of work."""
        if kind == "console":
            return await self._begin_console(change, person, origin)
        refresh = new_token(REFRESH)
        expires = change.now + timedelta(seconds=self._settings.refresh_token_s)
        session = Session(
            new_id(), person.id, "api", change.now, change.now, expires, origin.address, origin.agent[:200]
        )
        await change.unit.add_session(session, refresh_hash=digest(refresh))
        return self._granted(person, session, refresh, change.now)

    async def refresh(self, token: str, origin: Origin) -> Granted:
        """Change a refresh token for the next one and an access token (RFC 9700 4.14.2).

        Raises:
            InvalidTokenError: It is not known, or its session has ended.
            TokenReuseError: It was used before; the whole session has ended now.
        """
        if not token.startswith(REFRESH) or len(token) > _LONGEST_TOKEN:
            raise _invalid_token()
        old, new = digest(token), new_token(REFRESH)
        async with self._store.reading() as reading:
            if await reading.refresh(old) is None:  # nobody makes us write by guessing
                raise _invalid_token()
        stolen: Session | None = None
        granted: Granted | None = None
        async with self._ledger.writing() as change:
            found = await change.unit.refresh(old)
            session = await change.unit.session(found[0], change.now) if found else None
            person = await change.unit.person(session.person_id) if session else None
            if found is None or session is None or person is None or not person.is_active:
                raise _invalid_token()
            if found[1]:
                stolen = session
                await change.unit.end_session(session.id)
                await change.note(
                    entry_by(
                        None, origin, Event.TOKEN_REUSE, "auth.refresh", result="refused",
                        target=person.username, session=session.id, session_address=session.address,
                    )
                )  # fmt: skip
            else:
                expires = change.now + timedelta(seconds=self._settings.refresh_token_s)
                await change.unit.rotate(old, digest(new), expires)
                await change.unit.touch_session(session.id, change.now, expires)
                granted = self._granted(person, replace(session, expires=expires), new, change.now)
        if stolen:
            self._known.forget()
            self._watch.reused(origin.address, person.username, stolen.id, begun_at=stolen.address)
            raise TokenReuseError(
                _("This refresh token was used before. The session has been ended."), hint=_("Sign in again.")
            )
        assert granted is not None  # noqa: S101 - one of both is set
        return granted

    async def logout(self, by: Principal, origin: Origin) -> None:
        """End the session of the call; a key has none, and nothing happens."""
        if by.session_id is None:
            return
        async with self._ledger.writing() as change:
            await change.unit.end_session(by.session_id)
            await change.note(
                entry_by(by, origin, Event.LOGOUT, "auth.logout", target=by.username, session=by.session_id)
            )
        self._known.forget()

    async def logout_by_refresh(self, token: str, origin: Origin) -> None:
        """End the session of a refresh token, for a client without an access token; unknown is fine."""
        async with self._store.reading() as reading:
            found = await reading.refresh(digest(token))
            session = await reading.session(found[0], self._clock()) if found else None
            person = await reading.person(session.person_id) if session else None
        if session is None or person is None:
            return
        await self.logout(
            Principal(person.id, person.username, "person", person.role, (), session_id=session.id), origin
        )

    async def authenticate(self, bearer: str) -> Principal:
        """Tell who sends this access token or API key in `Authorization: Bearer`.

        What another process has changed counts within `KNOWN_FOR` seconds, what this one has at once.

        Raises:
            InvalidTokenError: It is malformed, forged, expired or revoked.
        """
        if len(bearer) > _LONGEST_TOKEN:
            raise _invalid_token()
        if bearer.startswith(KEY):
            return await self._of_key(bearer)
        claims = self._tokens.read(bearer, self._clock())
        name = f"session:{claims.session_id}"
        known = self._known.get(name)
        if known is None:
            changes = self._known.changes
            async with self._store.reading() as unit:
                session = await unit.session(claims.session_id, self._clock())
                known = await self._of_session(unit, session)
            if session:
                await self._seen(session)
            self._known.put(name, known, changes, most=self._left(session))
        if known.person_id != claims.person_id:
            raise _invalid_token()
        return known

    async def authenticate_console(self, cookie: str) -> Principal:
        """Tell whose console session this cookie is; using it moves its end.

        Raises:
            InvalidTokenError: There is no such session, or not any more.
        """
        if not cookie.startswith(CONSOLE) or len(cookie) > _LONGEST_TOKEN:
            raise _invalid_token()
        hashed = digest(cookie)
        known = self._known.get(f"console:{hashed}")
        if known is None:
            changes = self._known.changes
            async with self._store.reading() as unit:
                session = await unit.console_session(hashed, self._clock())
                known = await self._of_session(unit, session)
            if session:
                await self._seen(session)
            self._known.put(f"console:{hashed}", known, changes, most=self._left(session))
        return known

    async def _find(self, username: str) -> tuple[Person | None, Credentials | None]:
        async with self._store.reading() as unit:
            person = await unit.person_named(account_key(username))
            # Asked for an unknown name as well, so that it takes as long.
            return person, await unit.credentials(person.id if person else "")

    async def _fail(
        self,
        origin: Origin,
        username: str,
        reason: str,
        action: str = "auth.login",
        by: Principal | None = None,
    ) -> None:
        await self._throttle.failed(origin, username)
        await self._ledger.record(
            entry_by(by, origin, Event.LOGIN_ATTEMPT, action, result="failed", target=username, reason=reason)
        )

    async def _admit(
        self,
        person_id: str,
        checked: Credentials,
        origin: Origin,
        *,
        totp: str,
        kind: SessionKind,
        renewed: str,
    ) -> Granted | None:
        """Begin the session; None when the code is wrong, or the password was changed in between."""
        async with self._ledger.writing() as change:
            person = await change.unit.person(person_id)
            credentials = await change.unit.credentials(person_id)
            if person is None or not person.is_active or credentials is None:
                return None
            if credentials.password != checked.password or bool(credentials.totp) != bool(checked.totp):
                return None
            after = credentials
            if credentials.totp:
                taken = await self._codes.takes(change.unit, person_id, credentials, totp, change.now)
                if taken is None:
                    return None
                after = taken
            after = replace(after, password=renewed or after.password)
            if after != credentials:
                await change.unit.change_credentials(person_id, after)
            person = replace(person, last_login=change.now)
            await change.unit.change_person(person)
            await change.unit.forget_ended(change.now)
            granted = await self.begin(change, person, origin, kind)
            await change.note(
                replace(
                    entry_by(
                        None, origin, Event.LOGIN_ATTEMPT, "auth.login", target=person.username,
                        session=granted.session.id, kind=kind, second_factor=_yes(bool(credentials.totp)),
                    ),
                    actor=person.username, actor_id=person.id, actor_kind="person",
                )
            )  # fmt: skip
            return granted

    async def _begin_console(self, change: Change, person: Person, origin: Origin) -> Granted:
        cookie = new_token(CONSOLE)
        idle = self._settings.session_timeout_s
        session = Session(
            new_id(),
            person.id,
            "console",
            change.now,
            change.now,
            change.now + timedelta(seconds=min(idle, self._settings.console_days * 86_400)),
            origin.address,
            origin.agent[:200],
        )
        await change.unit.add_session(session, console_hash=digest(cookie))
        return Granted(
            person,
            session,
            expires_in=self._settings.console_days * 86_400,
            console_token=cookie,
        )

    def _granted(self, person: Person, session: Session, refresh: str, now: datetime) -> Granted:
        seconds = self._settings.access_token_s
        issued = int(now.timestamp())
        token = self._tokens.issue(Claims(person.id, session.id, issued, issued + seconds))
        return Granted(person, session, seconds, access_token=token, refresh_token=refresh)

    async def _of_session(self, unit: Reading, session: Session | None) -> Principal:
        person = await unit.person(session.person_id) if session else None
        if session is None or person is None or not person.is_active:
            raise _invalid_token()
        return Principal(
            person.id,
            person.username,
            "person",
            person.role,
            await permissions_of(unit, person.role),
            session_id=session.id,
            session_kind=session.kind,
            language=person.language,
            is_owner=person.is_owner,
        )

    async def _of_key(self, text: str) -> Principal:
        name = f"key:{digest(text)}"
        known = self._known.get(name)
        if known:
            return known
        changes = self._known.changes
        async with self._store.reading() as unit:
            found = await unit.key(key_id(text))
            if found is None or not same(found[1], digest(text)):
                raise _invalid_token()
            key = found[0]
            now = self._clock()
            if key.expires and key.expires <= now:
                raise _invalid_token()
            principal = await self._of_live_key(unit, key)
        await self._key_seen(key, now)
        most = (key.expires - now).total_seconds() if key.expires else KNOWN_FOR
        self._known.put(name, principal, changes, most=most)
        return principal

    async def _of_live_key(self, unit: Reading, key: Key) -> Principal:
        permissions = await permissions_of(unit, key.role)
        if key.scopes:
            permissions = intersection(permissions, key.scopes)
        person = await unit.person(key.person_id) if key.person_id else None
        if key.person_id:
            if person is None or not person.is_active:
                raise _invalid_token()
            permissions = intersection(permissions, await permissions_of(unit, person.role))
        return Principal(
            key.person_id,
            person.username if person else key.name,
            "key",
            key.role,
            permissions,
            key_id=key.id,
            language=person.language if person else "",
        )

    def _left(self, session: Session | None) -> float:
        return (session.expires - self._clock()).total_seconds() if session else 0.0

    async def _seen(self, session: Session) -> None:
        now = self._clock()
        if now - session.seen < min(_SEEN_EVERY, timedelta(seconds=self._settings.session_timeout_s / 4)):
            return
        expires: datetime | None = None  # an API session's end moves by refreshing alone
        if session.kind == "console":
            end = session.created + timedelta(days=self._settings.console_days)
            expires = min(end, now + timedelta(seconds=self._settings.session_timeout_s))
        try:
            async with self._store.writing() as unit:
                await unit.touch_session(session.id, now, expires)
        except UnavailableError as error:
            _log.debug("The last use of a session could not be noted: %s", error)

    async def _key_seen(self, key: Key, now: datetime) -> None:
        if key.seen and now - key.seen < _SEEN_EVERY:
            return
        try:
            async with self._store.writing() as unit:
                await unit.touch_key(key.id, now)
        except UnavailableError as error:
            _log.debug("The last use of a key could not be noted: %s", error)


def _yes(is_so: bool) -> str:  # noqa: FBT001 - the only argument
    return "yes" if is_so else "no"


def _invalid() -> InvalidCredentialsError:
    return InvalidCredentialsError(
        _("The name, the password or the code is wrong."), hint=_("Check them and try again.")
    )


def _invalid_token() -> InvalidTokenError:
    return InvalidTokenError(_("The sign-in is not valid, or not any more."), hint=_("Sign in again."))
