"""The tables: numbered migrations, each run once, and how long rows are kept."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from dozor.infra.clickhouse import ClickHouse

_FOLDER: Final = "migrations"
_KEPT: Final = (
    "CREATE TABLE IF NOT EXISTS schema_migrations (name String, applied DateTime DEFAULT now()) "
    "ENGINE = MergeTree ORDER BY name"
)
_EVENT_TABLES: Final = ("requests", "hits", "errors")
_STORED: Final = "toDateTime(intDiv(bitShiftRight(batch, 20), 1000))"


def migrate(clickhouse: ClickHouse, *, retention_days: int | None = None) -> None:
    """Bring the database up to date; harmless when it is, and when it was cut off before.

    Args:
        clickhouse: The database.
        retention_days: Rows go that many days after their time and after they were stored, whichever
            is later; None keeps what the tables have.

    Raises:
        UnavailableError: The server does not answer or does not allow it.
    """
    clickhouse.create_database()
    clickhouse.command(_KEPT)
    done = set(clickhouse.query("SELECT name FROM schema_migrations").column("name").to_pylist())
    for name, text in _migrations():
        if name not in done:
            for statement in text.split(";\n"):
                if statement.strip():
                    clickhouse.command(statement)
            clickhouse.command("INSERT INTO schema_migrations (name) SELECT {name:String}", {"name": name})
    if retention_days is not None:
        _retain(clickhouse, retention_days)


def _migrations() -> list[tuple[str, str]]:
    folder = files(__package__).joinpath(_FOLDER)
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return sorted((entry.name, entry.read_text("utf-8")) for entry in found)


def _retain(clickhouse: ClickHouse, days: int) -> None:
    """Set the time to live where it is another."""
    for table, moment in [*((table, "ts") for table in _EVENT_TABLES), ("rejects", "seen")]:
        # A log of last year that is read today is kept as long as one of today.
        ttl = f"greatest(toDateTime({moment}), {_STORED}) + toIntervalDay({days})"
        made = (
            clickhouse.query(
                "SELECT create_table_query AS made FROM system.tables "
                "WHERE database = {database:String} AND name = {table:String}",
                {"database": clickhouse.database, "table": table},
            )
            .column("made")[0]
            .as_py()
        )
        if f"toIntervalDay({days})" not in made:
            clickhouse.command(f"ALTER TABLE {table} MODIFY TTL {ttl}")
