"""Checks that several use cases of access share: who may act on whom, passwords and codes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from dozor.features.access.core.secrets import digest, plain_code
from dozor.features.access.model import (
    BUILTIN_ROLES,
    Credentials,
    ForbiddenError,
    InvalidValueError,
    MissingError,
    Person,
    Principal,
    allows,
)
from dozor.features.access.ports import Cipher, OneTimeCodes, Passwords, Reading, Writing
from dozor.kernel.i18n import _

Answer = TypeVar("Answer")


async def permissions_of(unit: Reading, role: str) -> tuple[str, ...]:
    """What a role allows; nothing when it is not there any more."""
    builtin = BUILTIN_ROLES.get(role)
    if builtin:
        return builtin.permissions
    stored = await unit.role(role)
    return stored.permissions if stored else ()


async def existing_role(unit: Reading, role: str) -> tuple[str, ...]:
    """What a role allows.

    Raises:
        InvalidValueError: There is no such role.
    """
    if role not in BUILTIN_ROLES and await unit.role(role) is None:
        raise InvalidValueError(
            _("There is no role '{name}'.").format(name=role),
            field="role",
            hint=_("Take admin, operator, viewer, or one that you have made."),
        )
    return await permissions_of(unit, role)


async def existing_person(unit: Reading, person_id: str) -> Person:
    """The person.

    Raises:
        MissingError: There is none of this id.
    """
    person = await unit.person(person_id)
    if person is None:
        raise MissingError(_("There is no such person, or not any more."))
    return person


async def existing_credentials(unit: Reading, person_id: str) -> Credentials:
    """What proves that somebody is that person.

    Raises:
        MissingError: There is none of this id.
    """
    found = await unit.credentials(person_id)
    if found is None:
        raise MissingError(_("There is no such person, or not any more."))
    return found


def signed_in(by: Principal) -> str:
    """The id of the person who signed in.

    Raises:
        ForbiddenError: It is a key: what leaks from a script must not change its person's sign-in.
    """
    if by.kind != "person" or by.person_id is None:
        raise ForbiddenError(
            _("An API key may not do this."), hint=_("Sign in with name and password instead.")
        )
    return by.person_id


def may_grant(by: Principal, permissions: Iterable[str]) -> None:
    """Let nobody give what they do not have.

    Raises:
        ForbiddenError: There is such a permission; the error names it.
    """
    for permission in permissions:
        if not allows(by.permissions, permission):
            raise ForbiddenError(
                _("You may not give the permission {permission}, which you do not have.").format(
                    permission=permission
                ),
                permission=permission,
            )


async def may_change(unit: Reading, by: Principal, person: Person) -> None:
    """Let nobody change those who may do more, nor anybody but the owner, and the command line, the owner.

    Raises:
        ForbiddenError: They may not.
    """
    if person.is_owner and by.person_id not in {None, person.id}:
        raise ForbiddenError(
            _("The owner can be changed by the owner alone."),
            hint=_("On the server, 'dozor access' can."),
        )
    if person.is_owner and by.kind == "key":
        raise ForbiddenError(_("The owner can be changed by the owner alone."))
    for permission in await permissions_of(unit, person.role):
        if not allows(by.permissions, permission):
            raise ForbiddenError(
                _("{name} has permissions that you do not have.").format(name=person.username),
                permission=permission,
            )


class Hashing:
    """Runs slow hashing in threads, only as many at once as there are cores.

    Args:
        passwords: Hashes and checks.
    """

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords
        self._turns = asyncio.Semaphore(os.cpu_count() or 1)

    async def hash(self, password: str) -> str:
        """Hash a password."""
        return await self._run(self._passwords.hash, password)

    async def check(self, password: str, hashed: str | None) -> bool:
        """Tell whether it is the password, in the same time when there is none (hash None)."""
        if hashed is None:
            await self._run(self._passwords.waste, password)
            return False
        return await self._run(self._passwords.check, password, hashed)

    def is_dated(self, hashed: str) -> bool:
        """Tell whether a hash should be made anew."""
        return self._passwords.is_dated(hashed)

    async def _run(self, function: Callable[..., Answer], *arguments: str) -> Answer:
        async with self._turns:
            return await asyncio.to_thread(function, *arguments)


class CodeCheck:
    """Takes codes of the second factor, each once.

    Args:
        codes: Knows which step a code belongs to.
        cipher: Reads the stored secret.
    """

    def __init__(self, codes: OneTimeCodes, cipher: Cipher) -> None:
        self._codes = codes
        self._cipher = cipher

    async def takes(
        self, unit: Writing, person_id: str, credentials: Credentials, code: str, now: datetime
    ) -> Credentials | None:
        """Take a one-time code or a recovery code.

        Returns:
            The credentials after it, to be kept by the caller; None when the code is wrong or was used
            before (RFC 6238 5.2).
        """
        plain = plain_code(code)
        secret = self._cipher.decrypt(credentials.totp)
        step = self._codes.step(secret, plain, now)
        if step is not None:
            if step <= credentials.totp_step:
                return None
            # Encrypted anew, so that in time nothing needs a former key any more.
            return replace(credentials, totp=self._cipher.encrypt(secret), totp_step=step)
        return credentials if await unit.use_recovery_code(person_id, digest(plain)) else None
