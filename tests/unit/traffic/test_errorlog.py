"""nginx's error log: fields, joined lines, honest rejects, and messages that group."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.columns.record import REJECT
from dozor.features.traffic.core.errorlog import (
    ERROR_RECORD,
    count_messages,
    fold_messages,
    parse_errorlog,
    top_messages,
)

OPEN_FAILED = (
    b'2026/11/22 13:00:01 [error] 1234#1235: *567 open() "/srv/www/x" failed (2: No such file or directory), '
    b'client: 203.0.113.7, server: shop.example, request: "GET /x?a=1, b HTTP/1.1", '
    b'upstream: "http://127.0.0.1:8080/x", host: "shop.example", referrer: "https://example.org/"\n'
)
STARTED = b'2026/11/22 12:59:59 [notice] 1#1: using the "epoll" event method\n'


def test_every_field_of_a_line_has_its_column() -> None:
    (row,) = parse_errorlog(OPEN_FAILED, offset=1_000, first_line=51).records.to_pylist()
    assert row == {
        "line": 51,
        "line_offset": 1_000,
        "ts": datetime(2026, 11, 22, 13, 0, 1, tzinfo=UTC),
        "level": "error",
        "pid": 1234,
        "tid": 1235,
        "connection": 567,
        "message": 'open() "/srv/www/x" failed (2: No such file or directory)',
        "client": "203.0.113.7",
        "server": "shop.example",
        "request": "GET /x?a=1, b HTTP/1.1",
        "upstream": "http://127.0.0.1:8080/x",
        "host": "shop.example",
        "referrer": "https://example.org/",
    }


def test_facts_that_were_not_logged_are_empty() -> None:
    (row,) = parse_errorlog(STARTED).records.to_pylist()
    assert row["message"] == 'using the "epoll" event method'
    assert row["connection"] is None
    assert {row[name] for name in ("client", "server", "request", "upstream", "host", "referrer")} == {""}


def test_batches_have_the_documented_schemas_also_when_empty() -> None:
    for data in (b"", b"\n\r\n", OPEN_FAILED, b"junk\n"):
        parsed = parse_errorlog(data)
        parsed.records.validate(full=True)
        assert parsed.records.schema == ERROR_RECORD
        assert parsed.rejects.schema == REJECT


def test_local_time_is_taken_in_the_given_zone() -> None:
    (row,) = parse_errorlog(STARTED, zone="Europe/Moscow").records.to_pylist()
    assert row["ts"] == datetime(2026, 11, 22, 9, 59, 59, tzinfo=UTC)


def test_a_time_that_summer_time_leaves_out_is_rejected_and_a_repeated_one_is_the_first() -> None:
    lines = b"2026/03/29 02:30:00 [warn] 1#1: skipped\n2026/10/25 02:30:00 [warn] 1#1: repeated\n"
    parsed = parse_errorlog(lines, zone="Europe/Berlin")
    assert parsed.rejects.to_pylist()[0]["reason"] == "time"
    assert parsed.records.to_pylist()[0]["ts"] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_lines_without_a_head_continue_the_message_before_them() -> None:
    trace = (
        b'2026/11/22 13:00:03 [error] 7#7: *9 FastCGI sent in stderr: "PHP message: no\r\n#0 /srv/x.php(12)\n'
        b'\n#1 {main}" while reading upstream, client: 2001:db8::1, server: _, request: "GET / HTTP/1.1"\n'
    )
    parsed = parse_errorlog(STARTED + trace + STARTED)
    _started, row, last = parsed.records.to_pylist()
    assert row["message"].splitlines() == [
        'FastCGI sent in stderr: "PHP message: no',
        "#0 /srv/x.php(12)",
        '#1 {main}" while reading upstream',
    ]
    assert (row["line"], row["client"], row["request"]) == (2, "2001:db8::1", "GET / HTTP/1.1")
    assert (last["line"], last["line_offset"]) == (6, len(STARTED + trace))
    assert len(parsed.rejects) == 0


def test_lines_that_continue_nothing_are_rejected_one_by_one() -> None:
    parsed = parse_errorlog(b"#1 {main}\nmore\n" + STARTED)
    assert parsed.rejects.to_pylist() == [
        {"line": 1, "line_offset": 0, "reason": "head", "raw": "#1 {main}"},
        {"line": 2, "line_offset": 10, "reason": "head", "raw": "more"},
    ]
    assert parsed.records["line"].to_pylist() == [3]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"2026/13/22 13:00:01 [error] 1#1: x", "time"),
        (b"2026/02/30 13:00:01 [error] 1#1: x", "time"),
        (b"2026/11/22 25:00:01 [error] 1#1: x", "time"),
        (b"0000/11/22 13:00:01 [error] 1#1: x", "time"),
        (b"2026/11/22 13:00:01 [fatal] 1#1: x", "head"),
        (b"2026/11/22 13:00:01 [error] 1: x", "head"),
    ],
)
def test_a_head_that_cannot_be_is_rejected_and_stops_nothing(line: bytes, reason: str) -> None:
    parsed = parse_errorlog(STARTED + line + b"\n" + STARTED)
    assert [row["reason"] for row in parsed.rejects.to_pylist()] == [reason]
    assert parsed.records["line"].to_pylist() == [1, 3]


def test_a_line_that_nginx_cut_keeps_the_facts_before_the_cut() -> None:
    cut = OPEN_FAILED[: OPEN_FAILED.index(b":8080")]
    (row,) = parse_errorlog(cut).records.to_pylist()
    assert row["request"] == "GET /x?a=1, b HTTP/1.1"
    assert row["upstream"] == "http://127.0.0.1"
    assert row["host"] == ""


def test_bytes_that_are_no_text_are_shown_and_keep_offsets_true() -> None:
    broken = STARTED.replace(b"epoll", b"ep\xff\xe2ll")
    parsed = parse_errorlog(broken + STARTED)
    first, second = parsed.records.to_pylist()
    assert first["message"] == 'using the "ep\ufffd\ufffdll" event method'
    assert second["line_offset"] == len(broken)


@given(
    entries=st.lists(
        st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=30), max_size=8
    )
)
def test_every_line_is_in_a_record_or_in_a_reject(entries: list[str]) -> None:
    data = b"".join(STARTED.replace(b"using", b"using " + text.encode()) for text in entries)
    parsed = parse_errorlog(data)
    assert len(parsed.records) + len(parsed.rejects) == len(entries)
    for row in parsed.records.to_pylist():
        assert data[row["line_offset"] :].startswith(b"2026/11/22")


@pytest.mark.parametrize(
    ("one", "another", "folded"),
    [
        (
            'open() "/srv/a" failed (2: No such file or directory)',
            'open() "/srv/b c" failed (2: No such file or directory)',
            'open() "N" failed (N: No such file or directory)',
        ),
        (
            "upstream timed out (110: Connection timed out) while connecting to 10.0.0.1:80",
            "upstream timed out (110: Connection timed out) while connecting to 10.9.0.1:8080",
            "upstream timed out (N: Connection timed out) while connecting to N",
        ),
        ("bind() to [::]:80 failed", "bind() to [2001:db8::1]:443 failed", "bind() to N failed"),
        ("peer 2001:db8::1 left", "peer fe80::1:2 left", "peer N left"),
        ("worker process 31 exited with code 0", "worker process 7 exited with code 1", None),
        ("at 0x7f00aa", "at 0x12", "at N"),
        ('FastCGI sent in stderr: "PHP message: a 1', 'FastCGI sent in stderr: "PHP message: a 2\n#0', None),
    ],
)
def test_messages_of_one_kind_fold_to_one(one: str, another: str, folded: str | None) -> None:
    found = fold_messages(pl.Series([one, another]))
    assert found.n_unique() == 1
    assert folded is None or found[0] == folded


def test_messages_of_different_kinds_stay_apart() -> None:
    messages = [
        "http2 is off",
        "http3 is off",
        'FastCGI sent in stderr: "PHP message: undefined index',
        'FastCGI sent in stderr: "PHP message: out of memory',
        "connect() failed (111: Connection refused)",
        "connect() failed (113: No route to host)",
    ]
    assert fold_messages(pl.Series(messages)).n_unique() == len(messages)


def test_a_summary_counts_by_level_and_kind_the_most_frequent_first() -> None:
    lines = [
        b"2026/11/22 13:00:0%d [%s] 1#1: *%d worker %d failed\n" % (n, level, n, n)
        for level, count in ((b"warn", 3), (b"error", 5))
        for n in range(count)
    ]
    rows = top_messages([count_messages(parse_errorlog(b"".join(lines)).records)])
    assert [(row.level, row.message, row.count) for row in rows] == [
        ("error", "worker N failed", 5),
        ("warn", "worker N failed", 3),
    ]
    assert rows[0].first == datetime(2026, 11, 22, 13, tzinfo=UTC)
    assert rows[0].last == rows[0].first + timedelta(seconds=4)


def test_a_summary_holds_no_more_rows_than_asked() -> None:
    lines = b"".join(b"2026/11/22 13:00:00 [crit] 1#1: kind%s\n" % (b"x" * n) for n in range(30))
    records = parse_errorlog(lines).records
    assert len(top_messages([count_messages(records)])) == 10
    assert len(top_messages([count_messages(records)], most=3)) == 3
    assert top_messages([count_messages(records.slice(0, 0))]) == ()


def test_a_chunk_may_begin_with_the_end_of_a_message() -> None:
    entry = b"2026/11/22 10:00:00 [error] 7#7: *1 script failed\n"
    later = parse_errorlog(b"  at line 7\n" + entry, offset=100, first_line=5)
    assert (len(later.records), len(later.rejects)) == (1, 0)
    assert len(parse_errorlog(b"  at line 7\n" + entry).rejects) == 1
