"""The state of one Dozor, database and keys, as its settings say; and the command `dozor db`.

    database = await open_state(settings, folder)   # brought up to date
    keys = open_keyring(settings, folder)

Both may be opened beside a running Dozor.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from dozor.app.invocation import Invocation, pass_invocation
from dozor.app.up import default_data_dir
from dozor.kernel.errors import JobError
from dozor.kernel.i18n import _, ngettext

if TYPE_CHECKING:  # the libraries of the database are imported when it is opened
    from dozor.app.settings import Settings
    from dozor.infra.database import Database
    from dozor.infra.keys import KeyRing
    from dozor.infra.migrating import Revisions

ResultT = TypeVar("ResultT")


def state_folder(settings: Settings) -> Path:
    """Where state is kept.

    Raises:
        UsageError: Nobody said, and the user has no home.
    """
    return settings.data_dir or default_data_dir()


def open_database(settings: Settings, folder: Path) -> Database:
    """The state database as it is; `open_state` brings it up to date as well.

    Raises:
        SettingsError: DATABASE_URL names none that Dozor can use.
        JobError: The file cannot be made.
    """
    from dozor.infra.database import Database, sqlite_url

    url = settings.database.url
    return Database(url.get_secret_value() if url else sqlite_url(folder), settings.database)


async def open_state(settings: Settings, folder: Path) -> Database:
    """The state database in the shape that this version needs.

    Raises:
        UnavailableError: It does not answer, or another process holds it.
        SettingsError: DATABASE_URL names none that Dozor can use.
        JobError: It could not be brought up to date, and nothing in it was changed.
    """
    from dozor.infra.migrating import upgrade

    database = open_database(settings, folder)
    try:
        await upgrade(database)
    except BaseException:
        await database.close()
        raise
    return database


def open_keyring(settings: Settings, folder: Path) -> KeyRing:
    """The keys of the settings, or of the data folder, where they are made at the first call.

    Raises:
        SettingsError: SECRET_KEY could be guessed.
        JobError: The key file cannot be used.
    """
    from dozor.infra.keys import open_keys

    current, previous = settings.secret_key, settings.access.previous_secret_keys
    return open_keys(
        folder,
        current.get_secret_value() if current else None,
        [former.get_secret_value() for former in previous],
    )


def build_db() -> click.Group:
    """The command `db`, its texts in the current language."""

    @click.group("db", help=_("Look after the database of people, keys and the audit trail."))
    def db() -> None:
        pass

    folder = click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar=_("DIR"),
        help=_("Folder of all state; /var/lib/dozor for root, else ~/.local/share/dozor by default."),
    )

    @db.command("upgrade", help=_("Bring the database to the shape that this version needs; all or nothing."))
    @folder
    @pass_invocation
    def upgrade(invocation: Invocation, data_dir: Path | None) -> None:
        from dozor.infra import migrating

        before = _with_database(invocation, data_dir, migrating.upgrade)
        if not before.due:
            click.echo(_("The database is up to date: {revision}.").format(revision=before.newest))
            return
        click.echo(
            ngettext(
                "{count} step done; the database is up to date: {revision}.",
                "{count} steps done; the database is up to date: {revision}.",
                len(before.due),
            ).format(count=len(before.due), revision=before.newest)
        )

    @db.command("current", help=_("Show where the database is, its shape, and the steps that are due."))
    @click.option("--json", "as_json", is_flag=True, help=_("Print a JSON object instead of text."))
    @folder
    @pass_invocation
    def current(invocation: Invocation, data_dir: Path | None, *, as_json: bool) -> None:
        place, found = _seen(invocation, data_dir, _look)
        if as_json:
            due = list(found.due)
            click.echo(
                json.dumps(
                    {"database": place, "current": found.current or None, "newest": found.newest, "due": due}
                )
            )
            return
        for title, text in (
            (_("database"), place),
            (_("shape"), found.current or _("none yet")),
            (_("steps due"), ", ".join(found.due) or "-"),
        ):
            click.echo(f"{title:<12}{text}")

    @db.command("check", help=_("Tell whether the database is up to date and whole; exit code 1 if not."))
    @folder
    @pass_invocation
    def check(invocation: Invocation, data_dir: Path | None) -> None:
        place, found = _seen(invocation, data_dir, _look_closely)
        if found.due:
            raise JobError(
                _("The database {place} is not up to date: {steps}.").format(
                    place=place, steps=", ".join(found.due)
                ),
                hint=_("Run: dozor db upgrade"),
            )
        click.echo(_("The database is up to date: {revision}.").format(revision=found.newest))

    return db


def _with_database(
    invocation: Invocation, data_dir: Path | None, ask: Callable[[Database], Awaitable[ResultT]]
) -> ResultT:
    settings = invocation.loaded.overridden({"data_dir": data_dir}).settings

    async def main() -> ResultT:
        database = open_database(settings, state_folder(settings))
        try:
            return await ask(database)
        finally:
            await database.close()

    return asyncio.run(main())


def _seen(
    invocation: Invocation,
    data_dir: Path | None,
    ask: Callable[[Database], Awaitable[tuple[str, Revisions]]],
) -> tuple[str, Revisions]:
    """What looking at the database tells; looking makes neither the file nor its folder."""
    from dozor.infra.database import SQLITE_FILE
    from dozor.infra.migrating import unmade

    settings = invocation.loaded.overridden({"data_dir": data_dir}).settings
    if settings.database.url is None:
        file = (state_folder(settings) / SQLITE_FILE).absolute()
        if not file.exists():
            return str(file), unmade()
    return _with_database(invocation, data_dir, ask)


async def _look(database: Database) -> tuple[str, Revisions]:
    from dozor.infra.migrating import look

    return database.place, await look(database)


async def _look_closely(database: Database) -> tuple[str, Revisions]:
    await database.check()
    return await _look(database)


def __getattr__(name: str) -> click.Command:
    """`db` is built when it is asked for, so that its texts are in the language of the call."""
    if name == "db":
        return build_db()
    raise AttributeError(name)
