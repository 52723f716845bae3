"""People, roles, keys, sessions, the allow list and the audit trail."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import pytest

from dozor.features.access.model import (
    COMMAND_LINE,
    LOCAL,
    AuditFilter,
    AuditRecord,
    ConflictError,
    ForbiddenError,
    InvalidTokenError,
    InvalidValueError,
    MissingError,
)
from dozor.features.access.service import Housekeeping
from dozor.features.access.service.allowlist import AllowList
from dozor.kernel.errors import JobError
from tests.unit.access.world import ELSEWHERE, HOME, PASSWORD, World, play

MANAGER = ("people.read", "people.write", "roles.write", "keys.write", "sessions.write", "bots.*")


async def manager(world: World) -> None:
    await world.access.roles.create(COMMAND_LINE, LOCAL, "manager", MANAGER, "Looks after people.")
    await world.person("mia", "manager")


def test_nobody_changes_the_owner_but_the_owner() -> None:
    async def story(world: World) -> None:
        anna = await world.owner()
        await world.person("carl", "admin")
        people = world.access.people
        carl = await world.principal("carl")
        for change in (
            people.update(carl, HOME, anna.id, password="another password"),
            people.update(carl, HOME, anna.id, reset_totp=True),
            people.update(carl, HOME, anna.id, display_name="x"),
            people.remove(carl, HOME, anna.id),
            world.access.sessions.end_of(carl, HOME, anna.id),
        ):
            with pytest.raises(ForbiddenError):
                await change
        own = await world.principal("anna")
        for by, origin in ((own, HOME), (COMMAND_LINE, LOCAL)):
            for change in (
                people.update(by, origin, anna.id, role="viewer"),
                people.update(by, origin, anna.id, is_active=False),
                people.remove(by, origin, anna.id),
            ):
                with pytest.raises(ForbiddenError):
                    await change
        await people.update(own, HOME, anna.id, display_name="Anna")
        with pytest.raises(ForbiddenError):
            await people.update(own, HOME, anna.id, password="another password")
        await people.update(COMMAND_LINE, LOCAL, anna.id, password="another password")
        await world.login("anna", "another password")

    play(story)


def test_nobody_gives_or_takes_more_than_they_have() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await manager(world)
        carl, bob = await world.person("carl", "admin"), await world.person("bob", "manager")
        mia = await world.principal("mia")
        people, roles, keys = world.access.people, world.access.roles, world.access.keys
        for change in (
            people.create(mia, HOME, username="eve", password=PASSWORD, role="admin"),
            people.update(mia, HOME, bob.id, role="operator"),
            people.update(mia, HOME, carl.id, password="another password"),
            people.update(mia, HOME, carl.id, role="manager"),
            people.remove(mia, HOME, carl.id),
            roles.create(mia, HOME, "more", ["traffic.read"]),
            roles.create(mia, HOME, "all", ["*"]),
            roles.update(mia, HOME, "manager", permissions=["audit.read"]),
            keys.create(mia, HOME, name="k", role="admin"),
            keys.create(mia, HOME, name="k", role="viewer"),
            keys.create(mia, HOME, name="k", scopes=["audit.read"]),
        ):
            with pytest.raises(ForbiddenError):
                await change
        await people.create(mia, HOME, username="eve", password=PASSWORD, role="manager")
        await roles.create(mia, HOME, "bots", ["bots.read"])
        await people.update(mia, HOME, bob.id, role="bots")
        await people.remove(mia, HOME, bob.id)
        with pytest.raises(ForbiddenError):
            await people.remove(mia, HOME, mia.person_id or "")

    play(story)


def test_a_role_counts_at_once_and_a_used_one_stays() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await manager(world)
        granted = await world.login("mia")
        authenticate = world.access.signin.authenticate
        assert (await authenticate(granted.access_token)).can("people.write")
        await world.access.roles.update(COMMAND_LINE, LOCAL, "manager", permissions=["people.read"])
        assert not (await authenticate(granted.access_token)).can("people.write")
        with pytest.raises(ConflictError, match="mia"):
            await world.access.roles.remove(COMMAND_LINE, LOCAL, "manager")
        mia = await world.access.people.named("MIA")
        await world.access.people.update(COMMAND_LINE, LOCAL, mia.id, role="viewer")
        await world.access.roles.remove(COMMAND_LINE, LOCAL, "manager")
        with pytest.raises(MissingError):
            await world.access.roles.get("manager")
        assert [role.name for role in await world.access.roles.list()] == ["admin", "operator", "viewer"]

    play(story)


@pytest.mark.parametrize("name", ["admin", "viewer"])
def test_built_in_roles_stay(name: str) -> None:
    async def story(world: World) -> None:
        for change in (
            world.access.roles.update(COMMAND_LINE, LOCAL, name, permissions=["*"]),
            world.access.roles.remove(COMMAND_LINE, LOCAL, name),
        ):
            with pytest.raises(ForbiddenError):
                await change
        with pytest.raises(ConflictError):
            await world.access.roles.create(COMMAND_LINE, LOCAL, name, ["*"])

    play(story)


@pytest.mark.parametrize(
    ("name", "permissions", "field"),
    [
        ("Upper", ["bots.read"], "name"),
        ("", ["bots.read"], "name"),
        ("fine", ["no.such"], "permissions"),
        ("fine", ["bots.r*"], "permissions"),
    ],
)
def test_a_role_that_will_not_do(name: str, permissions: list[str], field: str) -> None:
    async def story(world: World) -> None:
        with pytest.raises(InvalidValueError) as error:
            await world.access.roles.create(COMMAND_LINE, LOCAL, name, permissions)
        assert error.value.field == field

    play(story)


def test_a_new_password_role_or_state_ends_the_sessions() -> None:
    async def story(world: World) -> None:
        await world.owner()
        bob = await world.person("bob")
        update = world.access.people.update
        for change in ({"password": PASSWORD}, {"role": "viewer"}, {"is_active": False}):
            await update(COMMAND_LINE, LOCAL, bob.id, is_active=True)
            granted = await world.login("bob")
            await update(COMMAND_LINE, LOCAL, bob.id, **change)
            with pytest.raises(InvalidTokenError):
                await world.access.signin.authenticate(granted.access_token)

    play(story)


def test_a_lost_second_factor_is_reset_with_its_codes() -> None:
    async def story(world: World) -> None:
        await world.owner()
        bob = await world.person("bob")
        _secret, codes = await world.with_totp("bob")
        after = await world.access.people.update(COMMAND_LINE, LOCAL, bob.id, reset_totp=True)
        assert not after.has_totp
        assert not (await world.access.people.get(bob.id)).has_totp
        await world.login("bob", totp=codes[0])  # none is asked for
        assert (await world.access.profile.get(await world.principal("bob")))[1] == 0

    play(story)


def test_names_are_unique_and_values_checked() -> None:
    async def story(world: World) -> None:
        await world.owner()
        with pytest.raises(ConflictError):
            await world.person("ANNA")
        with pytest.raises(InvalidValueError) as error:
            await world.person("bob", "no-such-role")
        assert error.value.field == "role"
        bob = await world.person("bob")
        for facts, field in (
            ({"display_name": "x" * 101}, "display_name"),
            ({"display_name": "a\x1b[31m"}, "display_name"),
            ({"language": "fr"}, "language"),
            ({"password": "bob"}, "password"),
        ):
            with pytest.raises(InvalidValueError) as error:
                await world.access.people.update(COMMAND_LINE, LOCAL, bob.id, **facts)  # type: ignore[arg-type]
            assert error.value.field == field
        for missing in (world.access.people.get("x"), world.access.people.named("nobody")):
            with pytest.raises(MissingError):
                await missing

    play(story)


def test_one_may_change_ones_own_profile() -> None:
    async def story(world: World) -> None:
        await world.owner()
        granted = await world.login()
        by = await world.access.signin.authenticate(granted.access_token)
        after = await world.access.profile.update(by, HOME, language="ru", display_name=" Анна ")
        assert (after.language, after.display_name) == ("ru", "Анна")
        assert (await world.access.signin.authenticate(granted.access_token)).language == "ru"

    play(story)


def test_a_key_allows_no_more_than_role_scopes_and_person() -> None:
    async def story(world: World) -> None:
        await world.owner()
        bob = await world.person("bob", "operator")
        by = await world.principal("bob")
        key, secret = await world.access.keys.create(by, HOME, name="ci", scopes=["bots.*"])
        who = await world.access.signin.authenticate(secret)
        assert (who.kind, who.username, who.key_id, who.person_id) == ("key", "bob", key.id, bob.id)
        assert set(who.permissions) == {"bots.read", "bots.start", "bots.stop"}
        await world.access.people.update(COMMAND_LINE, LOCAL, bob.id, role="viewer")
        assert (await world.access.signin.authenticate(secret)).permissions == ("bots.read",)
        await world.access.people.update(COMMAND_LINE, LOCAL, bob.id, is_active=False)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate(secret)

    play(story)


def test_a_scope_must_overlap_with_its_makers_role() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await world.person("vera", "viewer")
        by = await world.principal("vera")
        _key, secret = await world.access.keys.create(by, HOME, name="ci", scopes=["bots.*"])
        assert (await world.access.signin.authenticate(secret)).permissions == ("bots.read",)
        with pytest.raises(ForbiddenError):
            await world.access.keys.create(by, HOME, name="ci", scopes=["bots.*", "audit.read"])
        with pytest.raises(InvalidValueError):
            await world.access.keys.create(by, HOME, name="ci", scopes=["nothing.read"])
        with pytest.raises(InvalidValueError):
            await world.access.keys.create(by, HOME, name=" ")
        with pytest.raises(InvalidValueError):
            await world.access.keys.create(by, HOME, name="ci", expires_in=timedelta(0))
        with pytest.raises(ForbiddenError):
            await world.access.keys.create(by, HOME, name="ci", for_nobody=True)

    play(story)


def test_nobodys_key_ends_by_time_or_when_revoked() -> None:
    async def story(world: World) -> None:
        create, authenticate = world.access.keys.create, world.access.signin.authenticate
        key, secret = await create(
            COMMAND_LINE, LOCAL, name="probe", role="viewer", expires_in=timedelta(days=1)
        )
        assert key.person_id is None
        assert (await authenticate(secret)).username == "probe"
        for wrong in (secret[:-1], secret + "x", f"dz_{key.id}_", "dz_", f"dz_{key.id}_{'x' * 43}"):
            with pytest.raises(InvalidTokenError):
                await authenticate(wrong)
        world.clock.pass_(days=1)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate(secret)
        other, secret = await create(COMMAND_LINE, LOCAL, name="probe", role="viewer")
        await authenticate(secret)
        await world.access.keys.revoke(COMMAND_LINE, LOCAL, other.id)
        with pytest.raises(InvalidTokenError):
            await authenticate(secret)

    play(story)


def test_keys_of_others_are_seen_and_revoked_only_by_permission() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await world.person("bob"), await world.person("vera", "viewer")
        bob, vera = await world.principal("bob"), await world.principal("vera")
        key, secret = await world.access.keys.create(bob, HOME, name="ci")
        assert await world.access.keys.own(vera) == []
        with pytest.raises(MissingError):
            await world.access.keys.revoke(vera, HOME, key.id)
        as_key = await world.access.signin.authenticate(secret)
        with pytest.raises(MissingError):  # a leaked key cannot even revoke itself
            await world.access.keys.revoke(as_key, HOME, key.id)
        with pytest.raises(ForbiddenError):
            await world.access.keys.create(as_key, HOME, name="wider")
        assert [one.id for one in await world.access.keys.all()] == [key.id]
        await world.access.keys.revoke(bob, HOME, key.id)

    play(story)


def test_one_sees_and_ends_ones_own_sessions() -> None:
    async def story(world: World) -> None:
        await world.owner()
        bob = await world.person("bob")
        first, second = await world.login("bob"), await world.login("bob")
        by = await world.access.signin.authenticate(first.access_token)
        sessions = world.access.sessions
        assert {one.id for one in await sessions.own(by)} == {first.session.id, second.session.id}
        annas = await world.login()
        with pytest.raises(MissingError):
            await sessions.end_own(by, HOME, annas.session.id)
        await sessions.end_own(by, HOME, second.session.id)
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate(second.access_token)
        await world.login("bob")
        assert await sessions.end_own_others(by, HOME) == 1
        anna = await world.access.signin.authenticate(annas.access_token)
        assert len(await sessions.of(bob.id)) == 1
        assert len(await sessions.all()) == 2
        assert await sessions.end_of(anna, HOME, bob.id) == 1
        with pytest.raises(InvalidTokenError):
            await world.access.signin.authenticate(first.access_token)
        with pytest.raises(MissingError):
            await sessions.of("nobody")

    play(story)


def test_the_allow_list_counts_until_it_is_cleared_and_never_for_this_machine() -> None:
    async def story(world: World) -> None:
        def listed() -> AllowList:
            return AllowList([ip_network("10.0.0.0/8")], store=world.store, ledger=world.access.ledger)

        allow_list = listed()
        for address in ("10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "::1"):
            assert await allow_list.admits(address)
        for address in ("203.0.113.9", "local", ""):
            assert not await allow_list.admits(address)
        await world.access.allow_list.switch(COMMAND_LINE, LOCAL, on=False)  # as another process does
        assert await listed().admits("203.0.113.9")
        await world.access.allow_list.switch(COMMAND_LINE, LOCAL, on=True)
        assert not await listed().admits("203.0.113.9")
        assert await world.access.allow_list.admits("203.0.113.9")  # none is set

    play(story)


def test_every_change_is_recorded_by_whom_on_what_from_where() -> None:
    async def story(world: World) -> None:
        await world.owner()
        by = await world.principal()
        bob = await world.access.people.create(
            by, ELSEWHERE, username="bob", password=PASSWORD, role="viewer"
        )
        await world.access.people.update(by, ELSEWHERE, bob.id, role="operator", password="new password")
        entries = [record.entry for record in await world.audit(event="sensitive_operation", actor="ANNA")]
        assert [(entry.action, entry.target, entry.address) for entry in entries] == [
            ("people.update", "bob", ELSEWHERE.address),
            ("people.create", "bob", ELSEWHERE.address),
        ]
        assert entries[0].details == {"role": "viewer > operator", "password": "reset"}
        (login,) = await world.audit(event="login_attempt")
        assert (login.entry.result, login.entry.actor, login.entry.details["kind"]) == ("ok", "anna", "api")
        everything = str(await world.audit())
        assert PASSWORD not in everything
        assert "new password" not in everything
        assert (await world.access.ledger.verify()).broken is None

    play(story)


def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    async def story(world: World) -> None:
        for number in range(25):
            await world.access.keys.create(COMMAND_LINE, LOCAL, name=f"key {number}", role="viewer")
        numbers: list[int] = []
        before: int | None = None
        while True:
            page = await world.access.ledger.search(AuditFilter(), before=before, limit=10)
            numbers += [record.number for record in page.records]
            before = page.following
            if before is None:
                break
        assert numbers == list(range(25, 0, -1))
        exported = [record.number async for record in world.access.ledger.export(AuditFilter(actor="local"))]
        assert exported == numbers

    play(story)


class Broken:
    """A sink on a full disk."""

    def write(self, record: AuditRecord) -> None:
        raise JobError(f"No space for {record.number}.")


def test_a_sink_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        world.access.ledger._sink = Broken()
        await world.owner()
        assert len(await world.audit()) == 1

    play(story)
    assert "database alone" in caplog.text


def test_what_was_folded_is_written_at_the_end_of_the_process() -> None:
    async def story(world: World) -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(Housekeeping(world.access).run(stop))
        for _number in range(3):
            await world.access.ledger.denied(None, HOME, "GET /api/v1/people", "people.read")
        assert [record.entry.count for record in await world.audit()] == [1]
        stop.set()
        await task
        assert [record.entry.count for record in await world.audit()] == [2, 1]

    play(story)


def test_a_broken_chain_is_told() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await world.login()
        records = world.store._state.audit  # type: ignore[attr-defined]
        records[0] = replace(records[0], entry=replace(records[0].entry, actor="somebody else"))
        found = await world.access.ledger.verify()
        assert (found.broken, found.reason) == (1, "its content was changed")

    play(story)
