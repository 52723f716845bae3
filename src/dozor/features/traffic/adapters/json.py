"""The report for machines: one JSON object, described in docs/reference/report-json.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dozor.features.traffic.model import Summary

# `class` is a word of Python, and a bare `step` would leave its unit to guessing.
_KEYS = {"attack_class": "class", "step": "step_seconds"}


def to_dict(summary: Summary) -> dict[str, Any]:
    """The report as plain dicts, sequences, strings and numbers.

    Times are `YYYY-MM-DDTHH:MM:SSZ` or None, durations are seconds.
    """
    report: dict[str, Any] = asdict(summary, dict_factory=_object)
    # Rows call a mean request time `seconds`; the time that the report took needs a name of its own.
    report["elapsed_seconds"] = report.pop("seconds")
    return report


def to_json(summary: Summary, stages: Mapping[str, float] | None = None) -> str:
    """The report as JSON text in ASCII, without a line end; with the seconds by stage if given.

    ASCII keeps the control and direction marks of a hostile log from reaching a terminal.
    """
    report = to_dict(summary)
    if stages is not None:
        report["stages"] = {name: _plain(seconds) for name, seconds in stages.items()}
    return json.dumps(report, indent=2)


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {_KEYS.get(name, name): _plain(value) for name, value in fields}


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case timedelta():
            return value.total_seconds()
        case float():
            return round(value, 6)
        case _:
            return value
