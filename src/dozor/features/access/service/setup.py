"""The first start: a one-time link, or the command line, makes the owner; there is no default password."""

from __future__ import annotations

from dataclasses import replace

from dozor.features.access.core.passwords import checked_password, checked_username
from dozor.features.access.core.secrets import SETUP, digest, new_id, new_token, same
from dozor.features.access.model import (
    ADMIN,
    COMMAND_LINE,
    LOCAL,
    ConflictError,
    Credentials,
    Event,
    Granted,
    InvalidTokenError,
    Origin,
    Person,
    SessionKind,
)
from dozor.features.access.ports import AccessStore
from dozor.features.access.service.checks import Hashing
from dozor.features.access.service.ledger import Change, Ledger, entry_by
from dozor.features.access.service.signin import SignIn
from dozor.features.access.service.throttle import Throttle
from dozor.features.access.settings import AccessSettings
from dozor.kernel.i18n import _


class Setup:
    """Makes the owner, once.

    Args:
        store: Keeps people.
        ledger: Records.
        throttle: Refuses those who guess the token.
        hashing: Hashes the password.
        signin: Begins the owner's first session.
        settings: What a password needs.
    """

    def __init__(
        self,
        *,
        store: AccessStore,
        ledger: Ledger,
        throttle: Throttle,
        hashing: Hashing,
        signin: SignIn,
        settings: AccessSettings,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._throttle = throttle
        self._hashing = hashing
        self._signin = signin
        self._settings = settings

    async def is_needed(self) -> bool:
        """Whether there is no owner yet."""
        async with self._store.reading() as unit:
            return await unit.owner() is None

    async def new_token(self) -> str:
        """A new token for the set-up link, in the place of the former; empty when there is an owner.

        It goes into the link's fragment (`/setup#TOKEN`), which no browser sends and no log holds.
        """
        token = new_token(SETUP)
        async with self._ledger.writing() as change:
            if await change.unit.owner():
                return ""
            await change.unit.put_setup_token(digest(token))
            await change.note(entry_by(COMMAND_LINE, LOCAL, Event.SENSITIVE_OPERATION, "setup.link"))
        return token

    async def create_owner(
        self, token: str, username: str, password: str, origin: Origin, *, kind: SessionKind = "api"
    ) -> Granted:
        """Make the owner by the link's token, and sign in.

        Raises:
            ConflictError: There is an owner.
            InvalidTokenError: It is not the link's token; this counts as a failed attempt of the address.
            LockedOutError: Too many have failed.
            InvalidValueError: Name or password will not do; the token stays good.
        """
        async with self._throttle.attempt(origin, "", "setup.owner"):
            async with self._store.reading() as unit:
                owner, expected = await unit.owner(), await unit.setup_token()
            if owner:
                raise _has_owner()
            if not expected or not same(expected, digest(token)):
                await self._throttle.failed(origin, "")
                await self._ledger.refused(
                    entry_by(None, origin, Event.PERMISSION_DENIED, "setup.owner", result="refused")
                )
                raise InvalidTokenError(
                    _("The set-up link is not valid, or not any more."),
                    hint=_("Run 'dozor access setup-link' on the server for a new one."),
                )
        name, hashed = await self._checked(username, password)
        async with self._ledger.writing() as change:
            if not same(await change.unit.setup_token(), expected):
                raise _has_owner()
            person = replace(await self._add(change, name, hashed, origin), last_login=change.now)
            await change.unit.change_person(person)
            return await self._signin.begin(change, person, origin, kind)

    async def create_owner_here(self, username: str, password: str) -> Person:
        """Make the owner from the command line on this machine.

        Raises:
            ConflictError: There is an owner.
            InvalidValueError: Name or password will not do.
        """
        if not await self.is_needed():
            raise _has_owner()
        name, hashed = await self._checked(username, password)
        async with self._ledger.writing() as change:
            return await self._add(change, name, hashed, LOCAL)

    async def adopt(self) -> Person | None:
        """Make the owner from the settings ADMIN_USERNAME and ADMIN_PASSWORD_HASH when there is none.

        Raises:
            InvalidValueError: The name will not do.
        """
        name, hashed = self._settings.admin_username, self._settings.admin_password_hash
        if not name or not hashed or not await self.is_needed():
            return None
        async with self._ledger.writing() as change:
            return await self._add(change, checked_username(name), hashed.get_secret_value(), LOCAL)

    async def _checked(self, username: str, password: str) -> tuple[str, str]:
        name = checked_username(username)
        checked_password(password, name, least=self._settings.password_min_length)
        return name, await self._hashing.hash(password)

    async def _add(self, change: Change, username: str, hashed: str, origin: Origin) -> Person:
        if await change.unit.owner():
            raise _has_owner()
        person = Person(new_id(), username, ADMIN, change.now, change.now, is_owner=True)
        await change.unit.add_person(person, Credentials(hashed))
        await change.unit.put_setup_token("")
        entry = entry_by(COMMAND_LINE, origin, Event.SENSITIVE_OPERATION, "setup.owner", target=username)
        if origin != LOCAL:
            entry = replace(entry, actor=username, actor_id=person.id)
        await change.note(entry)
        return person


def _has_owner() -> ConflictError:
    return ConflictError(
        _("There is an owner already."),
        hint=_("Sign in, or run 'dozor access reset-password NAME' on the server."),
    )
