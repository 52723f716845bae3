"""`dozor demo traffic`: writes made-up logs with labels, as a backfill of days, live, or both.

The files of a demo are `access.log`, `error.log`, `labels.jsonl` (line, label and campaign of every line that
is not benign) and `demo.json`, which says how they were made. It also marks the files as ours: what it
does not list with its present size was written by someone else and is left alone.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, Self

import click
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dozor.features.traffic.core.demo import (
    SECOND,
    DemoFormat,
    DemoOptions,
    World,
    access_lines,
    backfill,
    build_world,
    error_lines,
    label_lines,
    stream,
)
from dozor.kernel.errors import JobError, UsageError
from dozor.kernel.i18n import _, format_number, ngettext
from dozor.kernel.moments import parse_moment

AttackSamples = Callable[[], Mapping[str, Sequence[str]]]
"""Gives attack texts by class: agents for `bad_agent`, else request targets or bare values."""

_DEFAULTS: Final = DemoOptions()
# a day is made in memory, which takes 1.2 GB for this many
_MOST_PER_DAY: Final = 2_000_000
_ACCESS: Final = "access.log"
_ERROR: Final = "error.log"
_LABELS: Final = "labels.jsonl"
_MANIFEST: Final = "demo.json"
_FILES: Final = (_ACCESS, _ERROR, _LABELS)

_TICK: Final = 0.05  # seconds between two writes of the live mode
# Above it, the made-up time runs faster than the clock: visits under way at once stay bounded in number.
_FASTEST_REAL_TIME: Final = 200.0
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
_CHUNK: Final = 1 << 20
_SLICE: Final = 50_000  # events; their text is ten times their size


@dataclass(frozen=True, slots=True)
class _Request:
    """What the person asked for; `rate` in lines a second and `seconds` are None when not given."""

    out: Path
    options: DemoOptions
    log_format: DemoFormat
    days: int
    end: datetime
    rate: float | None
    seconds: float | None
    force: bool


def build_demo_command(attack_samples: AttackSamples) -> click.Group:
    """The command group `demo` with its command `traffic`, its texts in the current language.

    Args:
        attack_samples: Called once when traffic is generated.
    """
    group = click.Group("demo", help=_("Make up data to try Dozor with."))
    group.add_command(_traffic_command(attack_samples))
    return group


def _traffic_command(attack_samples: AttackSamples) -> click.Command:
    def run(
        *,
        out: Path,
        days: int | None,
        until: str,
        requests_per_day: int,
        rate: str | None,
        duration: str | None,
        seed: int,
        log_format: str,
        force: bool,
    ) -> None:
        request = _Request(
            out=out,
            options=DemoOptions(seed=seed, requests_per_day=requests_per_day),
            log_format=DemoFormat(log_format),
            days=days or (0 if rate else 1),
            end=parse_moment(until, now=datetime.now(UTC)),
            rate=_read_rate(rate) if rate else None,
            seconds=_read_duration(duration) if duration else None,
            force=force,
        )
        if request.seconds and not request.rate:
            raise UsageError(_("--for needs --rate."), hint=_("Add --rate 10/s, or leave --for out."))
        try:
            _generate(request, build_world(request.options, attack_samples()))
        except OSError as error:
            raise JobError(
                _("{path} cannot be written: {reason}.").format(
                    path=error.filename or out, reason=error.strerror
                ),
                hint=_("Choose another folder with --out."),
            ) from error

    return click.Command(
        "traffic",
        callback=run,
        params=_parameters(),
        short_help=_("Write made-up access and error logs with labels."),
        help=_(
            "Write the access and error logs of a made-up shop, with a file of labels.\n\n"
            "People come back and follow links by the rhythm of the day and the week; search engines,"
            " monitors and apps do their work; and there are attacks of each class, guessed passwords,"
            " scans, bursts and junk. The same seed and options give the same bytes.\n\n"
            "Without options it writes one day that ends now. --rate appends as time goes by, until Ctrl-C;"
            " together with --days it goes on after them."
        ),
    )


def _parameters() -> list[click.Parameter]:
    return [
        click.Option(
            ["--out"],
            type=click.Path(path_type=Path, file_okay=False),
            default=Path("var/demo"),
            show_default=True,
            metavar=_("DIR"),
            help=_("Folder for the files."),
        ),
        click.Option(
            ["--days"],
            type=click.IntRange(min=1, max=3660),
            metavar=_("N"),
            help=_("Backfill this many days; 1 unless --rate is given."),
        ),
        click.Option(
            ["--until"],
            default="0m",
            metavar=_("TIME"),
            help=_("Where the backfill ends: ISO 8601, or 30m, 24h, 7d before now. Now by default."),
        ),
        click.Option(
            ["--requests-per-day"],
            type=click.IntRange(min=100, max=_MOST_PER_DAY),
            default=_DEFAULTS.requests_per_day,
            show_default=True,
            metavar=_("N"),
            help=_("Requests of a mean day; a single day differs by weekday and chance."),
        ),
        click.Option(
            ["--rate"],
            metavar=_("R/s"),
            help=_("Append this many lines a second, as they would happen now: 10/s, 0.5/s."),
        ),
        click.Option(
            ["--for", "duration"], metavar=_("DURATION"), help=_("End --rate after 30s, 10m or 2h.")
        ),
        click.Option(
            ["--seed"],
            type=click.IntRange(min=0),
            default=_DEFAULTS.seed,
            show_default=True,
            metavar=_("N"),
            help=_("Another seed gives other people and attacks."),
        ),
        click.Option(
            ["--format", "log_format"],
            type=click.Choice([str(name) for name in DemoFormat]),
            default=str(DemoFormat.COMBINED),
            show_default=True,
            help=_("Format of the access log: nginx's combined, main with times, or JSON."),
        ),
        click.Option(["--force"], is_flag=True, help=_("Overwrite files that this command did not write.")),
    ]


def _read_rate(text: str) -> float:
    number = text.removesuffix("/s").strip()
    if not re.fullmatch(r"\d{1,6}(?:\.\d+)?", number) or not float(number):
        raise UsageError(
            _("Rate '{text}' cannot be read.").format(text=text),
            hint=_("Write lines a second, such as 10/s or 0.5/s."),
        )
    return float(number)


def _read_duration(text: str) -> float:
    found = re.fullmatch(r"(\d{1,9})([smh])", text.strip())
    if not found or not int(found[1]):
        raise UsageError(
            _("Duration '{text}' cannot be read.").format(text=text),
            hint=_("Write seconds, minutes or hours, such as 30s, 10m or 2h."),
        )
    return float(found[1]) * _UNITS[found[2]]


def _generate(request: _Request, world: World) -> None:
    with _Files(request) as files:
        if request.days:
            for table in _shown(request, backfill(world, request.end, request.days)):
                files.append(table)
        if request.rate:
            _run_live(files, world, request.rate, request.seconds)
    click.echo(files.summary())


def _shown(request: _Request, tables: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The tables, with a progress bar when standard error is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(tables, total=request.days, description=_("Days"))


def _run_live(files: _Files, world: World, rate: float, seconds: float | None) -> None:
    """Append lines at a steady rate until the time is over or Ctrl-C."""
    click.echo(
        _("Appending {rate:g} lines a second to {path}; Ctrl-C ends it.").format(
            rate=rate, path=files.access
        ),
        err=True,
    )
    events = _Buffer(stream(world, datetime.now(UTC), min(rate, _FASTEST_REAL_TIME)))
    events.take(0)  # the first minutes take longest to make; the clock starts after them
    begin, written = time.monotonic(), 0
    try:
        while True:
            passed = time.monotonic() - begin
            ended = seconds is not None and passed >= seconds
            due = int((seconds if seconds is not None and ended else passed) * rate) - written
            if due > 0:
                now = round(time.time() * SECOND)
                files.append(events.take(due).with_columns(t=pl.lit(now, pl.Int64)))
                written += due
            if ended:
                return
            time.sleep(_TICK)
    except KeyboardInterrupt:
        return


class _Buffer:
    """Hands out rows of an endless run of tables in any number."""

    def __init__(self, tables: Iterator[pl.DataFrame]) -> None:
        self._tables = tables
        self._rest = next(tables)

    def take(self, count: int) -> pl.DataFrame:
        """The next `count` rows."""
        while len(self._rest) < count:
            self._rest = pl.concat([self._rest, next(self._tables)])
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


class _Files:
    """The files of a demo, open for writing: replaced by a backfill, continued by the live mode alone.

    Raises:
        UsageError: A file was not written by this command, or goes on in another format.
    """

    def __init__(self, request: _Request) -> None:
        self._request = request
        self._folder = request.out
        self._labels: Counter[str] = Counter()
        self._lines = 0
        self._first: int | None = None
        self._last = 0
        self._open: dict[str, BinaryIO] = {}
        self._closing = ExitStack()

    @property
    def access(self) -> Path:
        """Path of the access log."""
        return self._folder / _ACCESS

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._read_manifest()
        if not self._request.force:
            for name in _FILES:
                self._check_ours(name, written)
        goes_on = not self._request.days and self.access.exists() and bool(written)
        if goes_on:
            self._check_format(written)
            self._lines = _count_lines(self.access)
        # said before the first byte is written: a run that is cut short leaves files that are known as ours
        self._write_manifest(dict.fromkeys(_FILES))
        for name in _FILES:
            path = self._folder / name
            self._open[name] = self._closing.enter_context(path.open("ab" if goes_on else "wb"))
        return self

    def __exit__(self, *_exception: object) -> None:
        self._closing.close()
        self._write_manifest({name: (self._folder / name).stat().st_size for name in _FILES})

    def append(self, events: pl.DataFrame) -> None:
        """Write events, in the order of time, to all files and flush them."""
        for part in events.iter_slices(_SLICE):
            self._append(part)

    def _append(self, events: pl.DataFrame) -> None:
        first_line = self._lines + 1
        self._write(_ACCESS, access_lines(events, self._request.log_format).to_list())
        self._write(_ERROR, error_lines(events, first_line))
        self._write(_LABELS, label_lines(events, first_line))
        self._lines += len(events)
        self._first = self._first if self._first is not None else events["t"][0]
        self._last = events["t"][-1]
        self._labels.update(events["label"].to_list())

    def summary(self) -> str:
        """What was written, and what to type next."""
        total = self._labels.total()
        lines = [
            ngettext("{count} line", "{count} lines", total).format(count=format_number(total))
            + (f", {_moment(self._first)} .. {_moment(self._last)} UTC" if self._first is not None else ""),
            "",
            *(
                f"  {label or _('benign'):<16}{format_number(n):>12}"
                for label, n in self._labels.most_common()
            ),
            "",
            *(f"  {self._folder / name}" for name in (*_FILES, _MANIFEST)),
            "",
            _("Next: {command}").format(command=f"dozor report {self.access}"),
        ]
        return "\n".join(lines)

    def _write(self, name: str, lines: list[str]) -> None:
        if lines:
            self._open[name].write("\n".join([*lines, ""]).encode())
            self._open[name].flush()

    def _check_ours(self, name: str, written: Mapping[str, object]) -> None:
        path = self._folder / name
        sizes = written.get("files")
        if not path.exists():
            return
        if isinstance(sizes, dict) and name in sizes and sizes[name] in (None, path.stat().st_size):
            return
        raise UsageError(
            _("{path} was not written by this command.").format(path=path),
            hint=_("Choose another folder with --out, or overwrite it with --force."),
        )

    def _check_format(self, written: Mapping[str, object]) -> None:
        if written.get("format") != self._request.log_format:
            raise UsageError(
                _("{path} is written in the format {format}.").format(
                    path=self.access, format=written.get("format")
                ),
                hint=_("Go on with --format {format}, or begin anew with --days 1.").format(
                    format=written.get("format")
                ),
            )

    def _read_manifest(self) -> Mapping[str, object]:
        try:
            read = json.loads((self._folder / _MANIFEST).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return read if isinstance(read, dict) else {}

    def _write_manifest(self, sizes: Mapping[str, int | None]) -> None:
        manifest = {
            "made_by": "dozor demo traffic",
            "seed": self._request.options.seed,
            "requests_per_day": self._request.options.requests_per_day,
            "format": str(self._request.log_format),
            "days": self._request.days,
            "until": self._request.end.isoformat() if self._request.days else None,
            "rate": self._request.rate,
            "lines": self._lines,
            "files": dict(sizes),
        }
        (self._folder / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / SECOND, tz=UTC):%Y-%m-%d %H:%M:%S}"
