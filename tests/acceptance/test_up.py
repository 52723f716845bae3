"""`dozor up` as an operator runs it: a real process, real logs, real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dozor.infra.server import listener
from tests.acceptance.running import DOZOR, Running, make_owner, refused, running, until
from tests.contract.traffic.stores import clickhouse_server

_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")


def lines(count: int, *, first: int = 0, path: str = "/a") -> str:
    return "".join(
        f"192.0.2.{number % 200} - - [24/Nov/2026:10:{number // 60 % 60:02}:{number % 60:02} +0000] "
        f'"GET {path}?n={number} HTTP/1.1" {500 if number % 50 == 0 else 200} {number} "-" "curl/8.5"\n'
        for number in range(first, first + count)
    )


def has_some(up: Running) -> bool:
    return up.count() > 0


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def one_each(up: Running) -> list[int]:
    """The numbers of all stored requests, by paging through them."""
    found: list[int] = []
    page: dict[str, Any] = {"next": None}
    while True:
        more = {"cursor": page["next"]} if page["next"] else {}
        page = up.get("/api/v1/traffic/lines", limit=500, **more)
        found += [int(item["query"].removeprefix("n=")) for item in page["items"]]
        if page["next"] is None:
            return sorted(found)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs with attacks, errors and junk."""
    folder = tmp_path_factory.mktemp("demo")
    subprocess.run(
        [DOZOR, "demo", "traffic", "--out", folder, "--requests-per-day", "4000", "--format", "main"],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, demo: Path) -> Iterator[Running]:
    """A process that follows the demo's logs, shared by the tests that only look at it."""
    folder = tmp_path_factory.mktemp("up")
    make_owner(folder)
    with running("--data-dir", folder, "--log", demo / "access.log", "--log", demo / "error.log") as process:
        process.ready()
        until(lambda: process.count() == len((demo / "access.log").read_bytes().splitlines()), str(process))
        yield process


def test_it_says_where_everything_is_and_how_it_ends(up: Running, demo: Path) -> None:
    until(lambda: [line for line in up.said if line.startswith("Ready after ")], "the word that it is ready")
    text = "\n".join(up.said)
    for part in (up.base, str(demo / "access.log"), "30 days", "Ctrl-C"):
        assert part in text


def test_it_is_alive_and_ready(up: Running) -> None:
    assert up.http.get("/health").text == "ok\n"
    told = up.get("/ready")
    assert told["ready"] is True
    assert set(told["services"]) >= {"http", "store", "ingest", "console"}
    assert all(part == {"ready": True} for part in told["parts"].values())


def test_the_summary_is_that_of_dozor_report(up: Running, demo: Path) -> None:
    done = subprocess.run(
        [DOZOR, "report", demo / "access.log", demo / "error.log", "--json"],
        check=True,
        capture_output=True,
    )
    report = json.loads(done.stdout)
    summary = up.get("/api/v1/traffic/summary")
    assert summary.pop("elapsed_seconds") > 0
    del report["elapsed_seconds"]
    assert summary == report


def test_figures_tell_of_lines_lag_answers_and_the_process(up: Running) -> None:
    text = up.http.get("/metrics").text
    stored = re.search(r'^dozor_ingest_lines_total\{source=".*access\.log"\} (\d+)\.0$', text, re.MULTILINE)
    assert stored is not None
    assert int(stored[1]) == up.count()
    for name in (
        "dozor_ingest_lag_seconds{",
        "dozor_http_request_duration_seconds_bucket{",
        "dozor_service_running{",
        "process_resident_memory_bytes ",
    ):
        assert f"\n{name}" in text


def test_the_console_is_served_on_the_same_port_compressed_and_for_long(up: Running) -> None:
    with up.visitor() as visitor:
        until(lambda: visitor.get("/").status_code == 200, "the console")
        page = visitor.get("/")
        assert "<title>Dozor</title>" in page.text
        script = re.search(r'src="\./(static/js/[^"]+\.js)"', page.text)
        assert script is not None
        answer = visitor.get("/" + script[1])
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]


def test_pages_of_other_sites_are_refused(up: Running) -> None:
    assert up.http.get("/api/v1/traffic/summary", headers={"Host": "evil.example"}).status_code == 421
    assert up.http.get("/health", headers={"Host": "evil.example:80"}).status_code == 421
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Origin": "http://evil.example",
    }
    with up.visitor() as visitor:
        assert visitor.get("/_stcore/stream", headers=handshake).status_code == 403
        own = {**handshake, "Origin": up.base}
        assert up.http.get("/_stcore/stream", headers=own).status_code == 403  # a key opens no page
        until(lambda: visitor.get("/").status_code == 200, "the console")
        with visitor.stream("GET", "/_stcore/stream", headers=own) as answer:
            assert answer.status_code == 101


def test_our_own_requests_are_not_logged(up: Running) -> None:
    up.http.get("/health")
    assert not [line for line in up.complained if "/health" in line]


