"""One's own profile, password and second factor."""

from __future__ import annotations

from dataclasses import replace

from dozor.features.access.core.passwords import checked_password
from dozor.features.access.core.secrets import digest, new_recovery_codes, plain_code
from dozor.features.access.model import (
    ConflictError,
    Enrolment,
    Event,
    InvalidCredentialsError,
    Origin,
    Person,
    Principal,
)
from dozor.features.access.ports import AccessStore, Cipher, OneTimeCodes
from dozor.features.access.service.checks import (
    Hashing,
    existing_credentials,
    existing_person,
    signed_in,
)
from dozor.features.access.service.ledger import Change, Ledger, entry_by
from dozor.features.access.service.people import check_profile
from dozor.features.access.service.signin import Known, SignIn
from dozor.features.access.service.throttle import Throttle
from dozor.features.access.settings import AccessSettings
from dozor.kernel.i18n import _


class Profile:
    """What everybody may do to themselves once signed in; an API key may not.

    Args:
        store: Keeps people.
        ledger: Records.
        signin: Checks the password again where that is needed.
        throttle: Counts wrong codes.
        hashing: Hashes passwords.
        codes: Makes and checks one-time codes.
        cipher: Encrypts their secrets.
        known: Emptied by changes.
        settings: What a password needs.
    """

    def __init__(
        self,
        *,
        store: AccessStore,
        ledger: Ledger,
        signin: SignIn,
        throttle: Throttle,
        hashing: Hashing,
        codes: OneTimeCodes,
        cipher: Cipher,
        known: Known,
        settings: AccessSettings,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._signin = signin
        self._throttle = throttle
        self._hashing = hashing
        self._codes = codes
        self._cipher = cipher
        self._known = known
        self._settings = settings

    async def get(self, by: Principal) -> tuple[Person, int]:
        """The person behind a call and how many recovery codes are left.

        Raises:
            ForbiddenError: It is a key.
            MissingError: The person was removed a moment ago.
        """
        person_id = signed_in(by)
        async with self._store.reading() as unit:
            return await existing_person(unit, person_id), await unit.recovery_codes(person_id)

    async def update(
        self, by: Principal, origin: Origin, *, display_name: str | None = None, language: str | None = None
    ) -> Person:
        """Change how one is called and spoken to; what is None stays.

        Raises:
            ForbiddenError: It is a key.
            InvalidValueError: A value will not do.
        """
        person_id = signed_in(by)
        check_profile(display_name or "", language or "")
        async with self._ledger.writing() as change:
            before = await existing_person(change.unit, person_id)
            after = replace(
                before,
                display_name=before.display_name if display_name is None else display_name.strip(),
                language=before.language if language is None else language,
            )
            if after != before:
                await change.unit.change_person(after)
                await self._note(change, by, origin, "profile.update")
        self._known.forget()
        return after

    async def change_password(self, by: Principal, origin: Origin, *, current: str, new: str) -> None:
        """Change the password, and end all other sessions.

        Raises:
            ForbiddenError: It is a key.
            InvalidCredentialsError: The current one is wrong.
            LockedOutError: Too many attempts have failed.
            InvalidValueError: The new one will not do.
        """
        person_id = signed_in(by)
        checked = await self._signin.confirm(by, current, origin, "profile.password")
        checked_password(new, by.username, least=self._settings.password_min_length, field="new_password")
        hashed = await self._hashing.hash(new)
        async with self._ledger.writing() as change:
            credentials = await existing_credentials(change.unit, person_id)
            if credentials.password != checked.password:
                raise InvalidCredentialsError(_("The password is wrong."))
            person = await existing_person(change.unit, person_id)
            await change.unit.change_credentials(person_id, replace(credentials, password=hashed))
            await change.unit.change_person(replace(person, password_changed=change.now))
            await change.unit.end_sessions(person_id, but=by.session_id)
            await self._note(change, by, origin, "profile.password")
        self._known.forget()

    async def begin_totp(self, by: Principal, origin: Origin, *, password: str | None = None) -> Enrolment:
        """Make the secret of a second factor; it counts once a code of it has come (`confirm_totp`).

        Args:
            by: Who.
            origin: Where from.
            password: Checked when given; needed by nobody who has no second factor yet.

        Raises:
            ForbiddenError: It is a key.
            ConflictError: There is a second factor; it must be removed first.
            InvalidCredentialsError: The password is wrong.
        """
        person_id = signed_in(by)
        if password is not None:
            await self._signin.confirm(by, password, origin, "profile.totp.begin")
        secret = self._codes.secret()
        async with self._ledger.writing() as change:
            credentials = await existing_credentials(change.unit, person_id)
            if credentials.totp:
                raise ConflictError(
                    _("You have a second factor already."), hint=_("Remove it first, with your password.")
                )
            pending = replace(credentials, totp_pending=self._cipher.encrypt(secret))
            await change.unit.change_credentials(person_id, pending)
        uri = self._codes.uri(secret, by.username)
        return Enrolment(secret, uri, self._codes.qr(uri))

    async def confirm_totp(self, by: Principal, origin: Origin, code: str) -> tuple[str, ...]:
        """Switch the second factor on by its first code.

        Returns:
            The recovery codes, which are shown this once.

        Raises:
            ForbiddenError: It is a key.
            ConflictError: None was begun.
            InvalidCredentialsError: The code is wrong; this counts like a failed sign-in.
            LockedOutError: Too many have failed.
        """
        person_id = signed_in(by)
        async with self._throttle.attempt(origin, by.username, "profile.totp.confirm"):
            codes = await self._confirm(by, origin, person_id, plain_code(code))
            if not codes:
                await self._throttle.failed(origin, by.username)
                await self._ledger.record(
                    entry_by(
                        by, origin, Event.LOGIN_ATTEMPT, "profile.totp.confirm", result="failed",
                        target=by.username, reason="code",
                    )
                )  # fmt: skip
                raise InvalidCredentialsError(
                    _("The code is wrong."), hint=_("Check the clock of the device that makes the codes.")
                )
        return codes

    async def remove_totp(self, by: Principal, origin: Origin, password: str) -> None:
        """Switch the second factor off.

        Raises:
            ForbiddenError: It is a key.
            InvalidCredentialsError: The password is wrong.
            LockedOutError: Too many attempts have failed.
        """
        person_id = signed_in(by)
        await self._signin.confirm(by, password, origin, "profile.totp.remove")
        async with self._ledger.writing() as change:
            credentials = await existing_credentials(change.unit, person_id)
            person = await existing_person(change.unit, person_id)
            await change.unit.change_credentials(
                person_id, replace(credentials, totp="", totp_pending="", totp_step=0)
            )
            await change.unit.replace_recovery_codes(person_id, ())
            await change.unit.change_person(replace(person, has_totp=False))
            await self._note(change, by, origin, "profile.totp.remove")
        self._known.forget()

    async def new_recovery_codes(self, by: Principal, origin: Origin, password: str) -> tuple[str, ...]:
        """Make new recovery codes in the place of all old ones.

        Raises:
            ForbiddenError: It is a key.
            ConflictError: There is no second factor.
            InvalidCredentialsError: The password is wrong.
            LockedOutError: Too many attempts have failed.
        """
        person_id = signed_in(by)
        await self._signin.confirm(by, password, origin, "profile.recovery_codes")
        codes = new_recovery_codes()
        async with self._ledger.writing() as change:
            if not (await existing_credentials(change.unit, person_id)).totp:
                raise ConflictError(_("You have no second factor."), hint=_("Set one up first."))
            await self._put_codes(change, person_id, codes)
            await self._note(change, by, origin, "profile.recovery_codes")
        return codes

    async def _confirm(self, by: Principal, origin: Origin, person_id: str, code: str) -> tuple[str, ...]:
        codes = new_recovery_codes()
        async with self._ledger.writing() as change:
            credentials = await existing_credentials(change.unit, person_id)
            if not credentials.totp_pending:
                raise ConflictError(_("No second factor was begun."), hint=_("Begin with a new one."))
            step = self._codes.step(self._cipher.decrypt(credentials.totp_pending), code, change.now)
            if step is None:
                return ()
            person = await existing_person(change.unit, person_id)
            after = replace(credentials, totp=credentials.totp_pending, totp_pending="", totp_step=step)
            await change.unit.change_credentials(person_id, after)
            await self._put_codes(change, person_id, codes)
            await change.unit.change_person(replace(person, has_totp=True))
            await self._note(change, by, origin, "profile.totp.confirm")
        self._known.forget()
        return codes

    async def _put_codes(self, change: Change, person_id: str, codes: tuple[str, ...]) -> None:
        await change.unit.replace_recovery_codes(person_id, [digest(plain_code(code)) for code in codes])

    async def _note(self, change: Change, by: Principal, origin: Origin, action: str) -> None:
        await change.note(entry_by(by, origin, Event.SENSITIVE_OPERATION, action, target=by.username))
