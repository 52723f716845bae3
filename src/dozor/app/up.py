"""`dozor up`: checks what was asked for, then runs every service of the process until it is told to stop.

Exit codes: 0 all services finished, 1 one could not run or was cut off, 2 wrong usage, 130 ended at once by a
second signal.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dozor.app.invocation import Invocation, pass_invocation
from dozor.kernel.errors import DozorError, JobError, UsageError
from dozor.kernel.i18n import _

if TYPE_CHECKING:
    from dozor.app.settings import Settings
    from dozor.infra.supervisor import Ending

# Arrow must not be imported before `prefer_small` has run, so this module imports little.

ABORTED = 130

_LAST_WAIT = 3.0  # seconds for threads to end once all services have


def default_data_dir() -> Path:
    """Where state is kept when nobody says: a system folder for root, else the user's (XDG).

    Raises:
        UsageError: The user has no home.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/dozor")
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if base.is_absolute():
        return base / "dozor"
    try:
        return Path.home() / ".local" / "share" / "dozor"
    except RuntimeError as error:
        raise UsageError(
            _("This user has no home for the data folder."), hint=_("Name one with --data-dir or DATA_DIR.")
        ) from error


def build_up() -> click.Command:
    """The command `up`, its texts in the current language."""

    @click.command(
        "up",
        short_help=_("Follow logs, keep them, and show them in a console."),
        help=_(
            "Follow logs, keep every request once, and serve the console, the API and figures on one port, "
            "until Ctrl-C or SIGTERM. What is under way then is finished first; a second "
            "signal ends at once. SIGHUP opens log files anew and takes over a changed log level."
        ),
        epilog="\b\n" + _("Example: dozor up --log '/var/log/nginx/*.log'"),
    )
    @click.option(
        "--port", type=click.IntRange(0, 65535), metavar=_("PORT"), help=_("Port; 5000 by default.")
    )
    @click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar=_("DIR"),
        help=_("Folder of all state; /var/lib/dozor for root, else ~/.local/share/dozor by default."),
    )
    @click.option(
        "--log",
        "logs",
        multiple=True,
        metavar=_("FILE"),
        help=_("Log to follow, a path or a pattern, or - for standard input; may be repeated."),
    )
    @click.option(
        "--format", "log_format", metavar=_("FORMAT"), help=_("How all lines are written; found by default.")
    )
    @click.option(
        "--syslog-udp", metavar=_("ADDRESS"), help=_("Receive syslog by UDP, such as 127.0.0.1:5514.")
    )
    @click.option(
        "--syslog-tcp", metavar=_("ADDRESS"), help=_("Receive syslog by TCP, such as 127.0.0.1:5514.")
    )
    @click.option(
        "--clickhouse-url",
        metavar=_("URL"),
        help=_("Keep events in this ClickHouse, such as http://db:8123."),
    )
    @click.option("--demo", is_flag=True, help=_("Make up traffic to look at, and follow it."))
    @pass_invocation
    def up(
        invocation: Invocation,
        *,
        port: int | None,
        data_dir: Path | None,
        logs: tuple[str, ...],
        log_format: str | None,
        syslog_udp: str | None,
        syslog_tcp: str | None,
        clickhouse_url: str | None,
        demo: bool,
    ) -> None:
        options = {
            "port": port,
            "data_dir": data_dir,
            "traffic.logs": list(logs) or None,
            "traffic.log_format": log_format,
            "traffic.syslog_udp": syslog_udp,
            "traffic.syslog_tcp": syslog_tcp,
            "traffic.clickhouse_url": clickhouse_url,
        }
        called = {"traffic.logs": "--log", "traffic.log_format": "--format"}

        def read() -> Settings:
            return invocation.read().overridden(options, called).settings

        settings = invocation.loaded.overridden(options, called).settings
        _check_host(settings)
        code = _serve(settings, read, demo=demo)
        if code:
            raise click.exceptions.Exit(code)

    return up


def _check_host(settings: Settings) -> None:
    """Serve to other machines only under names that were said, since browsers can be led here by others."""
    if settings.host in {"0.0.0.0", "::"} and not settings.door.host_names:  # noqa: S104 - looked at
        raise UsageError(
            _("HOST is {host}, but no name is known by which other machines may ask for Dozor.").format(
                host=settings.host
            ),
            hint=_("Name them in ALLOWED_HOSTS, such as dozor.example.com; or leave HOST out."),
        )


def _serve(settings: Settings, read: Callable[[], Settings], *, demo: bool) -> int:
    """Run the process; return its exit code."""
    from dozor.infra.memory import prefer_small

    prefer_small()
    from dozor.app.live import run

    async def main() -> int:
        ending = await run(settings, read, demo=demo)
        code = _exit_code(ending)
        # The loop would wait for threads that hang in a call to a dead server or disk.
        leave = threading.Timer(0 if ending.cut or ending.aborted else _LAST_WAIT, _leave, (code,))
        leave.daemon = True
        leave.start()
        return code

    return asyncio.run(main())


def _leave(code: int) -> None:
    """End the process without waiting for anything."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _exit_code(ending: Ending) -> int:
    if ending.failed is not None:
        name, error = ending.failed
        if isinstance(error, DozorError):
            raise error
        raise JobError(_("The service {name} cannot run: {reason}").format(name=name, reason=error))
    if ending.aborted:
        click.echo(_("Ended at once: {names}.").format(names=", ".join(ending.cut) or "-"), err=True)
        return ABORTED
    if ending.cut:
        click.echo(
            _("Cut off, since it did not finish in time: {names}.").format(names=", ".join(ending.cut)),
            err=True,
        )
        return 1
    return 0


def __getattr__(name: str) -> click.Command:
    """`up` is built when it is asked for, so that its texts are in the language of the call."""
    if name == "up":
        return build_up()
    raise AttributeError(name)
