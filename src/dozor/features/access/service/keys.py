"""API keys: for programs, shown once, never allowing more than the person whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dozor.features.access.core.permissions import covers_any, intersection, is_pattern
from dozor.features.access.core.secrets import digest, new_key
from dozor.features.access.model import (
    PERMISSIONS,
    Event,
    ForbiddenError,
    InvalidValueError,
    Key,
    MissingError,
    Origin,
    Principal,
)
from dozor.features.access.ports import AccessStore
from dozor.features.access.service.checks import existing_role, may_grant, signed_in
from dozor.features.access.service.ledger import Ledger, entry_by
from dozor.features.access.service.signin import Known
from dozor.kernel.i18n import _

_LONGEST_NAME = 100
_LONGEST_LIFE = timedelta(days=3650)
_MANAGES = "keys.write"


class Keys:
    """Makes, lists and revokes API keys.

    Args:
        store: Keeps them.
        ledger: Records.
        known: Emptied by every change.
    """

    def __init__(self, *, store: AccessStore, ledger: Ledger, known: Known) -> None:
        self._store = store
        self._ledger = ledger
        self._known = known

    async def own(self, by: Principal) -> Sequence[Key]:
        """The caller's own, the newest first.

        Raises:
            ForbiddenError: It is a key itself.
        """
        async with self._store.reading() as unit:
            return await unit.keys(signed_in(by))

    async def all(self) -> Sequence[Key]:
        """Everybody's and nobody's, the newest first."""
        async with self._store.reading() as unit:
            return await unit.keys(everyone=True)

    async def create(
        self,
        by: Principal,
        origin: Origin,
        *,
        name: str,
        role: str | None = None,
        scopes: Sequence[str] = (),
        expires_in: timedelta | None = None,
        for_nobody: bool = False,
    ) -> tuple[Key, str]:
        """Make a key; it is shown this once.

        Args:
            by: Whose it will be.
            origin: Where from.
            name: What it is for.
            role: What it may do; the caller's own role when None.
            scopes: Permissions to narrow it down to; empty for all of the role.
            expires_in: How long it lives; None for ever.
            for_nobody: It belongs to no person, and goes on when its maker is removed; needs `keys.write`.

        Raises:
            InvalidValueError: A value will not do.
            ForbiddenError: It would allow more than the caller may; or the caller is a key without
                `keys.write`.
        """
        nobodys = for_nobody or by.person_id is None
        if nobodys or by.kind == "key":
            _may_manage(by)
        key_id, secret = new_key()
        async with self._ledger.writing() as change:
            allowed = await existing_role(change.unit, by.role if role is None else role)
            wanted = _checked_scopes(scopes)
            may_grant(by, _narrowed(allowed, wanted))
            key = Key(
                key_id,
                _checked_name(name),
                by.role if role is None else role,
                change.now,
                wanted,
                None if nobodys else by.person_id,
                change.now + _checked_life(expires_in) if expires_in is not None else None,
            )
            await change.unit.add_key(key, digest(secret))
            await change.note(
                entry_by(
                    by, origin, Event.SENSITIVE_OPERATION, "keys.create", target=key.id, name=key.name,
                    role=key.role, scopes=" ".join(wanted),
                    expires=key.expires.isoformat(timespec="seconds") if key.expires else "",
                )
            )  # fmt: skip
        return key, secret

    async def revoke(self, by: Principal, origin: Origin, key_id: str) -> None:
        """Revoke one's own key, or with `keys.write` anybody's.

        Raises:
            MissingError: There is none of this id, or it is somebody else's.
        """
        async with self._ledger.writing() as change:
            found = await change.unit.key(key_id)
            own = found is not None and found[0].person_id == by.person_id and by.kind == "person"
            if found is None or not (own or by.can(_MANAGES)):
                raise MissingError(_("There is no such key, or not any more."))
            await change.unit.remove_key(key_id)
            await change.note(
                entry_by(
                    by, origin, Event.SENSITIVE_OPERATION, "keys.revoke", target=key_id, name=found[0].name
                )
            )
        self._known.forget()


def _may_manage(by: Principal) -> None:
    if not by.can(_MANAGES):
        raise ForbiddenError(
            _("This needs the permission {permission}.").format(permission=_MANAGES), permission=_MANAGES
        )


def _checked_name(name: str) -> str:
    text = name.strip()
    if not text or len(text) > _LONGEST_NAME or not text.isprintable():
        raise InvalidValueError(
            _("The name of the key is empty, too long, or holds signs that cannot be shown."),
            field="name",
            hint=_("Say in at most {count} characters what it is for.").format(count=_LONGEST_NAME),
        )
    return text


def _checked_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    for scope in scopes:
        if not is_pattern(scope) or not covers_any(scope, PERMISSIONS):
            raise InvalidValueError(
                _("'{name}' is no permission.").format(name=scope[:100]),
                field="scopes",
                hint=_("See 'GET /api/v1/permissions' for all of them."),
            )
    return tuple(sorted(set(scopes)))


def _narrowed(allowed: tuple[str, ...], scopes: tuple[str, ...]) -> tuple[str, ...]:
    for scope in scopes:
        if not intersection(allowed, (scope,)):
            raise ForbiddenError(
                _("The role does not have the permission {permission}.").format(permission=scope),
                permission=scope,
            )
    return intersection(allowed, scopes) if scopes else allowed


def _checked_life(life: timedelta) -> timedelta:
    if not timedelta(0) < life <= _LONGEST_LIFE:
        raise InvalidValueError(
            _("A key may live from now on for up to {days} days.").format(days=_LONGEST_LIFE.days),
            field="expires_in",
        )
    return life
