"""`dozor report` as a person runs it: exact counts from any input, and clear words when it cannot."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

_DOZOR = Path(sys.executable).with_name("dozor")
_TIME = "22/Nov/2026:10:00:00 +0000"


def _run(*words: object, stdin: bytes = b"", language: str = "C.UTF-8") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LANG": language}
    return subprocess.run(
        [_DOZOR, *map(str, words)],
        input=stdin.decode("utf-8", "surrogateescape"),
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env=environment,
        check=False,
    )


def _json(*words: object, stdin: bytes = b"") -> dict[str, Any]:
    done = _run("report", *words, "--json", stdin=stdin)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert isinstance(report, dict)
    return report


def _line(
    request: str = "GET /a HTTP/1.1",
    *,
    client: str = "192.0.2.7",
    status: int = 200,
    size: str = "12",
    time: str = _TIME,
) -> str:
    return f'{client} - - [{time}] "{request}" {status} {size} "-" "curl/8.5"'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    lines = [
        _line(),
        _line("GET /a?x=1 HTTP/1.1", client="192.0.2.8", size="-"),
        _line("GET /b HTTP/1.1", status=404),
        _line("GET /q?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20- HTTP/1.1", client="192.0.2.9"),
        "not a request",
    ]
    path = tmp_path / "access.log"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_json_has_the_promised_fields(log: Path) -> None:
    report = _json(log)
    assert report["requests"] == 4
    assert report["rejected"] == 1
    assert report["unique_clients"] == 3
    assert report["bytes"] == 36
    assert report["status"] == {"200": 3, "404": 1}
    assert report["first"] == report["last"] == "2026-11-22T10:00:00Z"
    rows = [{key: row[key] for key in ("value", "requests", "bytes")} for row in report["top_paths"]]
    assert rows == [
        {"value": "/a", "requests": 2, "bytes": 12},
        {"value": "/b", "requests": 1, "bytes": 12},
        {"value": "/q", "requests": 1, "bytes": 12},
    ]
    assert [(row["value"], row["requests"]) for row in report["top_clients"]] == [
        ("192.0.2.7", 2),
        ("192.0.2.8", 1),
        ("192.0.2.9", 1),
    ]
    assert report["attacks"] == [{"class": "sqli", "requests": 1, "clients": 1}]


def test_gzip_standard_input_and_plain_files_give_the_same(log: Path, tmp_path: Path) -> None:
    packed = tmp_path / "access.log.1"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    reports = [_json(log), _json(packed), _json("-", stdin=log.read_bytes()), _json(stdin=log.read_bytes())]
    for report in reports:
        for unlike in ("elapsed_seconds", "sources", "reject_examples"):
            report.pop(unlike)
    assert reports[1:] == reports[:1] * 3


def test_several_files_add_up_each_in_its_own_format(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    record = {"remote_addr": "2001:db8::1", "time_iso8601": "2026-11-22T12:00:00+01:00", "status": 500}
    other.write_text(json.dumps(record | {"request": "GET /j HTTP/2.0", "body_bytes_sent": 7}) + "\n")
    report = _json(log, other)
    assert (report["requests"], report["last"]) == (5, "2026-11-22T11:00:00Z")
    assert [source["format"] for source in report["sources"]] == ["combined", "json"]


def test_odd_lines_count_exactly(tmp_path: Path) -> None:
    path = tmp_path / "odd.log"
    lines = [
        _line(client="2001:DB8::0001"),
        _line(client="2001:db8::1"),
        _line(client="unix:"),
        _line(client="host.example.org"),
        _line(r"GET /say\"hi\" HTTP/1.1"),
        _line(r"\x16\x03\x01\x00\xA5", status=400),
        _line("", status=400),
        _line("GET http://www.example.org/absolute?q HTTP/1.1"),
        _line("PROPFIND /dav HTTP/1.1"),
        _line("GET /" + "x" * 65_536 + " HTTP/1.1"),
        _line(time="22/Nov/2026:13:30:00 +0530"),
    ]
    text = "\r\n".join(lines).encode() + b"\r\n\r\n" + _line().encode()[:60]
    path.write_bytes(text.replace(b"unix:", b"unix:"))
    report = _json(path)
    assert (report["requests"], report["rejected"]) == (len(lines), 1)
    assert report["unique_clients"] == 4
    assert report["first"] == "2026-11-22T08:00:00Z"
    paths = {row["value"] for row in report["top_paths"]}
    assert {r"/say\"hi\"", r"\x16\x03\x01\x00\xA5", "", "http://www.example.org/absolute", "/dav"} <= paths


def test_an_empty_log_is_an_empty_report(tmp_path: Path) -> None:
    path = tmp_path / "empty.log"
    path.touch()
    report = _json(path)
    assert (report["requests"], report["rejected"], report["first"], report["last"]) == (0, 0, None, None)


@pytest.mark.parametrize(
    ("words", "requests"),
    [
        (["--where", "status = 404"], 1),
        (["--where", "status = 200", "--where", "client != 192.0.2.7"], 2),
        (["--where", "attack = true"], 1),
        (["--since", "2026-11-22T10:00:00Z"], 4),
        (["--until", "2026-11-22T10:00:00Z"], 0),
        (["--since", "2026-11-22T13:00:01+03:00"], 0),
    ],
)
def test_filters_choose_requests_but_not_rejects(log: Path, words: list[str], requests: int) -> None:
    report = _json(log, *words)
    assert (report["requests"], report["rejected"]) == (requests, 1)


def test_spans_before_now_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "recent.log"
    now = datetime.now(UTC)
    times = [now - timedelta(minutes=minutes) for minutes in (5, 50, 500)]
    path.write_text("\n".join(_line(time=f"{time:%d/%b/%Y:%H:%M:%S} +0000") for time in times))
    assert _json(path, "--since", "1h")["requests"] == 2


def test_an_error_log_beside_is_summed_up(log: Path, tmp_path: Path) -> None:
    errors = tmp_path / "error.log"
    errors.write_text(
        '2026/11/22 10:00:00 [error] 7#7: *1 open() "/srv/a" failed (2: No such file), client: 192.0.2.7\n'
        '2026/11/22 10:00:01 [error] 7#7: *2 open() "/srv/b" failed (2: No such file), client: 192.0.2.8\n'
    )
    report = _json(log, errors)
    assert report["requests"] == 4
    ((row),) = report["errors"]
    assert (row["level"], row["count"]) == ("error", 2)


def test_the_page_is_written_whole_and_its_place_is_told(log: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = _run("report", log, "--html", page)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(page) in done.stdout
    assert page.read_text().startswith("<!doctype html>") or page.read_text().startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_terminal_report_in_a_pipe_is_plain_text(log: Path) -> None:
    done = _run("report", log)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "192.0.2.9" in done.stdout


def test_the_terminal_report_speaks_russian(log: Path) -> None:
    done = _run("--lang", "ru", "report", log)
    assert done.returncode == 0
    assert "Запросы" in done.stdout or "запрос" in done.stdout.lower()


def test_longer_lists_are_told_on_request(log: Path) -> None:
    assert len(_json(log, "--top", 1)["top_paths"]) == 1
    assert len(_json(log, "--top", 20)["top_paths"]) == 3


def test_stages_are_told_on_request(log: Path) -> None:
    report = _json(log, "--timings")
    assert {"parse", "enrich", "detect", "group"} <= set(report["stages"])


@pytest.fixture
def bad(tmp_path: Path, log: Path) -> Path:
    """A folder with things that are no logs."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "cut.gz").write_bytes(gzip.compress(log.read_bytes() * 50)[:-20])
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (["{0}/absent.log"], 1, ["absent.log", "no such file"]),
        (["{0}/folder"], 1, ["folder", "directory"]),
        (["{0}/\x1b[31mred.log"], 1, [r"\x1b[31mred.log"]),
        (["{0}/cut.gz"], 1, ["cut.gz", "cut short"]),
        (["{0}/access.log", "{0}/absent.log"], 1, ["absent.log"]),
        (["{0}/access.log", "--format", "combind"], 2, ["combind", "Did you mean 'combined'?"]),
        (["{0}/access.log", "--format", "$status"], 2, ["$status", "$time_local"]),
        (["{0}/access.log", "--where", "colour = red"], 2, ["colour"]),
        (["{0}/access.log", "--where", "status"], 2, ["FIELD OP VALUE"]),
        (["{0}/access.log", "--since", "yesterday"], 2, ["yesterday", "ISO 8601"]),
        (["{0}/access.log", "--until", "2026-99-01"], 2, ["2026-99-01"]),
        (["{0}/access.log", "--html", "{0}/no/such/page.html"], 1, ["page.html"]),
        (["{0}/access.log", "--colour"], 2, ["--colour"]),
        (["-", "-"], 2, ["once"]),
    ],
)
def test_bad_input_gets_one_clear_line_and_the_right_exit_code(
    bad: Path, words: list[str], code: int, parts: list[str]
) -> None:
    done = _run("report", *(word.format(bad) for word in words))
    assert done.returncode == code
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("dozor: ")
    for part in parts:
        assert part in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_told(log: Path) -> None:
    log.chmod(0)
    done = _run("report", log)
    assert done.returncode == 1
    assert "permission" in done.stderr


