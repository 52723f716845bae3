from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dozor.features.traffic.adapters.json import to_dict, to_json
from tests.unit.traffic import summaries

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "report-json.md"


def report(name: str) -> Any:
    return json.loads(to_json(getattr(summaries, name)()))


def documented_keys() -> dict[str, set[str]]:
    sections = re.split(r"^## ", REFERENCE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        section.partition("\n")[0]: set(re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE))
        for section in sections
    }


def test_numbers_lists_and_times_follow_the_contract() -> None:
    busy = summaries.busy()
    told = report("busy")
    assert told["requests"] == busy.requests
    assert told["rejected"] == 14
    assert told["unique_clients"] == 5_842
    assert told["bytes"] == busy.bytes
    assert told["status"] == busy.status
    assert told["first"] == "2026-11-21T00:00:02Z"
    assert told["last"] == "2026-11-21T23:59:58Z"
    assert told["attacks"][0] == {"class": "sqli", "requests": 412, "clients": 3}
    assert told["step_seconds"] == 900
    assert told["elapsed_seconds"] == 0.42
    assert told["top_paths"][0] == {
        "value": "/",
        "requests": 14_204,
        "bytes": 402_113_002,
        "errors": 12,
        "seconds": 0.034,
    }


def test_times_of_other_zones_are_told_in_utc() -> None:
    moscow = timezone(timedelta(hours=3))
    summary = replace(summaries.one_line(), first=datetime(2026, 11, 21, 2, 59, 59, 999_000, tzinfo=moscow))
    assert to_dict(summary)["first"] == "2026-11-20T23:59:59Z"


def test_an_empty_log_has_no_times_and_empty_lists() -> None:
    told = report("empty")
    assert told["requests"] == 0
    assert told["first"] is None
    assert told["last"] is None
    assert told["status"] == {}
    assert told["top_paths"] == []


def test_hostile_text_comes_back_unchanged_from_plain_ascii() -> None:
    text = to_json(summaries.hostile())
    assert text.isascii()
    assert "\x1b" not in text
    assert tuple(row["value"] for row in json.loads(text)["top_paths"]) == summaries.HOSTILE


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("Rows", "top_paths"),
        ("Classes", "attacks"),
        ("Attackers", "attackers"),
        ("Steps", "timeline"),
        ("Rejects", "reject_examples"),
        ("Sources", "sources"),
        ("Messages", "errors"),
    ],
)
def test_the_reference_names_exactly_the_keys_of_each_row(section: str, key: str) -> None:
    assert set(report("busy")[key][0]) == documented_keys()[section]


def test_the_reference_names_exactly_the_keys_of_the_report() -> None:
    assert set(report("busy")) == documented_keys()["The report"]
