"""`dozor report`: what stands in access logs, on the terminal, as a page or as JSON."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from dozor.features.traffic.cli.options import STDIN, UNWRAPPED, files_or_stdin, filter_options
from dozor.features.traffic.core.formats import ERROR_LOG
from dozor.features.traffic.model import Summary
from dozor.kernel.errors import JobError, UsageError
from dozor.kernel.i18n import _

if TYPE_CHECKING:  # columns are imported when the command runs: its help must answer at once
    from dozor.features.traffic.ports import Spill
    from dozor.features.traffic.service import LogSource, Pipeline


class Faces(Protocol):
    """How a report is shown."""

    def terminal(self, summary: Summary) -> None:
        """Print it for people."""

    def json(self, summary: Summary, stages: Mapping[str, float] | None) -> str:
        """One JSON object, with the seconds by stage if they are asked for."""

    def html(self, summary: Summary) -> str:
        """One self-contained page."""


@dataclass(frozen=True)
class ReportParts:
    """What the command works with.

    Args:
        pipeline: Parse, enrich and detect.
        open_logs: Opens logs by name, showing progress while they are read; checks all of them first.
        spill: Makes the place for counts that do not fit in memory.
        faces: Shows the report.
        memory_budget: Bytes for counts of distinct values.
        workers: Chunks worked on at the same time.
    """

    pipeline: Pipeline
    open_logs: Callable[[Sequence[str]], AbstractContextManager[Sequence[LogSource]]]
    spill: Callable[[], AbstractContextManager[Spill]]
    faces: Faces
    memory_budget: int
    workers: int


def build_report(assemble: Callable[[str | None], ReportParts]) -> click.Command:
    """The command, with its texts in the current language.

    Args:
        assemble: Gives the parts for a log format that the user named, or None.
    """

    @click.command(
        "report",
        help=_(
            "Show what stands in access logs: traffic, visitors, errors, slow pages, and the attacks with "
            "their senders. Reads plain, gzip, zstd, bzip2 and xz files; '-' is standard input. nginx error "
            "logs among the files are summed up too."
        ),
        epilog=UNWRAPPED
        + _("Example: dozor report /var/log/nginx/access.log* --since 24h --html report.html"),
    )
    @click.argument("files", nargs=-1, metavar=_("[FILE]..."))
    @filter_options
    @click.option("--json", "as_json", is_flag=True, help=_("Print one JSON object instead."))
    @click.option(
        "--html",
        "html_file",
        type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
        metavar=_("FILE"),
        help=_("Write one self-contained page instead; it needs neither server nor internet. '-' prints it."),
    )
    @click.option(
        "--top",
        type=click.IntRange(1, 10_000),
        default=10,
        show_default=True,
        metavar="N",
        help=_("Rows of each list at the most."),
    )
    @click.option(
        "--timings",
        is_flag=True,
        envvar="DOZOR_TIMINGS",
        help=_("Also tell how long each stage took (in JSON: 'stages')."),
    )
    def command(
        files: tuple[str, ...],
        *,
        since: str | None,
        until: str | None,
        where: tuple[str, ...],
        log_format: str | None,
        as_json: bool,
        html_file: Path | None,
        top: int,
        timings: bool,
    ) -> None:
        from dozor.features.traffic.core.filters import read_filters
        from dozor.features.traffic.service import report

        if as_json and str(html_file) == STDIN:
            raise UsageError(
                _("The page and the JSON cannot both go to standard output."),
                hint=_("Name a file for the page."),
            )
        filters = read_filters(since, until, where, now=datetime.now(UTC))
        parts = assemble(log_format)
        stages: dict[str, float] = {}
        with parts.open_logs(files_or_stdin(files)) as logs, parts.spill() as spill:
            summary = report(
                logs,
                parts.pipeline,
                spill=spill,
                memory_budget=parts.memory_budget,
                filters=filters,
                workers=parts.workers,
                top=top,
                stages=stages,
            )
        _warn_of_strange_logs(summary)
        if html_file is not None:
            page = parts.faces.html(summary)
            if str(html_file) == STDIN:
                click.echo(page)
                return
            _write_whole(html_file, page)
            click.echo(_("The report is in {path}.").format(path=html_file), err=as_json)
        if as_json:
            click.echo(parts.faces.json(summary, stages if timings else None))
        elif html_file is None:
            parts.faces.terminal(summary)
        if timings and not as_json:
            click.echo("  ".join(f"{name} {seconds:.3f} s" for name, seconds in stages.items()), err=True)

    return command


def _warn_of_strange_logs(summary: Summary) -> None:
    """Say so when not one line of a log could be read: most likely its format is another."""
    for source in summary.sources:
        if source.rejected and not source.parsed and source.format != ERROR_LOG.name:
            raws = [reject.raw for reject in summary.reject_examples if reject.source == source.name]
            message = _("'{name}': no line fits the format {format}; name its format with --format.")
            if any(raw.lstrip().startswith("{") for raw in raws):
                message = _(
                    "'{name}': its JSON has keys other than nginx's; map them in traffic.json_fields."
                )
            click.echo("dozor: " + message.format(name=source.name, format=source.format), err=True)


def _write_whole(path: Path, text: str) -> None:
    """Write the file whole or not at all; a link is followed, a device or a pipe is written to."""
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path.resolve(), text)
    except OSError as error:
        raise JobError(
            _("'{path}' cannot be written: {fact}.").format(path=path, fact=error.strerror or error),
            hint=_("Name a file in a folder that exists and that you may write to."),
        ) from error


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        whole = Path(file.name)
        try:
            file.write(text)
            file.flush()
            whole.chmod(0o666 & ~_umask())
            whole.replace(path)
        except OSError:
            whole.unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def show_progress() -> bool:
    """Whether a person watches: progress goes to a terminal on standard error, never into a pipe."""
    return sys.stderr is not None and sys.stderr.isatty()
