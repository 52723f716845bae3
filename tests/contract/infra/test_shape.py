"""The shape of the state database: made by the scripts, it is the one that the code asks for."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Boolean, Column, Integer, MetaData, Table, text
from sqlalchemy.engine import Connection
from sqlalchemy.types import BigInteger

from dozor.features.access.adapters.tables import METADATA
from dozor.infra.database import Database, sqlite_url
from dozor.infra.migrating import SCRIPTS, VERSION_TABLE, look, upgrade
from dozor.kernel.errors import JobError
from tests.servers import postgres_url

FIRST = "0001_access.py"
BREAKS = """
from alembic import op

revision = "9999"
down_revision = "{head}"

def upgrade() -> None:
    with op.batch_alter_table("access_people") as table:
        table.drop_column("display_name")
    op.execute("DELETE FROM access_keys")
    op.execute("UPDATE access_sessions SET person_id = NULL")
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return postgres_url() if request.param == "postgresql" else sqlite_url(tmp_path)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Scripts as the first version had them."""
    folder = tmp_path / "first"
    (folder / "versions").mkdir(parents=True)
    shutil.copy(SCRIPTS / "versions" / FIRST, folder / "versions")
    return folder


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


def made_up(column: Column[Any], number: int) -> object:
    if isinstance(column.type, Boolean):
        return number == 1
    if isinstance(column.type, Integer | BigInteger):
        return number * 1_000_000_007
    return f"{column.name} {number} «ё»"


async def fill(connection: Any) -> None:
    """Put two rows in each table, whose references fit."""
    for table in (await connection.run_sync(reflected)).sorted_tables:
        if table.name == VERSION_TABLE:
            continue
        for number in (1, 2):
            row = {column.name: made_up(column, number) for column in table.columns}
            for key in table.foreign_keys:
                row[key.parent.name] = made_up(key.column, number)
            await connection.execute(table.insert(), row)


def reflected(connection: Connection) -> MetaData:
    found = MetaData()
    found.reflect(connection)
    return found


async def contents(database: Database) -> dict[str, list[dict[str, object]]]:
    async with database.read() as connection:
        tables: list[Table] = (await connection.run_sync(reflected)).sorted_tables
        return {
            table.name: [
                dict(row)
                for row in (await connection.execute(table.select().order_by(*table.primary_key))).mappings()
            ]
            for table in tables
        }


def test_the_scripts_make_the_tables_that_the_code_asks_for(url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {
            "version_table": VERSION_TABLE,
            "compare_type": True,
            "include_object": lambda _thing, name, kind, *_rest: (
                kind != "table" or name.startswith("access_")
            ),
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))

    async def main() -> None:
        async with opened(url) as database:
            await upgrade(database)
            async with database.read() as connection:
                assert await connection.run_sync(differences) == []

    asyncio.run(main())


def test_the_audit_trail_takes_new_records_alone(url: str) -> None:
    async def change(database: Database, statement: str) -> None:
        async with database.write() as connection:
            await connection.execute(text(statement))

    async def main() -> None:
        async with opened(url) as database:
            await upgrade(database)
            async with database.write() as connection:
                await fill(connection)
            before = await contents(database)
            for statement in ("UPDATE access_audit SET hash = ''", "DELETE FROM access_audit"):
                with pytest.raises(Exception, match="append-only"):
                    await change(database, statement)
            assert await contents(database) == before

    asyncio.run(main())


def test_a_database_of_the_first_version_comes_to_the_newest_shape_with_its_data(
    url: str, first: Path
) -> None:
    async def main() -> None:
        async with opened(url) as database:
            await upgrade(database, scripts=first)
            async with database.write() as connection:
                await fill(connection)
            before = await contents(database)
            await upgrade(database)
            assert (await look(database)).due == ()
            await database.check()
            after = await contents(database)
        assert len(before) >= 8
        for name in before.keys() - {VERSION_TABLE}:
            assert len(after[name]) == 2
            for old, new in zip(before[name], after[name], strict=True):
                assert {column: new[column] for column in old.keys() & new.keys()} == {
                    column: old[column] for column in old.keys() & new.keys()
                }

    asyncio.run(main())


def test_a_step_that_fails_leaves_a_database_of_the_first_version_as_it_was(url: str, tmp_path: Path) -> None:
    scripts = tmp_path / "broken"
    shutil.copytree(SCRIPTS, scripts)

    async def main() -> None:
        async with opened(url) as database:
            newest = (await upgrade(database)).newest
            async with database.write() as connection:
                await fill(connection)
            before = await contents(database)
            (scripts / "versions" / "9999_breaks.py").write_text(BREAKS.format(head=newest))
            with pytest.raises(
                JobError, match=r"9999: .*person_id.* Mend the cause, then run: dozor db upgrade"
            ):
                await upgrade(database, scripts=scripts)
            assert await contents(database) == before
            assert (await upgrade(database)).due == ()
            await database.check()

    asyncio.run(main())
