"""Puts access together from the state's parts, for `dozor up` and for the command `dozor access`.

async with open_access(settings, folder) as access:   # of a command, beside a running Dozor
    ...
access = build_access(settings, folder, database, keys, limiter=…, publisher=…)   # of the server
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from dozor.app.invocation import Invocation
from dozor.kernel.errors import SettingsError
from dozor.kernel.i18n import _

if TYPE_CHECKING:  # the libraries of the state are imported when it is opened
    from dozor.app.settings import Settings
    from dozor.features.access.ports import AuditSink, FailureLimiter
    from dozor.features.access.service import Access
    from dozor.infra.database import Database
    from dozor.infra.keys import KeyRing
    from dozor.kernel.finding import Publisher

AUDIT_FILE = "audit.jsonl"

Answer = TypeVar("Answer")


def build_access(
    settings: Settings,
    folder: Path,
    database: Database,
    keys: KeyRing,
    *,
    limiter: FailureLimiter | None = None,
    publisher: Publisher | None = None,
) -> Access:
    """The services of access upon state that is open.

    Args:
        settings: The program's.
        folder: The data folder.
        database: Up to date.
        keys: For tokens and secrets.
        limiter: Counts failed sign-ins; in memory by default.
        publisher: Takes findings about our own door.

    Raises:
        SettingsError: ADMIN_PASSWORD_HASH is of no kind that can be checked.
    """
    from dozor.features.access.adapters.codes_totp import TotpCodes
    from dozor.features.access.adapters.limiter_memory import InMemoryFailureLimiter
    from dozor.features.access.adapters.passwords_bcrypt import BcryptPasswords, is_known_kind
    from dozor.features.access.adapters.store_sql import SqlAccessStore
    from dozor.features.access.adapters.tokens_jwt import JwtAccessTokens
    from dozor.features.access.service import assemble

    hashed = settings.access.admin_password_hash
    if hashed and not is_known_kind(hashed.get_secret_value()):
        raise SettingsError(
            _("ADMIN_PASSWORD_HASH is no password hash that Dozor can check."),
            hint=_(
                "Give a bcrypt or a werkzeug pbkdf2:sha256 hash, or leave it out and use the set-up link."
            ),
        )
    return assemble(
        store=SqlAccessStore(database),
        passwords=BcryptPasswords(settings.access.bcrypt_rounds),
        tokens=JwtAccessTokens(lambda: keys.derived("jwt")),
        cipher=keys,
        codes=TotpCodes(),
        limiter=limiter or InMemoryFailureLimiter(),
        settings=settings.access,
        publisher=publisher,
        sink=_sink(settings, folder),
    )


@asynccontextmanager
async def open_access(settings: Settings, folder: Path) -> AsyncIterator[Access]:
    """Open the state of a data folder for a while; a Dozor that runs on it goes on.

    Raises:
        UnavailableError: The database does not answer.
        SettingsError: DATABASE_URL or a key is of no use.
        JobError: The state cannot be opened.
    """
    from dozor.app.db import open_keyring, open_state

    database = await open_state(settings, folder)
    try:
        access = build_access(settings, folder, database, open_keyring(settings, folder))
        yield access
        await access.ledger.flush(everything=True)
    finally:
        await database.close()


def _sink(settings: Settings, folder: Path) -> AuditSink | None:
    from dozor.features.access.adapters.sinks import FileSink, JournalSink

    if settings.access.audit_output == "file":
        return FileSink(settings.access.audit_file or folder / AUDIT_FILE)
    return JournalSink() if settings.access.audit_output == "journald" else None


def _settings(data_dir: Path | None) -> Settings:
    invocation = click.get_current_context().find_object(Invocation) or Invocation()
    return invocation.loaded.overridden({"data_dir": data_dir}).settings


def _run(data_dir: Path | None, story: Callable[[Access], Awaitable[Answer]]) -> Answer:
    from dozor.app.db import state_folder

    settings = _settings(data_dir)

    async def main() -> Answer:
        async with open_access(settings, state_folder(settings)) as access:
            return await story(access)

    return asyncio.run(main())


def _address() -> str:
    settings = _settings(None)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - looked at
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _rotate(data_dir: Path | None) -> str:
    from dozor.app.db import state_folder
    from dozor.features.access.model import COMMAND_LINE, LOCAL, Event
    from dozor.features.access.service.ledger import entry_by
    from dozor.infra.keys import KEY_FILE, rotate

    settings = _settings(data_dir)
    if settings.secret_key:
        raise SettingsError(
            _("The secret key comes from SECRET_KEY, which this command cannot change."),
            hint=_("Set a new SECRET_KEY, and name the former one in access.previous_secret_keys."),
        )
    folder = state_folder(settings)
    rotate(folder)

    async def record(access: Access) -> None:
        await access.ledger.record(
            entry_by(COMMAND_LINE, LOCAL, Event.SENSITIVE_OPERATION, "keys.rotate", target=KEY_FILE)
        )

    _run(data_dir, record)
    return _("There is a new key in {path}; nobody is signed out.").format(path=folder / KEY_FILE)


def __getattr__(name: str) -> click.Command:
    """`access` is built when it is asked for, so that its texts are in the language of the call."""
    if name == "access":
        from dozor.features.access.cli.commands import build_access_command
        from dozor.features.access.cli.options import Parts

        return build_access_command(Parts(_run, _address, _rotate))
    raise AttributeError(name)
