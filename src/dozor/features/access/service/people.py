"""People as those see them who look after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dozor.features.access.core.passwords import checked_password, checked_username
from dozor.features.access.core.secrets import new_id
from dozor.features.access.core.subjects import account_key, account_subject
from dozor.features.access.model import (
    Credentials,
    Event,
    ForbiddenError,
    InvalidValueError,
    MissingError,
    Origin,
    Person,
    Principal,
)
from dozor.features.access.ports import AccessStore
from dozor.features.access.service.checks import (
    Hashing,
    existing_credentials,
    existing_person,
    existing_role,
    may_change,
    may_grant,
)
from dozor.features.access.service.ledger import Ledger, entry_by
from dozor.features.access.service.signin import Known
from dozor.features.access.service.throttle import Throttle
from dozor.features.access.settings import AccessSettings
from dozor.kernel.i18n import LANGUAGES, _

_LONGEST_DISPLAY_NAME = 100


class People:
    """Adds, changes and removes people.

    Nobody gives a role that allows more than they may themselves, nor changes somebody who may do more; the
    owner is changed by the owner and by the command line alone, and never removed, disabled or demoted.

    Args:
        store: Keeps people.
        ledger: Records.
        throttle: Ends lock-outs.
        hashing: Hashes passwords.
        known: Emptied by every change.
        settings: What a password needs.
    """

    def __init__(
        self,
        *,
        store: AccessStore,
        ledger: Ledger,
        throttle: Throttle,
        hashing: Hashing,
        known: Known,
        settings: AccessSettings,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._throttle = throttle
        self._hashing = hashing
        self._known = known
        self._settings = settings

    async def list(self) -> Sequence[Person]:
        """All people, by name."""
        async with self._store.reading() as unit:
            return await unit.people()

    async def get(self, person_id: str) -> Person:
        """One person.

        Raises:
            MissingError: There is none of this id.
        """
        async with self._store.reading() as unit:
            return await existing_person(unit, person_id)

    async def named(self, username: str) -> Person:
        """The person of this name.

        Raises:
            MissingError: There is none.
        """
        async with self._store.reading() as unit:
            person = await unit.person_named(account_key(username))
        if person is None:
            raise MissingError(
                _("There is nobody called '{name}'.").format(name=username),
                hint=_("See 'dozor access people list'."),
            )
        return person

    async def create(
        self,
        by: Principal,
        origin: Origin,
        *,
        username: str,
        password: str,
        role: str,
        display_name: str = "",
        language: str = "",
    ) -> Person:
        """Add a person.

        Raises:
            InvalidValueError: A value will not do, or there is no such role.
            ConflictError: The name is taken.
            ForbiddenError: The role allows more than the caller may.
        """
        name = checked_username(username)
        checked_password(password, name, least=self._settings.password_min_length)
        check_profile(display_name, language)
        hashed = await self._hashing.hash(password)
        async with self._ledger.writing() as change:
            may_grant(by, await existing_role(change.unit, role))
            person = Person(
                new_id(),
                name,
                role,
                change.now,
                change.now,
                display_name=display_name.strip(),
                language=language,
            )
            await change.unit.add_person(person, Credentials(hashed))
            await change.note(
                entry_by(by, origin, Event.SENSITIVE_OPERATION, "people.create", target=name, role=role)
            )
        return person

    async def update(
        self,
        by: Principal,
        origin: Origin,
        person_id: str,
        *,
        role: str | None = None,
        is_active: bool | None = None,
        display_name: str | None = None,
        language: str | None = None,
        password: str | None = None,
        reset_totp: bool = False,
    ) -> Person:
        """Change a person; what is None stays. A new password, role or state ends the person's sessions.

        Raises:
            MissingError: There is none of this id.
            InvalidValueError: A value will not do, or there is no such role.
            ForbiddenError: The caller may not; or it is the owner's role or state, which nobody changes.
        """
        check_profile(display_name or "", language or "")
        hashed = ""
        if password is not None:
            person = await self.get(person_id)
            checked_password(password, person.username, least=self._settings.password_min_length)
            hashed = await self._hashing.hash(password)
        async with self._ledger.writing() as change:
            unit = change.unit
            person = await existing_person(unit, person_id)
            await may_change(unit, by, person)
            if person.id == by.person_id and (hashed or reset_totp):
                raise ForbiddenError(
                    _("Your own password and second factor are changed in your profile."),
                    hint=_("There your password is asked for, so that a borrowed screen is not enough."),
                )
            if person.is_owner and (is_active is False or role not in {None, person.role}):
                raise _owner_stays()
            if role is not None:
                may_grant(by, await existing_role(unit, role))
            credentials = await existing_credentials(unit, person_id)
            after = replace(
                person,
                role=person.role if role is None else role,
                is_active=person.is_active if is_active is None else is_active,
                display_name=person.display_name if display_name is None else display_name.strip(),
                language=person.language if language is None else language,
                has_totp=person.has_totp and not reset_totp,
                password_changed=change.now if hashed else person.password_changed,
            )
            await unit.change_person(after)
            if hashed or reset_totp:
                kept = Credentials(hashed or credentials.password)
                await unit.change_credentials(
                    person_id, kept if reset_totp else replace(credentials, password=kept.password)
                )
            if reset_totp:
                await unit.replace_recovery_codes(person_id, ())
            if hashed or not after.is_active or after.role != person.role:
                await unit.end_sessions(person_id, but=by.session_id)
            details = _changes(person, after) | ({"password": "reset"} if hashed else {})
            entry = entry_by(by, origin, Event.SENSITIVE_OPERATION, "people.update", target=person.username)
            await change.note(replace(entry, details=details))
        self._known.forget()
        return after

    async def remove(self, by: Principal, origin: Origin, person_id: str) -> None:
        """Remove a person with sessions and keys.

        Raises:
            MissingError: There is none of this id.
            ForbiddenError: The caller may not, or it is the owner or the caller.
        """
        async with self._ledger.writing() as change:
            person = await existing_person(change.unit, person_id)
            await may_change(change.unit, by, person)
            if person.is_owner:
                raise _owner_stays()
            if person.id == by.person_id:
                raise ForbiddenError(
                    _("You cannot remove yourself."), hint=_("Let somebody else do it, or sign out.")
                )
            await change.unit.remove_person(person_id)
            await change.note(
                entry_by(by, origin, Event.SENSITIVE_OPERATION, "people.remove", target=person.username)
            )
        self._known.forget()

    async def unlock(self, by: Principal, origin: Origin, person_id: str) -> None:
        """End the lock-out of a person's account.

        Raises:
            MissingError: There is none of this id.
        """
        person = await self.get(person_id)
        await self._throttle.unlock(account_subject(person.username))
        await self._ledger.record(
            entry_by(by, origin, Event.SENSITIVE_OPERATION, "people.unlock", target=person.username)
        )

    async def unlock_subject(self, by: Principal, origin: Origin, subject: str, said: str) -> None:
        """End the lock-out of an address, a name or everybody (`core.subjects`, `throttle.EVERYBODY`)."""
        await self._throttle.unlock(subject)
        await self._ledger.record(
            entry_by(by, origin, Event.SENSITIVE_OPERATION, "people.unlock", target=said)
        )


def check_profile(display_name: str, language: str) -> None:
    """Let a display name and a language pass that will do; empty ones will.

    Raises:
        InvalidValueError: One will not.
    """
    if len(display_name) > _LONGEST_DISPLAY_NAME or not display_name.isprintable():
        raise InvalidValueError(
            _("The display name is too long, or holds signs that cannot be shown."),
            field="display_name",
            hint=_("Take at most {count} printable characters.").format(count=_LONGEST_DISPLAY_NAME),
        )
    if language and language not in LANGUAGES:
        raise InvalidValueError(
            _("Dozor does not speak '{language}'.").format(language=language[:20]),
            field="language",
            hint=_("Take one of {names}, or none.").format(names=", ".join(LANGUAGES)),
        )


def _changes(before: Person, after: Person) -> dict[str, str]:
    names = ("role", "is_active", "display_name", "language", "has_totp")
    pairs = ((name, getattr(before, name), getattr(after, name)) for name in names)
    return {name: f"{old} > {new}" for name, old, new in pairs if old != new}


def _owner_stays() -> ForbiddenError:
    return ForbiddenError(
        _("The owner cannot be removed, disabled or given another role."),
        hint=_("So that there is always somebody who may do everything."),
    )