def test_a_log_of_nothing_but_noise_is_counted_and_said(tmp_path: Path) -> None:
    path = tmp_path / "noise.log"
    path.write_text("noise\n" * 3)
    done = _run("report", path, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["rejected"] == 3
    assert "--format" in done.stderr


def test_a_log_without_a_match_is_not_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("\n".join([_line()] * 20 + ["noise"]) + "\n")
    told = _run("report", path, "--where", "status = 404").stdout
    assert "No request passes the filters." in told
    assert "1 line could not be parsed (4.8%)." in told  # of the lines read, not of those that match
    assert "21 lines in " in told


def test_a_page_can_be_printed(log: Path) -> None:
    done = _run("report", log, "--html", "-")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("<!doctype html>")
    assert "both" in _run("report", log, "--html", "-", "--json").stderr


def test_a_pipe_is_as_wide_as_columns_says(log: Path) -> None:
    done = subprocess.run(
        [_DOZOR, "report", log],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_with_other_keys_is_told_how_to_map_them(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text('{"ts":"2026-11-22T10:00:00Z","ip":"192.0.2.7","method":"GET","path":"/a","code":200}\n')
    for words in ([], ["--format", "json"]):
        assert "traffic.json_fields" in _run("report", path, *words).stderr


def test_counts_of_a_real_log_are_those_of_counting_by_hand(real_log: Path) -> None:
    report = _json(real_log)
    lines = gzip.decompress(real_log.read_bytes()).decode().splitlines()
    fields = [line.split(" ") for line in lines]
    assert report["requests"] == len(lines)
    assert report["unique_clients"] == len({field[0] for field in fields})
    assert report["status"] == dict(sorted(Counter(line.split('" ')[1][:3] for line in lines).items()))
    sizes = [line.split('" ')[1].split(" ")[1] for line in lines]
    assert report["bytes"] == sum(int(size) for size in sizes if size != "-")
    paths = Counter(line.split('"')[1].split(" ")[1].partition("?")[0] for line in lines)
    top = sorted(paths.items(), key=lambda item: (-item[1], item[0]))[:10]
    assert [(row["value"], row["requests"]) for row in report["top_paths"]] == top
