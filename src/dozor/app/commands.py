"""Commands that several features make together."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dozor.app.invocation import Invocation
from dozor.features.traffic.cli.options import UNWRAPPED, files_or_stdin, filter_options
from dozor.features.traffic.cli.report import ReportParts, build_report, show_progress
from dozor.features.traffic.model import Summary
from dozor.infra.memory import without_pandas
from dozor.kernel.i18n import _, current_language

if TYPE_CHECKING:  # columns are imported when a command runs: its help must answer at once
    from dozor.features.traffic.service import LogSource, Run

_MIB = 1 << 20
_PIPE_WIDTH = 120
_NOTHING_FOUND: dict[str, Any] = {"attack": False, "classes": [], "rules": [], "score": 0.0, "evidence": []}
_DETECTED = (
    *("line", "ts", "client", "method", "target", "status"),
    *("rules", "classes", "score", "evidence"),
)


def _invocation() -> Invocation:
    return click.get_current_context().find_object(Invocation) or Invocation()


class _Faces:
    """The report's three faces, each imported when it is shown."""

    def terminal(self, summary: Summary) -> None:
        from rich.console import Console

        from dozor.features.traffic.adapters.terminal import render

        class Output(Console):
            def on_broken_pipe(self) -> None:
                raise  # noqa: PLE0704 - Rich calls this while it handles the error, and would exit with 1

        # A pipe has no width of its own; 120 columns keep most targets whole, and COLUMNS says otherwise.
        sized = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
        render(summary, Output(width=None if sized else _PIPE_WIDTH))

    def json(self, summary: Summary, stages: Mapping[str, float] | None) -> str:
        from dozor.features.traffic.adapters.json import to_json

        return to_json(summary, stages)

    def html(self, summary: Summary) -> str:
        from dozor.features.traffic.adapters.html import render_html

        return render_html(summary, current_language())


def _assemble_report(log_format: str | None) -> ReportParts:
    without_pandas()
    from dozor.app.pipeline import build_pipeline
    from dozor.features.traffic.adapters.spill_files import FileSpill

    settings = _invocation().settings
    return ReportParts(
        pipeline=build_pipeline(settings, log_format),
        open_logs=_open_logs,
        spill=FileSpill,
        faces=_Faces(),
        memory_budget=settings.traffic.memory_budget_mb * _MIB,
        workers=settings.traffic.workers,
    )


@contextmanager
def _open_logs(names: Sequence[str], *, quiet: bool = False) -> Iterator[Sequence[LogSource]]:
    """Open logs, with a progress bar while a person watches, unless it is to be `quiet`."""
    from dozor.features.traffic.adapters.logs import open_logs, reading_progress

    logs = open_logs(names)
    with reading_progress(logs) if show_progress() and not quiet else nullcontext():
        yield logs


def _build_detect() -> click.Command:
    @click.command(
        "detect",
        help=_(
            "Judge each line of an access log by itself and print one JSON object per line, in order: line, "
            "attack, classes, rules, score (0 to 1) and evidence. Lines that are no requests carry 'error'."
        ),
        epilog=UNWRAPPED + _("Example: dozor detect access.log --jsonl --where 'attack = true'"),
    )
    @click.argument("file", required=False, metavar=_("[FILE]"))
    @click.option(
        "--jsonl", is_flag=True, default=True, help=_("Print JSON lines (the only form, and the default).")
    )
    @filter_options
    def detect(
        file: str | None,
        *,
        jsonl: bool,
        since: str | None,
        until: str | None,
        where: tuple[str, ...],
        log_format: str | None,
    ) -> None:
        del jsonl
        without_pandas()
        from dozor.app.pipeline import build_pipeline
        from dozor.features.traffic.core.filters import read_filters
        from dozor.features.traffic.service import records_in_order

        filters = read_filters(since, until, where, now=datetime.now(UTC))
        settings = _invocation().settings
        pipeline = build_pipeline(settings, log_format)
        # On a terminal the lines show how far it is, and the bar would break them.
        with _open_logs(files_or_stdin([file] if file else []), quiet=sys.stdout.isatty()) as logs:
            for parsed in records_in_order(
                logs[0], pipeline, filters=filters, workers=settings.traffic.workers
            ):
                sys.stdout.write(_json_lines(parsed))

    return detect


def _json_lines(parsed: Run) -> str:
    """One object per line of the log, in the order of the lines."""
    from dozor.columns.record import ATTACK_SCORE

    records = [_verdict(row, ATTACK_SCORE) for row in parsed.records.select(_DETECTED).to_pylist()]
    rejects = [
        {"line": row["line"], "error": row["reason"], "raw": row["raw"], **_NOTHING_FOUND}
        for row in parsed.rejects.to_pylist()
    ]
    rows = sorted([*records, *rejects], key=lambda row: row["line"]) if rejects else records
    # ASCII keeps the control and direction marks of a hostile log from reaching a terminal.
    return "".join(json.dumps(row) + "\n" for row in rows)


def _verdict(row: dict[str, Any], attack_score: float) -> dict[str, Any]:
    return {
        "line": row["line"],
        "ts": row["ts"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **{name: row[name] for name in ("client", "method", "target", "status")},
        "attack": row["score"] >= attack_score,
        "classes": row["classes"],
        "rules": row["rules"],
        "score": round(row["score"], 4),
        "evidence": row["evidence"],
    }


def attack_samples() -> Mapping[str, Sequence[str]]:
    """Attack texts by class, from the positive samples of rules that a label can rely on."""
    from dozor.columns.record import ATTACK_SCORE
    from dozor.features.threats.core.rules import load_rules
    from dozor.features.threats.model import AttackClass

    samples: dict[str, list[str]] = {}
    for rule in load_rules().rules:
        if rule.score < ATTACK_SCORE and rule.attack_class is not AttackClass.SCANNER:
            continue
        samples.setdefault(rule.attack_class.value, []).extend(rule.positive)
    return samples


def _build_demo() -> click.Command:
    from dozor.features.traffic.cli.demo import build_demo_command

    return build_demo_command(attack_samples)


report = build_report(_assemble_report)
detect = _build_detect()


def __getattr__(name: str) -> click.Command:
    """`demo` is built when it is asked for: its tables are not needed by the other commands."""
    if name == "demo":
        return _build_demo()
    raise AttributeError(name)