def test_the_port_in_use_names_the_process(up: Running, tmp_path: Path) -> None:
    port = up.base.rpartition(":")[2]
    code, told = refused("--port", port, "--data-dir", tmp_path)
    assert code == 1
    assert told == (
        f"dozor: Port {port} is in use by dozor, process {up.process.pid}. "
        "Stop that process, or choose another port with --port."
    )


def test_the_data_folder_in_use_names_the_process(tmp_path: Path) -> None:
    with running("--data-dir", tmp_path) as up:
        code, told = refused("--port", 0, "--data-dir", tmp_path)
        assert code == 1
        assert f"{tmp_path} is in use by another Dozor, process {up.process.pid}." in told


@pytest.mark.parametrize(
    ("words", "environ", "code", "told"),
    [
        ([], {"HOST": "0.0.0.0"}, 2, "HOST is 0.0.0.0, but no name is known by which"),
        (["--format", "nope"], {}, 2, "nope"),
        (["--log", "/tmp"], {}, 2, "'/tmp' is a folder. Name the files in it, such as --log '/tmp/*.log'."),
        (["--log", "a.log", "--log", "a.log"], {}, 2, "The log a.log is named twice."),
        (["--clickhouse-url", "ftp://db"], {}, 2, "The ClickHouse address 'ftp://db' cannot be used."),
        (["--syslog-udp", "here"], {}, 2, "The address 'here' of --syslog-udp cannot be used."),
        ([], {"LOG_DIR": "/dev/null/logs"}, 1, "The log file /dev/null/logs/app.log cannot be written"),
        (["--data-dir", "/dev/null/data"], {}, 1, "The data folder /dev/null/data cannot be used"),
        (["--port", "70000"], {}, 2, "70000"),
    ],
)
def test_what_cannot_be_is_refused_in_clear_words(
    tmp_path: Path, words: list[str], environ: dict[str, str], code: int, told: str
) -> None:
    folder = [] if "--data-dir" in words else ["--data-dir", str(tmp_path / "data")]
    port = [] if "--port" in words else ["--port", "0"]
    ended, said = refused(*port, *folder, *words, **environ)
    assert (ended, told in said) == (code, True), said


