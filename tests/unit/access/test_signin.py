"""Signing in, tokens and their theft, the second factor."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from dozor.features.access.adapters.passwords_bcrypt import PREFIX
from dozor.features.access.core.secrets import plain_code
from dozor.features.access.model import (
    COMMAND_LINE,
    LOCAL,
    ConflictError,
    Credentials,
    ForbiddenError,
    InvalidCredentialsError,
    InvalidTokenError,
    InvalidValueError,
    TokenReuseError,
    TotpRequiredError,
)
from dozor.features.access.service.signin import KNOWN_FOR
from dozor.features.access.settings import AccessSettings
from dozor.infra.keys import KeyRing
from tests.unit.access.test_adapters import werkzeug_hash
from tests.unit.access.world import ELSEWHERE, HOME, PASSWORD, SECRET, World, play


def test_the_set_up_link_makes_the_owner_once() -> None:
    async def story(world: World) -> None:
        setup = world.access.setup
        assert await setup.is_needed()
        first, second = await setup.new_token(), await setup.new_token()
        for wrong in ("", first, "dzu_x"):
            with pytest.raises(InvalidTokenError):
                await setup.create_owner(wrong, "anna", PASSWORD, ELSEWHERE)
        with pytest.raises(InvalidValueError):
            await setup.create_owner(second, "anna", "short", HOME)
        granted = await setup.create_owner(second, "anna", PASSWORD, HOME, kind="console")
        assert granted.person.is_owner
        assert (await world.access.people.get(granted.person.id)).last_login == world.clock.now
        (record,) = await world.audit(action="setup.owner", result="ok")
        assert (record.entry.actor, record.entry.actor_kind, record.entry.address) == (
            "anna",
            "person",
            HOME.address,
        )
        by = await world.access.signin.authenticate_console(granted.console_token)
        assert by.can("whatever.there.is")
        for token in (second, ""):
            with pytest.raises(ConflictError):
                await setup.create_owner(token, "bob", PASSWORD, HOME)
        with pytest.raises(ConflictError):
            await setup.create_owner_here("bob", PASSWORD)
        assert await setup.new_token() == ""
        assert not await setup.is_needed()

    play(story)


def test_the_link_makes_one_owner_even_if_two_follow_it_at_once() -> None:
    async def story(world: World) -> None:
        token = await world.access.setup.new_token()
        made = await asyncio.gather(
            *(world.access.setup.create_owner(token, f"p{n}", PASSWORD, HOME) for n in range(4)),
            return_exceptions=True,
        )
        assert sum(not isinstance(one, BaseException) for one in made) == 1
        assert len(await world.access.people.list()) == 1

    play(story)


def test_who_signs_in_is_known_by_the_token() -> None:
    async def story(world: World) -> None:
        await world.owner()
        granted = await world.login("ANNA")
        assert (granted.expires_in, granted.person.last_login) == (1800, world.clock.now)
        by = await world.access.signin.authenticate(granted.access_token)
        assert (by.username, by.role, by.kind, by.session_kind) == ("anna", "admin", "person", "api")
        world.clock.pass_(seconds=1800)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate(granted.access_token)

    play(story)


def test_a_wrong_name_and_a_wrong_password_sound_alike() -> None:
    async def story(world: World) -> None:
        await world.owner()
        bob = await world.person("bob")
        await world.access.people.update(COMMAND_LINE, LOCAL, bob.id, is_active=False)
        told = set()
        for name, password in (("nobody", PASSWORD), ("anna", "wrong"), ("bob", PASSWORD), ("", "")):
            with pytest.raises(InvalidCredentialsError) as error:
                await world.login(name, password)
            told.add((str(error.value), error.value.status, error.value.problem))
        assert len(told) == 1

    play(story)


def test_the_last_use_of_a_session_is_noted_to_the_minute() -> None:
    async def story(world: World) -> None:
        await world.owner()
        granted = await world.login()
        began = world.clock.now
        for passed, seen in ((30, 0), (35, 65), (20, 65), (50, 135)):
            world.clock.pass_(seconds=passed)
            by = await world.access.signin.authenticate(granted.access_token)
            (session,) = await world.access.sessions.own(by)
            assert (session.seen - began).total_seconds() == seen
            assert session.expires == granted.session.expires

    play(story)


def test_a_hash_of_the_earlier_system_is_made_anew_at_the_first_sign_in() -> None:
    async def story(world: World) -> None:
        adopted = await world.access.setup.adopt()
        assert adopted
        assert adopted.is_owner
        assert await world.access.setup.adopt() is None
        await world.login("chief", "old but fine")
        async with world.store.reading() as unit:
            credentials = await unit.credentials(adopted.id)
        assert credentials
        assert credentials.password.startswith(PREFIX)
        await world.login("chief", "old but fine")

    settings = AccessSettings.model_validate(
        {"bcrypt_rounds": 4, "admin_username": "chief", "admin_password_hash": werkzeug_hash("old but fine")}
    )
    play(story, settings=settings)


def test_a_refresh_token_gives_the_next_and_keeps_the_session() -> None:
    async def story(world: World) -> None:
        await world.owner()
        granted = await world.login()
        world.clock.pass_(days=29)
        renewed = await world.access.signin.refresh(granted.refresh_token, HOME)
        world.clock.pass_(days=29)
        again = await world.access.signin.refresh(renewed.refresh_token, HOME)
        assert granted.session.id == renewed.session.id == again.session.id
        await world.access.signin.authenticate(again.access_token)
        world.clock.pass_(days=30)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.refresh(again.refresh_token, HOME)

    play(story)


def test_a_stolen_refresh_token_ends_the_family_and_is_told() -> None:
    async def story(world: World) -> None:
        await world.owner()
        granted, other = await world.login(), await world.login()
        thief = await world.access.signin.refresh(granted.refresh_token, ELSEWHERE)
        with pytest.raises(TokenReuseError):
            await world.access.signin.refresh(granted.refresh_token, HOME)
        for token in (granted.refresh_token, thief.refresh_token):
            with pytest.raises(InvalidTokenError):
                await world.access.signin.refresh(token, HOME)
        for token in (granted.access_token, thief.access_token):
            with pytest.raises(InvalidTokenError):
                await world.access.signin.authenticate(token)
        await world.access.signin.authenticate(other.access_token)
        (record,) = await world.audit(event="token_reuse")
        assert (record.entry.target, record.entry.details["session"]) == ("anna", granted.session.id)
        assert [(one.kind, one.subject.name) for one in world.findings] == [("access.token_reuse", "anna")]

    play(story)


def test_of_two_refreshes_at_once_one_wins_and_the_other_counts_as_theft() -> None:
    async def story(world: World) -> None:
        await world.owner()
        granted = await world.login()
        refresh = world.access.signin.refresh
        answers = await asyncio.gather(
            *(refresh(granted.refresh_token, HOME) for _number in range(2)), return_exceptions=True
        )
        assert sorted(type(answer).__name__ for answer in answers) == ["Granted", "TokenReuseError"]

    play(story)


@pytest.mark.parametrize("token", ["", "x", "dzr_unknown", "dzs_x", "dzr_" + "x" * 5000])
def test_an_unknown_token_is_refused_and_writes_nothing(token: str) -> None:
    async def story(world: World) -> None:
        await world.owner()
        before = await world.audit()
        with pytest.raises(InvalidTokenError):
            await world.access.signin.refresh(token, HOME)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate(token)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate_console(token)
        assert await world.audit() == before

    play(story)


def test_signing_out_ends_the_session_at_once_here_and_soon_elsewhere() -> None:
    async def story(world: World) -> None:
        await world.owner()
        granted = await world.login()
        other = world.process()
        by = await world.access.signin.authenticate(granted.access_token)
        assert await other.signin.authenticate(granted.access_token) == by
        await world.access.signin.logout(by, HOME)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate(granted.access_token)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.refresh(granted.refresh_token, HOME)
        world.clock.pass_(seconds=KNOWN_FOR)
        with pytest.raises(InvalidTokenError):
            await other.signin.authenticate(granted.access_token)
        assert KNOWN_FOR <= 3

    play(story)


def test_a_refresh_token_alone_can_sign_out() -> None:
    async def story(world: World) -> None:
        await world.owner()
        granted = await world.login()
        await world.access.signin.logout_by_refresh("dzr_unknown", HOME)
        await world.access.signin.logout_by_refresh(granted.refresh_token, HOME)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate(granted.access_token)

    play(story)


def test_a_console_session_lives_while_it_is_used_but_not_for_ever() -> None:
    async def story(world: World) -> None:
        await world.owner()
        granted = await world.access.signin.login("anna", PASSWORD, HOME, kind="console")
        for _half_day in range(10):
            world.clock.pass_(hours=11)
            assert (
                await world.access.signin.authenticate_console(granted.console_token)
            ).session_kind == "console"
        world.clock.pass_(hours=13)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate_console(granted.console_token)

    play(story)


def test_a_former_secret_key_logs_nobody_out() -> None:
    async def story(world: World) -> None:
        await world.owner()
        granted = await world.login()
        secret, _codes = await world.with_totp()
        world.keys = KeyRing("another secret of more than 32 signs", (SECRET,))
        rotated = world.process()
        await rotated.signin.authenticate(granted.access_token)
        await rotated.signin.login("anna", PASSWORD, HOME, totp=world.code(secret))
        world.keys = KeyRing("another secret of more than 32 signs")  # the former one is dropped
        world.clock.pass_(seconds=30)
        await world.process().signin.login("anna", PASSWORD, HOME, totp=world.code(secret))

    play(story)


def test_the_second_factor_is_asked_for_only_after_the_right_password() -> None:
    async def story(world: World) -> None:
        await world.owner()
        secret, _codes = await world.with_totp()
        with pytest.raises(TotpRequiredError):
            await world.login()
        with pytest.raises(InvalidCredentialsError):
            await world.login(password="wrong")
        with pytest.raises(InvalidCredentialsError):
            await world.login(password="wrong", totp=world.code(secret))
        with pytest.raises(InvalidCredentialsError):
            await world.login(totp="000000")
        await world.login(totp=world.code(secret))

    play(story)


def test_a_code_counts_once_and_so_do_older_ones() -> None:
    async def story(world: World) -> None:
        await world.owner()
        secret, _codes = await world.with_totp()
        code = world.code(secret)
        world.clock.pass_(seconds=30)
        newer = world.code(secret)
        await world.login(totp=newer)
        for used in (newer, code):
            with pytest.raises(InvalidCredentialsError):
                await world.login(totp=used)

    play(story)


def test_of_many_sign_ins_with_one_code_one_succeeds() -> None:
    async def story(world: World) -> None:
        await world.owner()
        secret, _codes = await world.with_totp()
        code = world.code(secret)
        answers = await asyncio.gather(*(world.login(totp=code) for _n in range(4)), return_exceptions=True)
        assert sum(not isinstance(answer, BaseException) for answer in answers) == 1

    play(story)


def test_a_recovery_code_stands_in_for_a_code_once() -> None:
    async def story(world: World) -> None:
        await world.owner()
        _secret, codes = await world.with_totp()
        await world.login(totp=codes[3].upper())
        with pytest.raises(InvalidCredentialsError):
            await world.login(totp=codes[3])
        await world.login(totp=plain_code(codes[4]))
        by = await world.principal(totp=codes[5])
        assert (await world.access.profile.get(by))[1] == 7
        fresh = await world.access.profile.new_recovery_codes(by, HOME, PASSWORD)
        with pytest.raises(InvalidCredentialsError):
            await world.login(totp=codes[6])
        await world.login(totp=fresh[0])

    play(story)


def test_the_second_factor_is_set_up_by_its_first_code_and_removed_by_the_password() -> None:
    async def story(world: World) -> None:
        await world.owner()
        by = await world.principal()
        profile = world.access.profile
        with pytest.raises(ConflictError):
            await profile.confirm_totp(by, HOME, "123456")
        enrolment = await profile.begin_totp(by, HOME)
        await world.login()  # not confirmed: the password alone does
        with pytest.raises(InvalidCredentialsError):
            await profile.confirm_totp(by, HOME, "12345")
        first = world.code(enrolment.secret)
        assert len(await profile.confirm_totp(by, HOME, first)) == 10
        with pytest.raises(InvalidCredentialsError):
            await world.login(totp=first)
        with pytest.raises(ConflictError):
            await profile.begin_totp(by, HOME)
        with pytest.raises(InvalidCredentialsError):
            await profile.remove_totp(by, HOME, "wrong")
        await profile.remove_totp(by, HOME, PASSWORD)
        await world.login()
        async with world.store.reading() as unit:
            credentials = await unit.credentials(by.person_id or "")
        assert credentials
        assert replace(credentials, password="") == Credentials("")

    play(story)


def test_secrets_of_the_second_factor_are_stored_encrypted() -> None:
    async def story(world: World) -> None:
        person = await world.owner()
        secret, codes = await world.with_totp()
        async with world.store.reading() as unit:
            credentials = await unit.credentials(person.id)
        assert credentials
        assert secret not in str(credentials)
        assert not any(plain_code(code) in str(vars(world.store)) for code in codes)

    play(story)


def test_a_new_password_ends_the_other_sessions() -> None:
    async def story(world: World) -> None:
        await world.owner()
        here, there = await world.login(), await world.login()
        by = await world.access.signin.authenticate(here.access_token)
        with pytest.raises(InvalidCredentialsError):
            await world.access.profile.change_password(by, HOME, current="wrong", new="another password")
        with pytest.raises(InvalidValueError) as error:
            await world.access.profile.change_password(by, HOME, current=PASSWORD, new="short")
        assert error.value.field == "new_password"
        await world.access.profile.change_password(by, HOME, current=PASSWORD, new="another password")
        await world.access.signin.authenticate(here.access_token)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate(there.access_token)
        await world.login(password="another password")
        with pytest.raises(InvalidCredentialsError):
            await world.login()

    play(story)


def test_a_disabled_person_is_out_at_once() -> None:
    async def story(world: World) -> None:
        await world.owner()
        bob = await world.person("bob")
        granted = await world.login("bob")
        await world.access.signin.authenticate(granted.access_token)
        await world.access.people.update(COMMAND_LINE, LOCAL, bob.id, is_active=False)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate(granted.access_token)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.refresh(granted.refresh_token, HOME)

    play(story)


def test_a_key_may_not_touch_its_persons_sign_in() -> None:
    async def story(world: World) -> None:
        await world.owner()
        _key, secret = await world.access.keys.create(await world.principal(), HOME, name="ci")
        by = await world.access.signin.authenticate(secret)
        access = world.access
        for call in (
            access.profile.get(by),
            access.profile.update(by, HOME, language="ru"),
            access.profile.change_password(by, HOME, current=PASSWORD, new="another password"),
            access.profile.begin_totp(by, HOME),
            access.sessions.own(by),
            access.sessions.end_own_others(by, HOME),
            access.keys.own(by),
        ):
            with pytest.raises(ForbiddenError):
                await call

    play(story)
