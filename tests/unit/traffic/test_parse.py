"""Parsing keeps every line: as a record with exact fields, or as a reject with its reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.columns.record import PARSED, REJECT
from dozor.features.traffic.core import parse as parse_module
from dozor.features.traffic.core.formats import Format, find_format, json_format
from dozor.features.traffic.core.parse import Parsed, detect_format, parse

_COMBINED = find_format("combined")
_TIME = "17/May/2015:10:05:03 +0000"
_LINE = f'192.0.2.7 - - [{_TIME}] "GET /a?b=1 HTTP/1.1" 200 12 "-" "curl/8"'


def _line(
    request: str = "GET /a HTTP/1.1", *, client: str = "192.0.2.7", agent: str = "curl/8", size: str = "12"
) -> str:
    return f'{client} - - [{_TIME}] "{request}" 200 {size} "-" "{agent}"'


def _one(line: str | bytes, format_: Format = _COMBINED) -> dict[str, Any]:
    parsed = parse(line if isinstance(line, bytes) else line.encode(), format_)
    assert parsed.rejects.to_pylist() == []
    (record,) = parsed.records.to_pylist()
    return dict(record)


def _reason(line: str, format_: Format = _COMBINED) -> str:
    parsed = parse(line.encode(), format_)
    assert len(parsed.records) == 0
    (reject,) = parsed.rejects.to_pylist()
    assert reject["raw"] == line
    return str(reject["reason"])


def test_all_fields_of_a_line_are_read() -> None:
    line = (
        '2001:db8::1 - ann [17/May/2015:13:05:03 +0300] "POST /a/b?c=d?e HTTP/2.0" 404 1048576 '
        '"https://x.example/?q" "Mozilla/5.0 (X11)" "10.0.0.1, 192.0.2.1" rt=0.250 ut="0.100, 0.150"'
    )
    assert _one(line, find_format("main")) == {
        "line": 1,
        "line_offset": 0,
        "raw": line,
        "ts": datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC),
        "client": "2001:db8::1",
        "user": "ann",
        "method": "POST",
        "target": "/a/b?c=d?e",
        "path": "/a/b",
        "query": "c=d?e",
        "protocol": "HTTP/2.0",
        "status": 404,
        "bytes": 1048576,
        "referer": "https://x.example/?q",
        "user_agent": "Mozilla/5.0 (X11)",
        "host": "",
        "forwarded_for": "10.0.0.1, 192.0.2.1",
        "request_time": 0.25,
        "upstream_time": 0.25,
    }


def test_schemas_are_the_documented_ones() -> None:
    parsed = parse(_LINE.encode(), _COMBINED)
    assert parsed.records.schema == PARSED
    assert parsed.rejects.schema == REJECT
    parsed.records.validate(full=True)


def test_no_bytes_give_no_records() -> None:
    parsed = parse(b"", _COMBINED)
    assert (len(parsed.records), len(parsed.rejects)) == (0, 0)


def test_a_dash_for_bytes_is_zero() -> None:
    assert _one(_line(size="-"))["bytes"] == 0


def test_missing_referer_and_user_are_empty() -> None:
    record = _one(_LINE)
    assert (record["referer"], record["user"]) == ("", "")


@pytest.mark.parametrize(
    ("request_line", "method", "path", "query", "protocol"),
    [
        ("GET / HTTP/1.1", "GET", "/", "", "HTTP/1.1"),
        ("GET http://h.example/p?q=1 HTTP/1.1", "GET", "http://h.example/p", "q=1", "HTTP/1.1"),
        ("OPTIONS * HTTP/1.0", "OPTIONS", "*", "", "HTTP/1.0"),
        ("PROPFIND /dav HTTP/1.1", "PROPFIND", "/dav", "", "HTTP/1.1"),
        ("M-SEARCH * HTTP/1.1", "M-SEARCH", "*", "", "HTTP/1.1"),
        ("CONNECT h.example:443 HTTP/1.1", "CONNECT", "h.example:443", "", "HTTP/1.1"),
        ("GET /a b c HTTP/1.1", "GET", "/a b c", "", "HTTP/1.1"),
        ("GET /a HTTP/3", "GET", "/a", "", "HTTP/3"),
        ("GET /old", "GET", "/old", "", ""),
        ("GET /a? HTTP/1.1", "GET", "/a", "", "HTTP/1.1"),
        ("GET ?x HTTP/1.1", "GET", "", "x", "HTTP/1.1"),
        (r"GET /\x22a\x22 HTTP/1.1", "GET", r"/\x22a\x22", "", "HTTP/1.1"),
    ],
)
def test_request_lines_are_split_as_written(
    request_line: str, method: str, path: str, query: str, protocol: str
) -> None:
    record = _one(_line(request_line))
    assert (record["method"], record["path"], record["query"], record["protocol"]) == (
        method,
        path,
        query,
        protocol,
    )


@pytest.mark.parametrize(
    "junk",
    ["", r"\x16\x03\x01\x02?\x00", "-", "quit", "GET", "GET ", " / HTTP/1.1", "SSH-2.0-Go", "GET HTTP/1.1"],
)
def test_junk_is_a_request_without_method_and_with_its_raw_text_as_path(junk: str) -> None:
    record = _one(_line(junk))
    assert (record["method"], record["path"], record["query"]) == ("", junk, "")


def test_binary_junk_is_written_like_nginx_writes_it() -> None:
    record = _one(f'192.0.2.7 - - [{_TIME}] "'.encode() + b"\x16\x03\xff\xfe" + b'" 400 0 "-" "-"')
    assert record["path"] == "\x16\x03\\xff\\xfe"


def test_offsets_are_those_of_the_file_even_behind_binary_junk() -> None:
    first = f'192.0.2.7 - - [{_TIME}] "'.encode() + b"\xff\xfe" + b'" 400 0 "-" "-"\n'
    parsed = parse(first + _LINE.encode(), _COMBINED, offset=100, first_line=7)
    assert parsed.records.column("line_offset").to_pylist() == [100, 100 + len(first)]
    assert parsed.records.column("line").to_pylist() == [7, 8]


def test_utf8_is_kept() -> None:
    assert _one(_line("GET /привет HTTP/1.1"))["path"] == "/привет"


@pytest.mark.parametrize(
    "client", ["192.0.2.7", "2001:db8::ff", "::ffff:192.0.2.1", "unix:", "host.example.org"]
)
def test_a_client_may_be_any_word(client: str) -> None:
    assert _one(_line(client=client))["client"] == client


def test_escaped_quotes_of_apache_stay_inside_their_field() -> None:
    record = _one(_line(r"GET /a\"b HTTP/1.1", agent=r"say \"hi\" \\"))
    assert (record["path"], record["user_agent"]) == (r"/a\"b", r"say \"hi\" \\")


def test_raw_quotes_in_a_request_do_not_lose_the_line() -> None:
    assert _one(_line('GET /"a" HTTP/1.1'))["path"] == '/"a"'


def test_a_target_of_64_kb_is_read_whole() -> None:
    target = "/" + "a" * 65_536
    assert _one(_line(f"GET {target} HTTP/1.1"))["path"] == target


def test_carriage_returns_are_no_part_of_the_line() -> None:
    parsed = parse(f"{_LINE}\r\n\r\n{_LINE}\r\n".encode(), _COMBINED)
    assert parsed.records.column("raw").to_pylist() == [_LINE, _LINE]
    assert parsed.records.column("line").to_pylist() == [1, 3]


def test_blank_lines_are_ignored_but_numbered() -> None:
    parsed = parse(f"\n \t\n{_LINE}\n\n{_LINE}".encode(), _COMBINED)
    assert parsed.records.column("line").to_pylist() == [3, 5]
    assert len(parsed.rejects) == 0


def test_an_unfinished_last_line_counts_when_it_is_whole() -> None:
    assert len(parse(f"{_LINE}\n{_LINE}".encode(), _COMBINED).records) == 2


def test_an_unfinished_last_line_is_rejected_when_it_is_not() -> None:
    parsed = parse(f"{_LINE}\n{_LINE[:40]}".encode(), _COMBINED)
    assert (len(parsed.records), len(parsed.rejects)) == (1, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "fields"),
        (_LINE[: _LINE.index('"-"')].strip(), "fields"),
        (_LINE.replace("May", "Mai"), "time"),
        (_LINE.replace(_TIME, "-"), "fields"),
        (_LINE.replace(" 200 ", " 2x0 "), "fields"),
        (_LINE.replace(" 12 ", " twelve "), "fields"),
        (_LINE.replace("192.0.2.7", "-"), "client"),
        (_LINE.replace(" 12 ", " 12345678901234567890 "), "bytes"),
    ],
)
def test_a_broken_line_is_rejected_with_its_reason(line: str, reason: str) -> None:
    assert _reason(line) == reason


def test_broken_lines_do_not_stop_the_others_and_keep_their_numbers() -> None:
    quoted = _line(r"GET /\"x HTTP/1.1")
    parsed = parse(f"{_LINE}\nbroken\n{quoted}\n{_LINE}\n".encode(), _COMBINED)
    assert parsed.records.column("line").to_pylist() == [1, 3, 4]
    assert parsed.rejects.column("line").to_pylist() == [2]
    assert parsed.rejects.column("line_offset").to_pylist() == [len(_LINE) + 1]


_WORD = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x250, exclude_characters='"\\\x7f\x85\xa0'), min_size=1
)
_VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=0x250, exclude_characters='"\\\x7f\x85'))


@given(st.lists(st.tuples(_WORD, _WORD, _VALUE, _VALUE, st.integers(0, 10**12)), min_size=1, max_size=30))
def test_quick_cutting_and_regular_expressions_agree(lines: list[tuple[str, str, str, str, int]]) -> None:
    text = "\n".join(
        f'{client} - {user} [{_TIME}] "{request}" 200 {size} "{agent}" "{agent}"'
        for client, user, request, agent, size in lines
    ).encode()
    assert parse(text, _COMBINED) == _by_regex_only(text, _COMBINED)


def _by_regex_only(text: bytes, format_: Format) -> Parsed:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse_module, "cut", lambda lines, _: ({}, lines.start < 0))
        return parse(text, format_)


@given(st.binary(max_size=400))
def test_any_bytes_are_records_or_rejects_or_blank(data: bytes) -> None:
    for format_ in (_COMBINED, find_format("main"), json_format()):
        parsed = parse(data, format_)
        lines = [line for line in data.replace(b"\r\n", b"\n").split(b"\n") if line.strip()]
        assert len(parsed.records) + len(parsed.rejects) == len(lines)


def _json_line(**fields: object) -> str:
    known: dict[str, object] = {
        "remote_addr": "192.0.2.7",
        "time_iso8601": "2015-05-17T10:05:03+00:00",
        "request": "GET /a?b=1 HTTP/1.1",
        "status": 200,
        "body_bytes_sent": "12",
    }
    return json.dumps(
        {name: value for name, value in (known | fields).items() if value is not None}, ensure_ascii=False
    )


def test_json_lines_give_the_same_record_with_numbers_as_text_or_not() -> None:
    record = _one(_json_line(request_time=0.25, http_user_agent="curl/8", host="x.example"), json_format())
    assert (record["status"], record["bytes"], record["request_time"]) == (200, 12, 0.25)
    assert (record["method"], record["path"], record["query"]) == ("GET", "/a", "b=1")
    assert (record["user_agent"], record["host"], record["referer"]) == ("curl/8", "x.example", "")


@pytest.mark.parametrize(
    "time",
    [
        {"time_iso8601": "2015-05-17T13:05:03+03:00"},
        {"time_iso8601": None, "time_local": _TIME},
        {"time_iso8601": None, "msec": 1431857103.0},
        {"time_iso8601": None, "msec": "1431857103.000"},
    ],
)
def test_json_times_may_be_of_three_kinds(time: dict[str, object]) -> None:
    assert _one(_json_line(**time), json_format())["ts"] == datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC)


def test_a_json_request_may_be_in_three_parts() -> None:
    line = _json_line(request=None, request_method="PUT", request_uri="/u?v", server_protocol="HTTP/2.0")
    record = _one(line, json_format())
    assert (record["method"], record["path"], record["query"], record["protocol"]) == (
        "PUT",
        "/u",
        "v",
        "HTTP/2.0",
    )


def test_json_lines_of_both_kinds_may_be_mixed() -> None:
    apart = _json_line(request=None, request_method="PUT", request_uri="/u?v", server_protocol="HTTP/2.0")
    parsed = parse(f"{_json_line()}\n{apart}\n".encode(), json_format())
    assert parsed.records.column("path").to_pylist() == ["/a", "/u"]
    assert parsed.records.column("method").to_pylist() == ["GET", "PUT"]


def test_json_keys_of_ones_own_are_read() -> None:
    line = _json_line(remote_addr=None, ip="198.51.100.4")
    assert _one(line, json_format({"ip": "remote_addr"}))["client"] == "198.51.100.4"


def test_json_with_nginx_hex_escapes_is_read() -> None:
    record = _one(_json_line(http_user_agent="X").replace('"X"', r'"a\x22b"'), json_format())
    assert record["user_agent"] == r"a\x22b"


@pytest.mark.parametrize("line", ["x", "[1]", '{"a"', "{}x", '"text"'])
def test_broken_json_is_rejected_as_json(line: str) -> None:
    assert _reason(line, json_format()) == "json"


@pytest.mark.parametrize(
    ("field", "reason"),
    [("time_iso8601", "time"), ("status", "status"), ("remote_addr", "client")],
)
def test_json_without_a_needed_field_is_rejected_for_it(field: str, reason: str) -> None:
    assert _reason(_json_line(**{field: None}), json_format()) == reason


def test_many_broken_json_lines_leave_the_others_whole() -> None:
    lines = [_json_line(status=200 + place % 90) if place % 3 else "{broken}" for place in range(100)]
    parsed = parse("\n".join(lines).encode(), json_format())
    assert parsed.records.column("status").to_pylist() == [
        200 + place % 90 for place in range(100) if place % 3
    ]
    assert len(parsed.rejects) == 34


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (_LINE, "combined"),
        (f'{_LINE} "-" rt=0.1 ut="-"', "main"),
        (f'{_LINE} "192.0.2.3"', "forwarded"),
        (_LINE[: _LINE.index(' "-"')], "common"),
        (f"www.example.org:443 {_LINE}", "vhost_combined"),
        (_json_line(), "json"),
        ("2015/05/17 10:05:03 [error] 7#7: *1 open() failed", "nginx-error"),
        ("what is this", "combined"),
        ("", "combined"),
    ],
)
def test_the_format_is_found_from_the_lines(line: str, name: str) -> None:
    assert detect_format(f"\n{line}\n{line}\n".encode()).name == name


def test_the_format_is_found_behind_a_broken_beginning() -> None:
    text = b"garbage\n" * 500 + f'{_LINE} "-" rt=0.1 ut="-"\n'.encode() * 500
    assert detect_format(text).name == "main"


def test_a_custom_format_is_cut_as_it_is_written() -> None:
    format_ = find_format('$time_iso8601|$remote_addr|$host|"$request"|$status|$bytes_sent|$ssl_protocol')
    record = _one('2015-05-17T10:05:03+00:00|192.0.2.7|x.example|"GET /a HTTP/1.1"|200|99|TLSv1.3', format_)
    assert (record["client"], record["host"], record["path"], record["bytes"]) == (
        "192.0.2.7",
        "x.example",
        "/a",
        99,
    )


def test_a_custom_format_without_quotes_is_read_too() -> None:
    record = _one(
        f"192.0.2.7 [{_TIME}] GET /a HTTP/1.1 | 200",
        find_format("$remote_addr [$time_local] $request | $status"),
    )
    assert (record["method"], record["path"], record["bytes"]) == ("GET", "/a", 0)


def test_a_target_with_spaces_is_whole_when_the_request_is_logged_in_three_parts() -> None:
    format_ = find_format(
        '$remote_addr [$time_local] "$request_method $request_uri $server_protocol" $status $body_bytes_sent'
    )
    text = f'192.0.2.7 [{_TIME}] "GET /a b?c d HTTP/1.1" 200 5'
    record = _one(text, format_)
    assert (record["path"], record["query"], record["protocol"]) == ("/a b", "c d", "HTTP/1.1")
    assert parse(text.encode(), format_) == _by_regex_only(text.encode(), format_)


@pytest.mark.parametrize(
    ("text", "format_text"),
    [
        (
            f'192.0.2.1, 192.0.2.2 192.0.2.7 [{_TIME}] "GET / HTTP/1.1" 200',
            '$http_x_forwarded_for $remote_addr [$time_local] "$request" $status',
        ),
        (
            f'192.0.2.7 [{_TIME}] "GET / HTTP/1.1" 200 0.100, 0.200 0.250',
            '$remote_addr [$time_local] "$request" $status $upstream_response_time $request_time',
        ),
    ],
)
def test_lists_of_addresses_and_times_do_not_run_into_the_next_value(text: str, format_text: str) -> None:
    record = _one(text, find_format(format_text))
    assert record["client"] == "192.0.2.7"
    assert record["request_time"] == (0.25 if "0.250" in text else None)


def test_of_a_variable_that_is_logged_twice_the_first_counts() -> None:
    format_ = find_format('$remote_addr [$time_local] "$request" $status "$remote_addr"')
    for request in ("GET /a HTTP/1.1", 'GET /"a HTTP/1.1'):
        assert _one(f'192.0.2.7 [{_TIME}] "{request}" 200 "192.0.2.8"', format_)["client"] == "192.0.2.7"


def test_a_byte_order_mark_is_no_part_of_the_first_client() -> None:
    text = b"\xef\xbb\xbf" + f"{_LINE}\n{_LINE}\n".encode()
    for format_, data in ((_COMBINED, text), (json_format(), b"\xef\xbb\xbf" + _json_line().encode())):
        assert set(parse(data, format_).records.column("client").to_pylist()) == {"192.0.2.7"}
