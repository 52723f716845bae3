"""Brings the state database to the shape that this version needs, by the scripts in `infra/migrations`.

All scripts that are due run in one transaction, in which no other process changes tables: either the database
comes out in the newest shape, or it is what it was, for the former version to go on with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy.engine import Connection

from dozor.infra.database import Database
from dozor.kernel.errors import DozorError, JobError
from dozor.kernel.i18n import _
from dozor.kernel.masking import mask

SCRIPTS: Final = Path(__file__).with_name("migrations")
VERSION_TABLE: Final = "schema_revision"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Revisions:
    """Where the database is and where it should be.

    Args:
        current: Name of its last script; empty for a database without tables.
        newest: Name of the last script that this version brings.
        due: The scripts between them, in order.
    """

    current: str
    newest: str
    due: tuple[str, ...]


async def upgrade(database: Database, *, scripts: Path = SCRIPTS) -> Revisions:
    """Run the scripts that are due; other processes that ask meanwhile wait, and find nothing to do.

    Args:
        database: The state database.
        scripts: Folder with the scripts, those of this version by default.

    Returns:
        How it was before.

    Raises:
        UnavailableError: The database does not answer, or another process holds it.
        JobError: A script failed, and nothing was changed; or a newer version made the database.
    """
    known = _scripts(scripts)
    before = await look(database, scripts=scripts)
    if not before.due:
        return before
    running = _Running()
    try:
        async with database.migrating() as connection:
            before = await connection.run_sync(_upgrade, known, running)
    except DozorError as error:
        if not running.script:
            raise
        raise _failed(database, running.script, error.message.rstrip(".")) from error
    except Exception as error:
        _log.debug("A migration failed.", exc_info=True)
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0] or type(error).__name__
        raise _failed(database, running.script, mask(reason).rstrip(".")) from error
    if before.due:
        _log.info("The state database is up to date.", extra={"from": before.current, "to": before.newest})
    return before


async def look(database: Database, *, scripts: Path = SCRIPTS) -> Revisions:
    """Where the database is and where it should be; changes nothing.

    Raises:
        UnavailableError: The database does not answer.
        JobError: A newer version made the database.
    """
    known = _scripts(scripts)
    async with database.read() as connection:
        return await connection.run_sync(_revisions, known)


def unmade(*, scripts: Path = SCRIPTS) -> Revisions:
    """Of a database that nobody has made yet: every script is due."""
    known = _scripts(scripts)
    steps = [script.revision for script in known.iterate_revisions("head", "base")]
    return Revisions("", known.get_current_head() or "", tuple(reversed(steps)))


class _Running:
    """Which script is under way."""

    script = ""


def _scripts(folder: Path) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def _revisions(connection: Connection, scripts: ScriptDirectory) -> Revisions:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    current = context.get_current_revision()
    newest = scripts.get_current_head() or ""
    try:
        due = [script.revision for script in scripts.iterate_revisions(newest, current or "base")]
    except (CommandError, ResolutionError) as error:
        raise JobError(
            _("The state database has the shape {revision}, which this Dozor does not know.").format(
                revision=current
            ),
            hint=_("A newer Dozor made it: use that one, or bring back a backup of before."),
        ) from error
    return Revisions(current or "", newest, tuple(reversed(due)))


def _upgrade(connection: Connection, scripts: ScriptDirectory, running: _Running) -> Revisions:
    before = _revisions(connection, scripts)  # it may have moved while this process waited

    def due(revision: Any, context: Any) -> Iterator[Any]:
        del context
        for step in scripts._upgrade_revs("head", revision):  # noqa: SLF001 - as alembic.command.upgrade does
            running.script = step.revision.revision
            yield step

    with EnvironmentContext(Config(), scripts, fn=due) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE, transactional_ddl=True)
        environment.run_migrations()
    return before


def _failed(database: Database, script: str, reason: str) -> JobError:
    return JobError(
        _("The state database {place} could not be brought up to date: {reason}.").format(
            place=database.place, reason=f"{script}: {reason}" if script else reason
        ),
        hint=_(
            "Nothing in it was changed, and the former version works with it. "
            "Mend the cause, then run: dozor db upgrade"
        ),
    )
