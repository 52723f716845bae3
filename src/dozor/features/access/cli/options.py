"""Options and small parts that the commands below `dozor access` share."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from dozor.features.access.core.passwords import new_password
from dozor.features.access.service import Access
from dozor.kernel.errors import UsageError
from dozor.kernel.i18n import _

Answer = TypeVar("Answer")
Command = TypeVar("Command", bound=Callable[..., Any])

_LIFE = re.compile(r"(\d{1,5})([mhdwy])")
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}


class Runner(Protocol):
    """Opens access for one command, stopped or running Dozor alike."""

    def __call__(self, data_dir: Path | None, story: Callable[[Access], Awaitable[Answer]], /) -> Answer:
        """Play the story with the services of this data folder, and give back its answer."""


@dataclass(frozen=True)
class Parts:
    """What the commands need from the program.

    Args:
        run: Opens access.
        address: Where `dozor up` answers, such as `http://127.0.0.1:5000`.
        rotate: Puts a new secret key in its place; says what was done, in words.
    """

    run: Runner
    address: Callable[[], str]
    rotate: Callable[[Path | None], str]


def data_dir(command: Command) -> Command:
    """Add `--data-dir`."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar=_("DIR"),
        help=_("Folder of all state; /var/lib/dozor for root, else ~/.local/share/dozor by default."),
    )(command)


def as_json(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help=_("Print JSON instead of text."))(command)


def password_stdin(command: Command) -> Command:
    """Add `--password-stdin`."""
    return click.option(
        "--password-stdin", is_flag=True, help=_("Read the password from standard input, a single line.")
    )(command)


def read_password(*, from_stdin: bool) -> str:
    """The password from standard input, else asked for twice on the terminal.

    Raises:
        UsageError: There is no terminal to ask on, or nothing came.
    """
    if from_stdin:
        line = sys.stdin.readline().rstrip("\r\n")
        if not line:
            raise UsageError(_("No password came on standard input."), hint=_("Pipe it in as a single line."))
        return line
    if not sys.stdin.isatty():
        raise UsageError(
            _("There is no terminal to ask for a password."), hint=_("Pipe it in, with --password-stdin.")
        )
    text: str = click.prompt(_("Password"), hide_input=True, confirmation_prompt=_("Once more"))
    return text


def given_or_new_password(*, from_stdin: bool) -> tuple[str, bool]:
    """The password from standard input, or a new one; and whether it is new, so that it must be shown."""
    return (read_password(from_stdin=True), False) if from_stdin else (new_password(), True)


def lifetime(text: str | None) -> timedelta | None:
    """Read `30d`, `12h`, `90m`, `2w` or `1y`.

    Raises:
        UsageError: It is something else.
    """
    if text is None:
        return None
    found = _LIFE.fullmatch(text.strip().lower())
    if found is None or not int(found[1]):
        raise UsageError(
            _("'{text}' is no length of time.").format(text=text), hint=_("Write 30d, 12h, 90m, 2w or 1y.")
        )
    return int(found[1]) * _UNITS[found[2]]


def point_in_time(text: str | None) -> datetime | None:
    """Read a time in ISO 8601, UTC without a zone, or a length of time ago such as `7d`.

    Raises:
        UsageError: It is neither.
    """
    if text is None:
        return None
    if _LIFE.fullmatch(text):
        return datetime.now(UTC) - (lifetime(text) or timedelta())
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            _("Time '{text}' cannot be read.").format(text=text),
            hint=_("Write ISO 8601, such as 2026-11-22T10:00 (UTC), or 7d ago."),
        ) from error
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def shown_time(at: datetime | None) -> str:
    """A time as tables show it: UTC to the minute, `-` for none."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if at else "-"


def iso(at: datetime | None) -> str | None:
    """A time as JSON has it."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else None


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns; control signs that came from outside are shown, not obeyed."""
    cells = [list(titles), *([_visible(cell) for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(titles))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def print_json(value: object) -> None:
    """Print a value as JSON on one line."""
    click.echo(json.dumps(value))


def _visible(text: str) -> str:
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text) or "-"
