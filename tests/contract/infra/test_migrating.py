"""How the state database comes from one shape to the next, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from dozor.infra.database import Database, sqlite_url
from dozor.infra.migrating import Revisions, look, upgrade
from dozor.kernel.errors import JobError, UnavailableError
from tests.servers import postgres_url

FIRST = """
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

def upgrade() -> None:
    op.create_table("teams", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
    op.create_table(
        "members",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("team", sa.Integer, sa.ForeignKey("teams.id", ondelete="CASCADE"), nullable=False),
    )
"""
SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

def upgrade() -> None:
    # SQLite makes the table anew, which must not take the members along.
    with op.batch_alter_table("teams") as table:
        table.alter_column("name", nullable=False)
        table.add_column(sa.Column("size", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE teams SET size = (SELECT count(*) FROM members WHERE team = teams.id)")
"""
THIRD_FAILS = """
from alembic import op

revision = "0003"
down_revision = "0002"

def upgrade() -> None:
    op.drop_table("members")
    op.execute("UPDATE teams SET name = NULL")
"""
THIRD_LOSES = """
from alembic import op

revision = "0003"
down_revision = "0002"

def upgrade() -> None:
    op.execute("DELETE FROM teams WHERE id = 1")
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return postgres_url() if request.param == "postgresql" else sqlite_url(tmp_path)


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "100% scripts"
    (folder / "versions").mkdir(parents=True)
    return folder


def write(scripts: Path, *texts: str) -> None:
    for number, script in enumerate(texts, start=1):
        (scripts / "versions" / f"{number:04}.py").write_text(script)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


async def with_data(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("INSERT INTO teams (id, name) VALUES (1, 'blue'), (2, 'red')"))
        await connection.execute(text("INSERT INTO members (id, team) VALUES (1, 1), (2, 1), (3, 2)"))


async def rows(database: Database, statement: str) -> list[tuple[object, ...]]:
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


def test_an_empty_database_gets_all_tables_and_then_nothing_is_due(url: str, scripts: Path) -> None:
    write(scripts, FIRST, SECOND)

    async def main() -> None:
        async with opened(url) as database:
            assert await look(database, scripts=scripts) == Revisions("", "0002", ("0001", "0002"))
            assert (await upgrade(database, scripts=scripts)).due == ("0001", "0002")
            assert await upgrade(database, scripts=scripts) == Revisions("0002", "0002", ())

    asyncio.run(main())


def test_data_of_before_comes_along(url: str, scripts: Path) -> None:
    async def main() -> None:
        async with opened(url) as database:
            write(scripts, FIRST)
            await upgrade(database, scripts=scripts)
            await with_data(database)
            write(scripts, FIRST, SECOND)
            assert (await upgrade(database, scripts=scripts)).due == ("0002",)
            assert await rows(database, "SELECT id, name, size FROM teams ORDER BY id") == [
                (1, "blue", 2),
                (2, "red", 1),
            ]
            assert await rows(database, "SELECT count(*) FROM members") == [(3,)]

    asyncio.run(main())


def test_a_script_that_fails_leaves_data_and_tables_as_they_were_and_says_what_to_do(
    url: str, scripts: Path
) -> None:
    async def main() -> None:
        async with opened(url) as database:
            write(scripts, FIRST)
            await upgrade(database, scripts=scripts)
            await with_data(database)
            write(scripts, FIRST, SECOND, THIRD_FAILS)
            with pytest.raises(JobError) as caught:
                await upgrade(database, scripts=scripts)
            assert await look(database, scripts=scripts) == Revisions("0001", "0003", ("0002", "0003"))
            assert await rows(database, "SELECT * FROM teams ORDER BY id") == [(1, "blue"), (2, "red")]
            assert await rows(database, "SELECT * FROM members ORDER BY id") == [(1, 1), (2, 1), (3, 2)]
        message = str(caught.value)
        assert f"The state database {database.place} could not be brought up to date: 0003: " in message
        assert "Nothing in it was changed, and the former version works with it." in message
        assert message.endswith("Mend the cause, then run: dozor db upgrade")

    asyncio.run(main())


def test_a_script_that_leaves_rows_without_what_they_refer_to_fails(tmp_path: Path, scripts: Path) -> None:
    async def main() -> None:
        async with opened(sqlite_url(tmp_path)) as database:
            write(scripts, FIRST, SECOND)
            await upgrade(database, scripts=scripts)
            await with_data(database)
            write(scripts, FIRST, SECOND, THIRD_LOSES)
            with pytest.raises(JobError, match="Rows of members refer to rows that are not there"):
                await upgrade(database, scripts=scripts)
            assert await rows(database, "SELECT count(*) FROM teams") == [(2,)]

    asyncio.run(main())


def test_processes_that_start_together_upgrade_once(url: str, scripts: Path) -> None:
    write(scripts, FIRST, SECOND)

    async def main() -> None:
        async with opened(url) as one, opened(url) as two, opened(url) as three:
            found = await asyncio.gather(*(upgrade(each, scripts=scripts) for each in (one, two, three)))
            assert sorted(each.due for each in found) == [(), (), ("0001", "0002")]

    asyncio.run(main())


def test_a_database_of_a_newer_version_is_left_alone(url: str, scripts: Path) -> None:
    async def main() -> None:
        async with opened(url) as database:
            write(scripts, FIRST, SECOND)
            await upgrade(database, scripts=scripts)
            (scripts / "versions" / "0002.py").unlink()
            with pytest.raises(
                JobError, match=r"has the shape 0002, which this Dozor does not know.* backup"
            ):
                await upgrade(database, scripts=scripts)

    asyncio.run(main())


def test_a_server_that_is_away_stays_unavailable(scripts: Path) -> None:
    write(scripts, FIRST)

    async def main() -> None:
        async with opened("postgresql://127.0.0.1:1/dozor") as database:
            await upgrade(database, scripts=scripts)

    with pytest.raises(UnavailableError, match="127"):
        asyncio.run(main())
