"""Roles: the built-in ones and those that were made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dozor.features.access.core.permissions import covers_any, is_pattern
from dozor.features.access.model import (
    BUILTIN_ROLES,
    PERMISSIONS,
    ConflictError,
    Entry,
    Event,
    ForbiddenError,
    InvalidValueError,
    MissingError,
    Origin,
    Principal,
    Role,
)
from dozor.features.access.ports import AccessStore, Reading
from dozor.features.access.service.checks import may_grant
from dozor.features.access.service.ledger import Ledger, entry_by
from dozor.features.access.service.signin import Known
from dozor.kernel.i18n import _

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_LONGEST_DESCRIPTION = 200


class Roles:
    """Makes, changes and removes custom roles; nobody makes one that allows more than they may.

    Args:
        store: Keeps custom roles.
        ledger: Records.
        known: Emptied by every change.
    """

    def __init__(self, *, store: AccessStore, ledger: Ledger, known: Known) -> None:
        self._store = store
        self._ledger = ledger
        self._known = known

    def permissions(self) -> Mapping[str, str]:
        """Every permission and what it allows, in the current language."""
        return {name: _(text) for name, text in PERMISSIONS.items()}

    async def list(self) -> Sequence[Role]:
        """The built-in roles, then the others by name."""
        async with self._store.reading() as unit:
            return (*map(_told, BUILTIN_ROLES.values()), *await unit.roles())

    async def get(self, name: str) -> Role:
        """One role.

        Raises:
            MissingError: There is none of this name.
        """
        if name in BUILTIN_ROLES:
            return _told(BUILTIN_ROLES[name])
        async with self._store.reading() as unit:
            return await _existing(unit, name)

    async def create(
        self, by: Principal, origin: Origin, name: str, permissions: Sequence[str], description: str = ""
    ) -> Role:
        """Make a role.

        Raises:
            InvalidValueError: Name, permissions or description will not do.
            ConflictError: The name is taken.
            ForbiddenError: It would allow more than the caller may.
        """
        if not _NAME.fullmatch(name):
            raise InvalidValueError(
                _("'{name}' will not do as the name of a role.").format(name=name[:40]),
                field="name",
                hint=_("Use 1 to 40 lower-case letters, digits and '-', with a letter first."),
            )
        role = Role(name, _checked(permissions), _described(description))
        may_grant(by, role.permissions)
        async with self._ledger.writing() as change:
            if name in BUILTIN_ROLES or await change.unit.role(name):
                raise ConflictError(_("There is a role '{name}' already.").format(name=name))
            await change.unit.put_role(role)
            await change.note(_entry(by, origin, "roles.create", role))
        self._known.forget()
        return role

    async def update(
        self,
        by: Principal,
        origin: Origin,
        name: str,
        *,
        permissions: Sequence[str] | None = None,
        description: str | None = None,
    ) -> Role:
        """Change a custom role; what is None stays. It counts at once for those who have it.

        Raises:
            MissingError: There is none of this name.
            ForbiddenError: It is built in, or allows more than the caller may, before or after.
            InvalidValueError: Permissions or description will not do.
        """
        _not_builtin(name)
        async with self._ledger.writing() as change:
            role = await _existing(change.unit, name)
            may_grant(by, role.permissions)
            if permissions is not None:
                role = replace(role, permissions=_checked(permissions))
                may_grant(by, role.permissions)
            if description is not None:
                role = replace(role, description=_described(description))
            await change.unit.put_role(role)
            await change.note(_entry(by, origin, "roles.update", role))
        self._known.forget()
        return role

    async def remove(self, by: Principal, origin: Origin, name: str) -> None:
        """Remove a custom role that nobody has.

        Raises:
            MissingError: There is none of this name.
            ForbiddenError: It is built in, or allows more than the caller may.
            ConflictError: A person or a key has it.
        """
        _not_builtin(name)
        async with self._ledger.writing() as change:
            role = await _existing(change.unit, name)
            may_grant(by, role.permissions)
            people = [person.username for person in await change.unit.people() if person.role == name]
            keys = [key.name for key in await change.unit.keys(everyone=True) if key.role == name]
            if people or keys:
                raise ConflictError(
                    _("The role '{name}' is in use by {users}.").format(
                        name=name, users=", ".join((people + keys)[:10])
                    ),
                    hint=_("Give them another one first."),
                )
            await change.unit.remove_role(name)
            await change.note(_entry(by, origin, "roles.remove", role))
        self._known.forget()


async def _existing(unit: Reading, name: str) -> Role:
    role = await unit.role(name)
    if role is None:
        raise MissingError(_("There is no role '{name}'.").format(name=name[:40]))
    return role


def _told(role: Role) -> Role:
    return replace(role, description=_(role.description))


def _not_builtin(name: str) -> None:
    if name in BUILTIN_ROLES:
        raise ForbiddenError(
            _("The role '{name}' is built in.").format(name=name), hint=_("Make one of your own instead.")
        )


def _checked(permissions: Sequence[str]) -> tuple[str, ...]:
    for permission in permissions:
        if not is_pattern(permission) or not covers_any(permission, PERMISSIONS):
            raise InvalidValueError(
                _("'{name}' is no permission.").format(name=permission[:100]),
                field="permissions",
                hint=_("Take some of {names}, '*', or a beginning such as 'bots.*'.").format(
                    names=", ".join(PERMISSIONS)
                ),
            )
    return tuple(sorted(set(permissions)))


def _described(description: str) -> str:
    if len(description) > _LONGEST_DESCRIPTION or not description.isprintable():
        raise InvalidValueError(
            _("The description is too long, or holds signs that cannot be shown."), field="description"
        )
    return description.strip()


def _entry(by: Principal, origin: Origin, action: str, role: Role) -> Entry:
    return entry_by(
        by,
        origin,
        Event.SENSITIVE_OPERATION,
        action,
        target=role.name,
        permissions=" ".join(role.permissions),
    )
