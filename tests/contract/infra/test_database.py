"""What the state database promises, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from dozor.infra.database import Database, sqlite_url
from dozor.infra.settings import DatabaseSettings
from dozor.kernel.errors import JobError, SettingsError, UnavailableError
from tests.servers import postgres_url

Story = Callable[[Database], Coroutine[Any, Any, None]]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return postgres_url() if request.param == "postgresql" else sqlite_url(tmp_path)


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[Database]:
    database = Database(url, DatabaseSettings(**settings))
    try:
        yield database
    finally:
        await database.close()


def play(url: str, story: Story) -> None:
    async def main() -> None:
        async with opened(url) as database:
            async with database.migrating() as connection:
                await connection.execute(text("CREATE TABLE counted (number INTEGER PRIMARY KEY)"))
            await story(database)

    asyncio.run(main())


async def add(database: Database, *numbers: int) -> None:
    async with database.write() as connection:
        for number in numbers:
            await connection.execute(text("INSERT INTO counted VALUES (:number)"), {"number": number})


async def numbers(database: Database) -> list[int]:
    async with database.read() as connection:
        return list((await connection.execute(text("SELECT number FROM counted ORDER BY 1"))).scalars())


def test_what_is_written_is_kept_whole_or_not_at_all(url: str) -> None:
    async def story(database: Database) -> None:
        await add(database, 1)
        with pytest.raises(IntegrityError):
            await add(database, 2, 1)
        assert await numbers(database) == [1]

    play(url, story)


def test_a_reader_sees_one_state_while_others_write(url: str) -> None:
    async def story(database: Database) -> None:
        async with database.read() as connection:
            count = text("SELECT count(*) FROM counted")
            assert (await connection.execute(count)).scalar() == 0
            await add(database, 1)
            assert (await connection.execute(count)).scalar() == 0
        assert await numbers(database) == [1]

    play(url, story)


def test_two_processes_write_in_turn_and_lose_nothing(url: str) -> None:
    async def next_number(database: Database) -> None:
        async with database.write() as connection:
            await database.alone(connection, "counting")
            highest = (await connection.execute(text("SELECT max(number) FROM counted"))).scalar() or 0
            await connection.execute(text("INSERT INTO counted VALUES (:number)"), {"number": highest + 1})

    async def story(database: Database) -> None:
        async with opened(url) as another:
            await asyncio.gather(*(next_number(side) for side in (database, another) for _ in range(20)))
        assert await numbers(database) == list(range(1, 41))

    play(url, story)


def test_a_broken_constraint_is_for_the_caller_to_explain(url: str) -> None:
    async def story(database: Database) -> None:
        await add(database, 1)
        with pytest.raises(IntegrityError):
            await add(database, 1)

    play(url, story)


def test_a_missing_table_names_the_command_that_makes_it(url: str) -> None:
    async def story(database: Database) -> None:
        async with database.write() as connection:
            await connection.execute(text("DROP TABLE counted"))
        with pytest.raises(JobError, match="dozor db upgrade"):
            await add(database, 1)

    play(url, story)


def test_the_sqlite_file_is_for_this_user_alone_and_in_wal_mode(tmp_path: Path) -> None:
    async def story(database: Database) -> None:
        await add(database, 1)
        async with database.read() as connection:
            found = {
                name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
        assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
        assert modes == dict.fromkeys(("state.sqlite", "state.sqlite-wal", "state.sqlite-shm"), 0o600)
        await database.check()

    play(sqlite_url(tmp_path / "state"), story)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite").write_bytes(b"no database at all, but text" * 200)

    async def main() -> None:
        async with opened(sqlite_url(tmp_path)) as database:
            await database.check()

    with pytest.raises(JobError, match="is not a database"):
        asyncio.run(main())


def test_connections_that_are_all_in_use_are_told_in_time() -> None:
    async def main() -> None:
        few = opened(postgres_url(), pool_size=1, max_overflow=0, pool_timeout_s=0.2)
        async with few as database, database.read():
            with pytest.raises(UnavailableError, match=r"All connections .* DATABASE_POOL_SIZE"):
                async with database.read():
                    pass

    asyncio.run(main())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:open-sesame@127.0.0.1:1/dozor",
        "postgres://ann:open-sesame@127.0.0.1:1/dozor?sslmode=require",
    ],
)
def test_a_server_that_is_away_is_named_without_its_password(url: str) -> None:
    async def main() -> None:
        async with opened(url) as database, database.read():
            pass

    with pytest.raises(UnavailableError) as caught:
        asyncio.run(main())
    assert "postgresql://ann:***@127.0.0.1:1/dozor" in str(caught.value)
    assert "open-sesame" not in str(caught.value)


def test_an_address_may_hold_what_libpq_knows() -> None:
    async def main() -> None:
        url = postgres_url() + "&sslmode=prefer&connect_timeout=5&statement_timeout=1234"
        async with opened(url) as database, database.read() as connection:
            told = await connection.execute(text("SHOW statement_timeout"))
            assert told.scalar() == "1234ms"
            assert (await connection.execute(text("SHOW application_name"))).scalar() == "dozor"

    asyncio.run(main())


def test_a_wrong_password_or_name_is_told_in_the_server_s_words() -> None:
    url = postgres_url()
    for wrong, told in (
        (url.replace("/test_", "/no_"), "does not exist"),
        (url.replace("postgres:@", "nobody:open-sesame@", 1), "nobody"),
        (url + "&sslmode=sometimes", "sslmode"),
        (url + "&sslmoed=require", "sslmoed"),
        (url + "&sslmode=verify-full&sslrootcert=/none/root.crt", "No such file"),
    ):

        async def main(wrong: str = wrong) -> None:
            async with opened(wrong) as database, database.read():
                pass

        with pytest.raises(UnavailableError, match=told) as caught:
            asyncio.run(main())
        assert "open-sesame" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://ann:open-sesame@db/x", "postgresql://db", "sqlite://", "db:5432"])
def test_another_kind_of_database_is_refused_without_showing_the_url(url: str) -> None:
    with pytest.raises(SettingsError, match="Write postgresql://USER") as caught:
        Database(url)
    assert "open-sesame" not in str(caught.value)
