"""What the state of access promises, in memory, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dozor.features.access.adapters.store_sql import SqlAccessStore
from dozor.features.access.core.chain import Checker
from dozor.features.access.model import (
    AuditFilter,
    ConflictError,
    Credentials,
    Entry,
    Event,
    InvalidCredentialsError,
    Key,
    Person,
    Role,
    Session,
)
from dozor.features.access.ports import AccessStore
from dozor.infra.database import Database, sqlite_url
from dozor.infra.migrating import upgrade
from dozor.testing.access import InMemoryAccessStore
from tests.servers import postgres_url
from tests.unit.access.world import HOME, PASSWORD, World

NOW = datetime(2026, 11, 25, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ANNA = Person("p1", "Anna", "admin", NOW, NOW, is_owner=True)
BOB = Person("p2", "bob", "viewer", NOW, NOW, display_name="Боб", language="ru")
HASH = Credentials("hash")

Story = Callable[[AccessStore], Coroutine[Any, Any, None]]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    def run(story: Story) -> None:
        if request.param == "memory":
            asyncio.run(story(InMemoryAccessStore()))
            return
        url = postgres_url() if request.param == "postgresql" else sqlite_url(tmp_path)

        async def main() -> None:
            async with opened(url) as database:
                await story(SqlAccessStore(database))

        asyncio.run(main())

    return run


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        await upgrade(database)
        yield database
    finally:
        await database.close()


def session(name: str, **facts: Any) -> Session:
    return replace(Session(name, "p1", "api", NOW, NOW, LATER, "198.51.100.7", "curl"), **facts)


def entry(number: int, **facts: Any) -> Entry:
    return replace(
        Entry(Event.LOGIN_ATTEMPT, "auth.login", actor="Anna", details={"n": str(number)}), **facts
    )


async def two_people(store: AccessStore) -> None:
    async with store.writing() as unit:
        await unit.add_person(ANNA, HASH)
        await unit.add_person(BOB, HASH)


def test_a_person_is_given_back_as_it_was_put(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        await two_people(store)
        async with store.reading() as unit:
            assert await unit.person("p2") == BOB
            assert await unit.person_named("ANNA") == ANNA
            assert await unit.owner() == ANNA
            assert await unit.people() == [ANNA, BOB]
            assert await unit.credentials("p1") == HASH
            assert await unit.person("p3") is None
            assert await unit.person_named("carl") is None
            assert await unit.credentials("p3") is None

    play(story)


def test_names_differ_in_more_than_case_and_there_is_one_owner(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        await two_people(store)
        for person in (replace(BOB, id="p3", username="BOB"), replace(ANNA, id="p4", username="dora")):
            with pytest.raises(ConflictError):
                async with store.writing() as unit:
                    await unit.add_person(person, HASH)
        with pytest.raises(ConflictError):
            async with store.writing() as unit:
                await unit.change_person(replace(BOB, username="anna"))
        async with store.reading() as unit:
            assert await unit.people() == [ANNA, BOB]

    play(story)


def test_a_unit_that_fails_leaves_nothing(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        await two_people(store)

        async def fail() -> None:
            async with store.writing() as unit:
                await unit.remove_person("p2")
                await unit.append(entry(1), NOW)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        async with store.reading() as unit:
            assert await unit.person("p2") == BOB
            assert await unit.head() == (0, "0" * 64)

    play(story)


def test_credentials_change_and_a_second_factor_shows(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        await two_people(store)
        after = Credentials("other", "secret", "pending", 7)
        async with store.writing() as unit:
            await unit.change_credentials("p1", after)
            await unit.change_person(replace(ANNA, last_login=LATER, is_active=False))
        async with store.reading() as unit:
            assert await unit.credentials("p1") == after
            assert await unit.person("p1") == replace(ANNA, has_totp=True, last_login=LATER, is_active=False)

    play(story)


def test_a_recovery_code_is_used_once(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        await two_people(store)
        async with store.writing() as unit:
            await unit.replace_recovery_codes("p1", ["a", "b"])
            assert not await unit.use_recovery_code("p2", "a")
            assert await unit.use_recovery_code("p1", "a")
            assert not await unit.use_recovery_code("p1", "a")
            assert await unit.recovery_codes("p1") == 1
            await unit.replace_recovery_codes("p1", [])
            assert await unit.recovery_codes("p1") == 0

    play(story)


def test_roles_are_kept_by_name(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        role = Role("night-shift", ("bots.*", "system.status"), "At night.")
        async with store.writing() as unit:
            await unit.put_role(replace(role, permissions=("*",)))
            await unit.put_role(role)
            await unit.put_role(Role("auditor", ("audit.read",)))
        async with store.reading() as unit:
            assert await unit.roles() == [Role("auditor", ("audit.read",)), role]
            assert await unit.role("night-shift") == role
        async with store.writing() as unit:
            await unit.remove_role("night-shift")
            assert await unit.role("night-shift") is None

    play(story)


def test_a_session_lives_until_its_end_or_until_it_is_ended(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        await two_people(store)
        short = session("s2", created=NOW + timedelta(minutes=1), expires=NOW + timedelta(minutes=5))
        other = session("s3", person_id="p2", kind="console")
        async with store.writing() as unit:
            await unit.add_session(session("s1"), refresh_hash="r1")
            await unit.add_session(short, refresh_hash="r2")
            await unit.add_session(other, console_hash="c3")
        async with store.reading() as unit:
            assert await unit.sessions(NOW) == [short, session("s1"), other]
            assert await unit.sessions(NOW, "p1") == [short, session("s1")]
            assert await unit.session("s2", NOW + timedelta(minutes=5)) is None
            assert await unit.console_session("c3", NOW) == other
            assert await unit.console_session("c4", NOW) is None
        async with store.writing() as unit:
            await unit.forget_ended(NOW + timedelta(minutes=5))
            assert await unit.refresh("r2") is None
            await unit.touch_session("s1", LATER, LATER + timedelta(hours=1))
            moved = session("s1", seen=LATER, expires=LATER + timedelta(hours=1))
            assert await unit.session("s1", LATER) == moved
            await unit.end_session("s3")
            assert await unit.console_session("c3", NOW) is None

    play(story)


def test_ending_all_sessions_may_spare_one(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        await two_people(store)
        async with store.writing() as unit:
            for name in ("s1", "s2", "s3"):
                await unit.add_session(session(name), refresh_hash=f"of {name}")
            assert await unit.end_sessions("p1", but="s2") == 2
            assert await unit.sessions(NOW) == [session("s2")]
            assert await unit.end_sessions("p1") == 1
            assert await unit.refresh("of s2") is None

    play(story)


def test_a_refresh_token_is_followed_by_the_next(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        await two_people(store)
        async with store.writing() as unit:
            await unit.add_session(session("s1"), refresh_hash="first")
        async with store.writing() as unit:
            assert await unit.refresh("first") == ("s1", False)
            await unit.rotate("first", "second", LATER + timedelta(days=1))
            await unit.rotate("unknown", "third", LATER)
        async with store.reading() as unit:
            assert await unit.refresh("first") == ("s1", True)
            assert await unit.refresh("second") == ("s1", False)
            assert await unit.refresh("third") is None
            assert await unit.session("s1", LATER) == session("s1", expires=LATER + timedelta(days=1))

    play(story)


def test_keys_belong_to_somebody_or_nobody(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        await two_people(store)
        annas = Key("k1", "ci", "viewer", NOW, ("traffic.read",), "p1", LATER)
        nobodys = Key("k2", "probe", "viewer", LATER)
        async with store.writing() as unit:
            await unit.add_key(annas, "hash 1")
            await unit.add_key(nobodys, "hash 2")
            await unit.touch_key("k1", LATER)
        used = replace(annas, seen=LATER)
        async with store.reading() as unit:
            assert await unit.keys("p1") == [used]
            assert await unit.keys(None) == [nobodys]
            assert await unit.keys(everyone=True) == [nobodys, used]
            assert await unit.key("k1") == (used, "hash 1")
        async with store.writing() as unit:
            await unit.remove_key("k2")
            assert await unit.key("k2") is None

    play(story)


def test_with_a_person_go_sessions_keys_and_codes(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        await two_people(store)
        async with store.writing() as unit:
            await unit.add_session(session("s1"), refresh_hash="r")
            await unit.add_key(Key("k1", "ci", "viewer", NOW, person_id="p1"), "hash")
            await unit.replace_recovery_codes("p1", ["a"])
            await unit.remove_person("p1")
        async with store.reading() as unit:
            assert await unit.people() == [BOB]
            assert await unit.sessions(NOW) == []
            assert await unit.refresh("r") is None
            assert await unit.keys(everyone=True) == []
            assert await unit.recovery_codes("p1") == 0
            assert await unit.owner() is None

    play(story)


def test_notes_and_the_set_up_token_are_told_and_taken_back(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        async with store.writing() as unit:
            assert await unit.note("n") == ""
            await unit.put_note("n", "one")
            await unit.put_note("n", "two")
            await unit.put_setup_token("hash")
        async with store.writing() as unit:
            assert (await unit.note("n"), await unit.setup_token()) == ("two", "hash")
            await unit.put_setup_token("")
            assert await unit.setup_token() == ""

    play(story)


def test_the_chain_grows_by_links_that_hold(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        for number in range(3):
            async with store.writing() as unit:
                record = await unit.append(entry(number, agent="ünïcode ☂", target="</td>"), NOW)
        async with store.reading() as unit:
            assert await unit.head() == (3, record.hash)
            checker = Checker(await unit.head())
        records = [record async for record in store.chain()]
        assert [one.number for one in records] == [1, 2, 3]
        assert records[-1] == record
        assert [checker.fault(one) for one in records] == [None] * 3
        assert checker.end().broken is None

    play(story)


def test_writers_of_the_chain_take_turns(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        async def one(number: int) -> None:
            async with store.writing() as unit:
                await unit.append(entry(number), NOW)

        await asyncio.gather(*(one(number) for number in range(12)))
        checker = Checker()
        async for record in store.chain():
            assert checker.fault(record) is None
        assert checker.end().records == 12

    play(story)


def test_records_are_found_by_what_is_asked(play: Callable[[Story], None]) -> None:
    async def story(store: AccessStore) -> None:
        async with store.writing() as unit:
            await unit.append(entry(1, result="failed", address="203.0.113.9"), NOW)
            await unit.append(entry(2, action="people.create"), NOW + timedelta(minutes=1))
            await unit.append(entry(3, action="people.remove", actor="bob"), NOW + timedelta(minutes=2))
            await unit.append(entry(4, event=Event.IP_BLOCKED, action="peoples"), NOW + timedelta(minutes=3))
        asked: dict[int, AuditFilter] = {}
        for which, numbers in (
            (AuditFilter(), [4, 3, 2, 1]),
            (AuditFilter(event="ip_blocked"), [4]),
            (AuditFilter(action="people.*"), [3, 2]),
            (AuditFilter(action="people.create"), [2]),
            (AuditFilter(actor="anna"), [4, 2, 1]),
            (AuditFilter(result="failed", address="203.0.113.9"), [1]),
            (AuditFilter(since=NOW + timedelta(minutes=1), until=NOW + timedelta(minutes=3)), [3, 2]),
            (AuditFilter(action="%"), []),
        ):
            asked[len(asked)] = which
            async with store.reading() as unit:
                found = await unit.records(which, before=None, limit=10)
            assert [record.number for record in found] == numbers, which
        async with store.reading() as unit:
            page = await unit.records(AuditFilter(), before=4, limit=2)
        assert [record.number for record in page] == [3, 2]

    play(story)


def test_a_name_with_a_zero_byte_is_nobodys(play: Callable[[Story], None]) -> None:
    """PostgreSQL keeps none, so it must not come so far."""

    async def story(store: AccessStore) -> None:
        world = World(store=store)
        await world.owner()
        with pytest.raises(InvalidCredentialsError):
            await world.access.signin.login("an\0na", PASSWORD, HOME)
        (record,) = await world.audit(event="login_attempt")
        assert record.entry.target == "an\ufffdna"

    play(story)


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        ("sqlite", "UPDATE access_audit SET actor = 'x'"),
        ("sqlite", "DELETE FROM access_audit"),
        # SQLite's triggers of deletion do not see what makes way for a new row.
        ("sqlite", "REPLACE INTO access_audit SELECT * FROM access_audit"),
        ("postgresql", "UPDATE access_audit SET actor = 'x'"),
        ("postgresql", "DELETE FROM access_audit"),
        ("postgresql", "TRUNCATE access_audit"),
    ],
)
def test_the_database_refuses_changes_of_the_trail(kind: str, statement: str, tmp_path: Path) -> None:
    async def main() -> None:
        url = postgres_url() if kind == "postgresql" else sqlite_url(tmp_path)
        async with opened(url) as database:
            store = SqlAccessStore(database)
            async with store.writing() as unit:
                await unit.append(entry(1), NOW)
            with pytest.raises(DBAPIError, match="append-only"):
                async with database.write() as connection:
                    await connection.execute(text(statement))
            assert [record.number async for record in store.chain()] == [1]

    asyncio.run(main())


def test_two_processes_write_one_chain(tmp_path: Path) -> None:
    async def main() -> None:
        url = sqlite_url(tmp_path)
        async with opened(url) as one, opened(url) as other:
            stores = [SqlAccessStore(one), SqlAccessStore(other)]

            async def write(number: int) -> None:
                async with stores[number % 2].writing() as unit:
                    await unit.append(entry(number), NOW)

            await asyncio.gather(*(write(number) for number in range(10)))
            checker = Checker()
            async for record in stores[0].chain():
                assert checker.fault(record) is None
            assert checker.end().records == 10

    asyncio.run(main())