def test_a_stop_stores_what_was_written_and_a_start_goes_on_behind_it(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(lines(1000))
    with running("--data-dir", tmp_path / "data", "--log", log) as up:
        up.ready()
        up.stored(1000)
        assert up.end() == 0
    append(log, lines(500, first=1000))
    with running("--data-dir", tmp_path / "data", "--log", log) as up:
        up.stored(1500)
        assert one_each(up) == list(range(1500))
        assert up.end(signal.SIGINT) == 0
        assert up.complained == []


def test_a_kill_doubles_and_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(lines(200))
    written = 200
    for _time in range(2):
        with running("--data-dir", tmp_path / "data", "--log", log) as up:
            up.ready()
            for _part in range(5):
                append(log, lines(40, first=written))
                written += 40
            until(partial(has_some, up), "the first lines")
            up.process.kill()
            up.wait()
    with running("--data-dir", tmp_path / "data", "--log", log) as up:
        up.stored(written)
        assert one_each(up) == list(range(written))


def test_a_log_that_vanishes_and_returns_is_followed_again(tmp_path: Path) -> None:
    log, other = tmp_path / "access.log", tmp_path / "other.log"
    other.write_text("")
    with running("--data-dir", tmp_path / "data", "--log", log, "--log", other) as up:
        assert f"{log} (does not exist yet; it is waited for)" in "\n".join(up.said)
        assert up.ready()["parts"][str(log)] == {"ready": True}
        log.write_text(lines(10))
        up.stored(10)
        log.unlink()
        append(other, lines(10, first=10))
        up.stored(20)
        log.write_text(lines(10, first=20))
        up.stored(30)
        assert one_each(up) == list(range(30))


def test_a_folder_in_the_place_of_a_log_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    log, other = tmp_path / "access.log", tmp_path / "other.log"
    with running("--data-dir", tmp_path / "data", "--log", log, "--log", other) as up:
        up.ready()
        log.mkdir()
        other.write_text(lines(10))
        up.stored(10)
        reason = up.not_ready()["parts"][str(log)]["reason"]
        assert str(log) in reason
        log.rmdir()
        log.write_text(lines(10, first=10))
        up.ready()
        up.stored(20)


def test_a_store_that_is_away_pauses_and_recovers_by_itself(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(lines(100))
    (tmp_path / "db").mkdir()
    with clickhouse_server(tmp_path / "db") as url:
        port = int(url.rpartition(":")[2])
        with running("--data-dir", tmp_path / "data", "--log", log, "--clickhouse-url", url) as up:
            up.ready()
            up.stored(100)
            assert up.end() == 0
    with running("--data-dir", tmp_path / "data", "--log", log, "--clickhouse-url", url) as up:
        # It starts without the store, says so, and loses nothing meanwhile.
        append(log, lines(100, first=100))
        until(lambda: url in up.not_ready()["parts"]["store"].get("reason", ""), f"the reason: {up}")
        assert up.http.get("/health").status_code == 200
        assert up.http.get("/api/v1/traffic/summary").status_code == 503
        with clickhouse_server(tmp_path / "db", port=port):
            up.ready()
            up.stored(200)
            assert one_each(up) == list(range(200))
            assert up.end() == 0


def test_what_does_not_finish_within_the_grace_is_cut_off_and_named(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(lines(10))
    (tmp_path / "db").mkdir()
    words = ("--data-dir", tmp_path / "data", "--log", log)
    with clickhouse_server(tmp_path / "db") as url:
        server = int(listener(int(url.rpartition(":")[2])).split()[-1])
        with running(*words, "--clickhouse-url", url, DOZOR_SHUTDOWN_GRACE_S="1") as up:
            up.ready()
            up.stored(10)
            os.kill(server, signal.SIGSTOP)
            append(log, lines(10, first=10))
            lag = partial(re.search, r"^dozor_ingest_lag_bytes\{.*\} [1-9]", flags=re.MULTILINE)
            until(lambda: lag(up.http.get("/metrics").text), f"lines that are not stored: {up}")
            assert up.end() == 1
            assert "Cut off, since it did not finish in time: ingest" in up.complained[-1]
        os.kill(server, signal.SIGCONT)
        with running(*words, "--clickhouse-url", url) as up:
            up.stored(20)
            assert one_each(up) == list(range(20))


def test_a_store_that_never_answers_does_not_keep_the_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with running("--data-dir", tmp_path, "--clickhouse-url", url) as up:
            assert up.not_ready()["parts"]["store"]["ready"] is False
            assert up.end() == 0


def test_sighup_opens_log_files_anew_and_takes_over_a_level(tmp_path: Path) -> None:
    config = tmp_path / "dozor.yaml"
    config.write_text(f"log_dir: {tmp_path / 'logs'}\nlog_level: warning\n")
    with running("--data-dir", tmp_path / "data", DOZOR_CONFIG=str(config)) as up:
        up.ready()
        (tmp_path / "logs" / "app.log").rename(tmp_path / "logs" / "app.log.old")
        config.write_text(f"log_dir: {tmp_path / 'logs'}\nlog_level: info\nport: 6000\n")
        up.process.send_signal(signal.SIGHUP)
        until(lambda: "Taken over: log_level." in up.said, f"the reload: {up}")
        # The port of the command line still wins.
        assert "Needs a restart" not in "\n".join(up.said)
        assert up.end() == 0
        assert "Ending on SIGTERM" in (tmp_path / "logs" / "app.log").read_text()


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with running("--data-dir", tmp_path) as up:
        up.ready()
        # Two of a kind could melt into one before the process looks.
        up.process.send_signal(signal.SIGTERM)
        up.process.send_signal(signal.SIGINT)
        assert up.wait() == 130
        assert up.complained[-1].startswith("Ended at once: ")


def test_everything_is_said_in_russian_as_well(tmp_path: Path) -> None:
    with running("--data-dir", tmp_path, DOZOR_LANG="ru") as up:
        up.ready()
        until(lambda: [line for line in up.said if "Готов" in line], f"the word that it is ready: {up}")


def test_the_demo_fills_every_page_and_a_restart_doubles_nothing(tmp_path: Path) -> None:
    def has_all(up: Running) -> bool:
        summary = up.get("/api/v1/traffic/summary", since="2h")
        parts = ("requests", "attack_requests", "top_countries", "error_paths", "slow_paths", "errors")
        return up.count() > 200_000 and all(summary[part] for part in parts)

    def is_stored(up: Running) -> bool:
        return up.count() == (tmp_path / "demo" / "access.log").read_bytes().count(b"\n")

    for _start in range(2):
        with running("--demo", "--data-dir", tmp_path) as up:
            up.ready()
            until(partial(has_all, up), f"traffic on every page: {up}")
            until(partial(is_stored, up), f"every line of the demo once: {up}")
            assert up.end() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@_ROOT
def test_a_full_disk_pauses_and_nothing_is_lost(tmp_path: Path, small_disk: Path) -> None:
    log, filler = tmp_path / "access.log", small_disk / "filler"
    log.write_text(lines(100))
    with running("--data-dir", small_disk / "data", "--log", log) as up:
        up.ready()
        up.stored(100)
        fill(filler)
        append(log, lines(5000, first=100, path="/" + "long" * 100))
        told = up.not_ready()["parts"]
        assert any("space" in part.get("reason", "") for part in told.values()), told
        assert up.http.get("/health").status_code == 200
        filler.unlink()
        up.ready()
        up.stored(5100)


def fill(path: Path) -> None:
    """Write until there is no space left."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return
