"""The state database: SQLite in the data folder, or PostgreSQL behind a URL, by SQLAlchemy Core.

    async with database.read() as connection:    # sees one state, changes nothing
    async with database.write() as connection:   # one transaction: all of it or nothing

Several processes may open the same database. SQLite runs in WAL mode: readers never wait, and writers take
turns, in this process by a lock and between processes by SQLite's own. A commit is on the disk when it
returns (`synchronous=FULL`), since an audit trail must not lose its last records with the power.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import event, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from dozor.infra.folder import PRIVATE, private_file
from dozor.infra.settings import DatabaseSettings
from dozor.kernel.errors import DozorError, JobError, SettingsError, UnavailableError
from dozor.kernel.i18n import _
from dozor.kernel.masking import mask

SQLITE_FILE: Final = "state.sqlite"
MIGRATING: Final = "dozor_migrating"
"""Execution option of a connection that changes tables: foreign keys are checked at the end alone."""

_WRITING: Final = "dozor_writing"
_BUSY_S: Final = 15.0
_SQLITE_CONNECTIONS: Final = 4
_DRIVERS: Final = {"postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_LONGEST_REASON: Final = 300

# What URLs for libpq may hold and asyncpg would send to the server, which knows nothing of it.
_LIBPQ_ALONE: Final = (
    *("connect_timeout", "channel_binding", "gssencmode", "keepalives", "keepalives_idle"),
    *("keepalives_interval", "keepalives_count"),
)

# PostgreSQL's codes: classes of "away, refused, full, locked"; a missing table or column; a bad parameter.
_AWAY: Final = {"08", "28", "3D", "53", "55", "57", "58"}
_NO_TABLE: Final = {"42P01", "42703"}
_NO_PARAMETER: Final = {"42704", "22023"}

# At level debug it would tell each statement with its values, among them hashes of passwords.
logging.getLogger("aiosqlite").setLevel(logging.INFO)

Dialect = Literal["sqlite", "postgresql"]


def sqlite_url(folder: Path) -> str:
    """The URL of the state database in a data folder."""
    return f"sqlite:///{(folder / SQLITE_FILE).absolute()}"


class Database:
    """One state database; belongs to one event loop, and is closed by `close`.

    Args:
        url: `sqlite:///…` or `postgresql://…`.
        settings: How many connections are kept.

    Raises:
        SettingsError: The URL is none of a database that Dozor can use.
    """

    def __init__(self, url: str, settings: DatabaseSettings | None = None) -> None:
        pool = settings or DatabaseSettings()
        parsed = _parsed(url)
        self.dialect: Dialect = "sqlite" if parsed.get_backend_name() == "sqlite" else "postgresql"
        self.place = parsed.database or "" if self.dialect == "sqlite" else _shown(parsed)
        """What people call it, without a password: a file or an address."""
        self._engine = _sqlite(parsed) if self.dialect == "sqlite" else _postgresql(parsed, pool)
        self._reading = (
            self._engine
            if self.dialect == "sqlite"
            # Otherwise each statement would see the state of its own moment.
            else self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        )
        self._writing = self._engine.execution_options(**{_WRITING: True})
        # Between processes SQLite's writers ask again and again; within one they queue.
        self._turn = asyncio.Lock() if self.dialect == "sqlite" else nullcontext()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one state of the data; what it changes is thrown away.

        Raises:
            UnavailableError: The database does not answer, or all connections are in use.
        """
        with self.failures():
            async with self._reading.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that is kept when the block ends well, else undone.

        On SQLite the transaction is the only writing one from its begin on. On PostgreSQL others write beside
        it; `alone` takes a lock where that matters.

        Raises:
            UnavailableError: The database does not answer, is full, or is held by another process.
        """
        with self.failures():
            async with self._turn, self._writing.begin() as connection:
                yield connection

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that may change tables, while no other process does.

        References between tables are checked when the block ends, since SQLite changes many a table by
        making it anew.

        Raises:
            UnavailableError: The database does not answer, or is held by another process.
        """
        with self.failures():
            engine = self._engine.execution_options(**{_WRITING: True, MIGRATING: True})
            async with self._turn, engine.connect() as connection:
                if self.dialect == "sqlite":
                    # Does nothing inside a transaction, so it comes before it.
                    await _outside(connection, "PRAGMA foreign_keys=OFF")
                try:
                    async with connection.begin():
                        await self.alone(connection, "migrations")
                        yield connection
                        await self._check_references(connection)
                finally:
                    if self.dialect == "sqlite":
                        await _outside(connection, "PRAGMA foreign_keys=ON")

    async def alone(self, connection: AsyncConnection, name: str) -> None:
        """Let no other transaction that asks for the same name go on until this one ends.

        Args:
            connection: Of `write`.
            name: What is to be done one after another.
        """
        if self.dialect == "postgresql":
            number = int.from_bytes(
                hashlib.blake2b(f"dozor {name}".encode(), digest_size=8).digest(), signed=True
            )
            await connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    async def check(self) -> None:
        """Look through all of it for damage; may take long.

        Raises:
            JobError: It is damaged.
            UnavailableError: It does not answer.
        """
        async with self.read() as connection:
            if self.dialect == "postgresql":
                await connection.execute(text("SELECT 1"))
                return
            said = str((await connection.exec_driver_sql("PRAGMA integrity_check(1)")).scalar())
            if said != "ok":
                raise self._damaged(said)
            await self._check_references(connection)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def _check_references(self, connection: AsyncConnection) -> None:
        if self.dialect != "sqlite":
            return
        broken = (await connection.exec_driver_sql("PRAGMA foreign_key_check")).all()
        if broken:
            tables = ", ".join(sorted({str(row[0]) for row in broken}))
            raise JobError(_("Rows of {tables} refer to rows that are not there.").format(tables=tables))

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn what the driver says of a database that is away into UnavailableError.

        IntegrityError passes: which constraint was broken is for the caller to say.
        """
        try:
            yield
        except IntegrityError:
            raise
        except PoolTimeoutError as error:
            raise UnavailableError(
                _("All connections to the database {place} are in use.").format(place=self.place),
                hint=_("Try again, or let DATABASE_POOL_SIZE allow more."),
            ) from error
        except (OperationalError, InterfaceError, OSError, TimeoutError) as error:
            raise self._unavailable(error) from error
        except DBAPIError as error:
            # asyncpg has classes of its own for "too many clients", "shutting down", "no such role".
            if _is_damage(error):
                raise self._damaged(_reason(error)) from error
            code = _code(error)
            if error.connection_invalidated or code[:2] in _AWAY or code in _NO_TABLE | _NO_PARAMETER:
                raise self._unavailable(error) from error
            raise

    def _damaged(self, reason: str) -> JobError:
        return JobError(
            _("The database {place} is damaged: {reason}.").format(place=self.place, reason=reason),
            hint=_("Stop Dozor, and bring back a backup."),
        )

    def _unavailable(self, error: BaseException) -> DozorError:
        if "no such table" in str(error) or "no such column" in str(error) or _code(error) in _NO_TABLE:
            return JobError(
                _("The database {place} lacks a table: {reason}.").format(
                    place=self.place, reason=_reason(error)
                ),
                hint=_("Bring it up to date by: dozor db upgrade"),
            )
        return UnavailableError(
            _("The database {place} cannot be used: {reason}.").format(
                place=self.place, reason=_reason(error)
            ),
            hint=_("Start it, free some space, or see DATABASE_URL.")
            if self.dialect == "postgresql"
            else _("Let this user write there, and free some space."),
        )


async def _outside(connection: AsyncConnection, statement: str) -> None:
    """Run a statement outside any transaction."""
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    await driver.execute(statement)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _no_url() from error
    name = parsed.drivername
    if name in {"sqlite", "sqlite+aiosqlite"} and parsed.database:
        return parsed.set(drivername="sqlite+aiosqlite")
    if name.partition("+")[0] not in _DRIVERS or not parsed.database:
        raise _no_url()
    return parsed.set(drivername=_DRIVERS[name.partition("+")[0]])


def _no_url() -> SettingsError:
    return SettingsError(
        _("DATABASE_URL names no database that Dozor can use."),
        hint=_("Write postgresql://USER:PASSWORD@HOST:5432/NAME or sqlite:////PATH/TO/FILE."),
    )


def _shown(url: URL) -> str:
    return mask(url.set(drivername="postgresql", query={}).render_as_string(hide_password=True))


def _sqlite(url: URL) -> AsyncEngine:
    path = Path(url.database or "")
    _private(path)
    engine = create_async_engine(
        url,
        pool_size=_SQLITE_CONNECTIONS,
        max_overflow=_SQLITE_CONNECTIONS,
        connect_args={"timeout": _BUSY_S},
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _private(path: Path) -> None:
    """Make the file and its folder for this user alone, unless they are there."""
    try:
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(private_file(path))
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise JobError(
            _("The database {place} cannot be opened: {reason}.").format(place=path, reason=error.strerror),
            hint=_("Let this user write there, or name another folder with --data-dir."),
        ) from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Python's own begin, before the first INSERT alone, would leave changes of tables outside.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA journal_mode")
        if cursor.fetchone()[0] != "wal":
            cursor.execute("PRAGMA journal_mode=WAL")
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that begins by reading could not write later once another has written.
    writes = connection.get_execution_options().get(_WRITING)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: URL, pool: DatabaseSettings) -> AsyncEngine:
    import asyncpg  # noqa: PLC0415 - SQLite does without

    # It reads the URL itself, since it knows libpq's sslmode, sslrootcert, options and the like.
    known = url.set(drivername="postgresql").difference_update_query(_LIBPQ_ALONE)
    address = known.render_as_string(hide_password=False)

    async def connect() -> Any:
        return await asyncpg.connect(
            address, timeout=pool.pool_timeout_s, server_settings={"application_name": "dozor"}
        )

    return create_async_engine(
        url,
        async_creator=connect,
        pool_size=pool.pool_size,
        max_overflow=pool.max_overflow,
        pool_timeout=pool.pool_timeout_s,
        pool_recycle=pool.pool_recycle_s or -1,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _code(error: BaseException) -> str:
    """PostgreSQL's five characters for what went wrong; empty when there are none."""
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")


def _is_damage(error: DBAPIError) -> bool:
    """Whether SQLite found what it did not write."""
    return getattr(error.orig, "sqlite_errorname", "").startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))


def _reason(error: BaseException) -> str:
    """The driver's own words in one line, without statement and values."""
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    said = str(getattr(origin, "strerror", None) or origin).partition("\n")[0]
    if isinstance(origin, TimeoutError) and not said:
        said = "timed out"
    said = said.removeprefix(f"{type(origin).__module__}.{type(origin).__qualname__}: ")
    said = said.rpartition(">: ")[2] if said.startswith("<class ") else said
    return mask(said[:_LONGEST_REASON]).rstrip(".") or type(origin).__name__
