"""The commands `dozor access audit …`: check, show and export the audit trail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dozor.features.access.cli.options import (
    Parts,
    as_json,
    data_dir,
    point_in_time,
    print_json,
    print_table,
)
from dozor.features.access.core.lines import as_csv, csv_header
from dozor.features.access.core.lines import as_json as json_line
from dozor.features.access.model import AuditFilter, AuditPage, AuditRecord, ChainState, Event
from dozor.features.access.service import Access
from dozor.kernel.errors import JobError
from dozor.kernel.i18n import _, ngettext

Command = TypeVar("Command", bound=Callable[..., Any])


def add_audit(access: click.Group, parts: Parts) -> None:
    """Add the group `audit`.

    Args:
        access: Where to.
        parts: What the commands need from the program.
    """

    @access.group("audit", help=_("Check, show and export the record of who did what."))
    def audit() -> None:
        pass

    @audit.command("verify", help=_("Check the chain of records; exit code 1 if one does not fit."))
    @as_json
    @data_dir
    def verify(data_dir: Path | None, *, as_json: bool) -> None:
        async def story(access: Access) -> ChainState:
            return await access.ledger.verify()

        found = parts.run(data_dir, story)
        if as_json:
            print_json({"records": found.records, "broken": found.broken, "reason": found.reason})
        if found.broken is not None:
            raise JobError(
                _("The audit trail is broken at record {number}: {reason}.").format(
                    number=found.broken, reason=found.reason
                ),
                hint=_("Compare it with the audit file or the journal, and find out who could write there."),
            )
        if not as_json:
            click.echo(
                ngettext(
                    "The chain of {count} record holds.", "The chain of {count} records holds.", found.records
                ).format(count=found.records)
            )

    _add_show(audit, parts)
    _add_export(audit, parts)


def _add_show(audit: click.Group, parts: Parts) -> None:
    @audit.command("show", help=_("Show the latest records, the newest first."))
    @click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help=_("How many."))
    @_filters
    @as_json
    @data_dir
    def show(limit: int, data_dir: Path | None, *, as_json: bool, **which: str | None) -> None:
        async def story(access: Access) -> AuditPage:
            return await access.ledger.search(wanted, limit=limit)

        wanted = _filter(which)
        page = parts.run(data_dir, story)
        if as_json:
            for record in page.records:
                click.echo(json_line(record))
            return
        titles = (
            "#",
            _("time (UTC)"),
            _("event"),
            _("who"),
            _("action"),
            _("on what"),
            _("from"),
            _("result"),
        )
        print_table(titles, [_row(record) for record in page.records])


def _add_export(audit: click.Group, parts: Parts) -> None:
    @audit.command("export", help=_("Print all records that fit, the newest first."))
    @click.option(
        "--format",
        "form",
        type=click.Choice(["jsonl", "csv"]),
        default="jsonl",
        show_default=True,
        help=_("Form of the lines."),
    )
    @_filters
    @data_dir
    def export(form: str, data_dir: Path | None, **which: str | None) -> None:
        async def story(access: Access) -> None:
            if form == "csv":
                sys.stdout.write(csv_header())
            async for record in access.ledger.export(wanted):
                sys.stdout.write(as_csv(record) if form == "csv" else json_line(record) + "\n")

        wanted = _filter(which)
        parts.run(data_dir, story)


def _filters(command: Command) -> Command:
    for option in (
        click.option("--result", type=click.Choice(["ok", "refused", "failed"]), help=_("How it went.")),
        click.option("--address", metavar=_("ADDRESS"), help=_("Where from.")),
        click.option(
            "--action", metavar=_("ACTION"), help=_("What was done, such as people.create or people.*.")
        ),
        click.option("--person", "actor", metavar=_("NAME"), help=_("Who did it.")),
        click.option(
            "--event", type=click.Choice([event.value for event in Event]), help=_("Kind of record.")
        ),
        click.option("--until", metavar=_("TIME"), help=_("Only records before this time.")),
        click.option(
            "--since",
            metavar=_("TIME"),
            help=_("Only records from this time on: ISO 8601 (UTC without a zone), or 12h, 7d ago."),
        ),
    ):
        command = option(command)
    return command


def _filter(which: dict[str, str | None]) -> AuditFilter:
    texts = {name: which.get(name) or "" for name in ("event", "action", "actor", "address", "result")}
    return AuditFilter(point_in_time(which.get("since")), point_in_time(which.get("until")), **texts)


def _row(record: AuditRecord) -> tuple[str, ...]:
    entry = record.entry
    times = f" ×{entry.count}" if entry.count > 1 else ""  # noqa: RUF001 - the sign for "times"
    return (
        str(record.number),
        record.at.strftime("%Y-%m-%d %H:%M:%S"),
        entry.event.value,
        entry.actor or entry.actor_kind,
        entry.action,
        entry.target,
        entry.address,
        entry.result + times,
    )
