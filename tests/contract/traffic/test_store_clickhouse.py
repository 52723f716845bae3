"""What the store on ClickHouse promises beyond the suite: about kill -9, second processes, absent servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest

from dozor.features.traffic.adapters.store_clickhouse import ClickHouseStore, open_store
from dozor.features.traffic.adapters.store_clickhouse.rows import cut_lines
from dozor.features.traffic.core.formats import find_format
from dozor.features.traffic.core.parse import parse
from dozor.features.traffic.model import Delivery, Dimension, Filters
from dozor.infra.clickhouse import open_clickhouse
from dozor.kernel.errors import CancelledError, JobError, SettingsError, UnavailableError, UsageError
from tests.contract.traffic.stores import Watching, clickhouse_server, requests, scope
from tests.unit.traffic.records import batch

EVERYTHING = Filters()

_INSERT_FOR_EVER = """
import sys
from pathlib import Path
from dataclasses import replace
from dozor.features.traffic.adapters.store_clickhouse import open_store
from tests.contract.traffic.test_store_clickhouse import delivery_number
store = open_store(folder=Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    print("begin", number, flush=True)
    store.insert(delivery_number(number))
    print("kept", number, flush=True)
    number += 1
"""

ROWS = 3_000


def delivery_number(number: int) -> Delivery:
    """Some rows; the same number gives the same."""
    rows = [{"line": n, "path": f"/{number}/{n}", "raw": "x" * 200} for n in range(ROWS)]
    return requests(*rows, token=f"delivery-{number}")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClickHouseStore]:
    opened = open_store(folder=tmp_path / "events")
    yield opened
    opened.close()


def _python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


def test_what_was_kept_survives_kill_9_and_what_was_not_comes_again_once(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    number = 0
    for killed_after in (0.01, 0.03, 0.06):
        with _python(_INSERT_FOR_EVER, folder, number) as process:
            assert process.stdout is not None
            said = ""
            while not said.startswith("kept"):
                said = process.stdout.readline()
                assert said, process.wait()
            threading.Event().wait(killed_after)
            process.send_signal(signal.SIGKILL)
            rest = [line.split() for line in process.stdout.read().splitlines()]
        # The one that was under way is sent again, as ingest does, whether it was kept or not.
        number = max(int(of) for _, of in [said.split(), *rest])
    store = open_store(folder=folder)
    try:
        for again in range(number + 1):
            store.insert(delivery_number(again))
        assert store.coverage().requests == (number + 1) * ROWS
        assert store.top(scope("line = 1"), Dimension.PATH, limit=10_000).distinct == number + 1
    finally:
        store.close()


def test_a_second_process_is_told_who_owns_the_folder(tmp_path: Path) -> None:
    store = open_store(folder=tmp_path / "events")
    try:
        with pytest.raises(JobError, match=rf"process {os.getpid()}\."):
            open_store(folder=tmp_path / "events")
    finally:
        store.close()
    open_store(folder=tmp_path / "events").close()


def test_opening_again_finds_everything_and_changes_the_retention(tmp_path: Path) -> None:
    for days in (None, 30, 7, 7):
        store = open_store(folder=tmp_path / "events", retention_days=days)
        store.insert(requests({}))
        assert store.coverage().requests == 1
        store.close()
    clickhouse = open_clickhouse(folder=tmp_path / "events")
    made = clickhouse.query("SELECT create_table_query AS made FROM system.tables WHERE name = 'requests'")
    assert "toIntervalDay(7)" in made.column("made")[0].as_py()
    clickhouse.close()


def test_rows_go_some_days_after_they_were_stored_however_old_their_lines_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(folder=tmp_path / "events", retention_days=7)
    old = datetime(2001, 9, 9, tzinfo=UTC)
    store.insert(requests({"line": 1, "ts": old}, {"line": 2, "ts": datetime(2101, 1, 1, tzinfo=UTC)}))
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - 8 * 86_400 * 10**9)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    store._last_batch = 0
    store.insert(requests({"line": 3, "ts": old}, {"line": 4, "ts": yesterday}, token="2"))
    monkeypatch.undo()
    store._clickhouse.command("OPTIMIZE TABLE requests FINAL")
    assert sorted(row["line"] for row in store.lines(EVERYTHING).rows) == [1, 2, 4]
    store.close()


def test_readers_run_beside_a_writer(store: ClickHouseStore) -> None:
    counts = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            counts.append(store.coverage().requests)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(5):
        store.insert(delivery_number(number))
    done.set()
    for reader in readers:
        reader.join()
    assert counts
    assert counts[-1] <= 5 * ROWS
    assert all(count % ROWS == 0 for count in counts)


def test_a_long_question_is_ended_when_nobody_waits(store: ClickHouseStore) -> None:
    clickhouse = store._clickhouse
    watch = Watching(patience=3)
    with pytest.raises(CancelledError, match="called off"):
        clickhouse.query(
            "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)", progress=watch.progress
        )
    running = clickhouse.query("SELECT count() AS n FROM system.processes WHERE query LIKE '%cityHash64%'")
    assert running.column("n")[0].as_py() == 1  # the one that asks
    assert watch.shares[-1] > 0


def test_a_pattern_that_only_clickhouse_refuses_is_told(store: ClickHouseStore) -> None:
    store.insert(requests({}))
    with pytest.raises(UsageError, match=r"regular expression"):
        store.lines(scope("path ~ (x{999}){2}"))


def test_an_absent_server_is_told_and_found_when_it_is_back(tmp_path: Path) -> None:
    with clickhouse_server(tmp_path) as url:
        port = int(url.rsplit(":", 1)[1])
        store = open_store(url=url)
        store.insert(requests({}))
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}"):
        store.check()
    with pytest.raises(UnavailableError, match="does not answer: Connection refused"):
        store.insert(requests({}, token="2"))
    with clickhouse_server(tmp_path, port=port):
        store.check()
        store.insert(requests({}, token="2"))
        assert store.coverage().requests == 2
    store.close()
    late = open_store(url=url)
    with pytest.raises(UnavailableError):
        late.coverage()
    with clickhouse_server(tmp_path, port=port):
        assert late.coverage().requests == 2
    late.close()


def test_a_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    with clickhouse_server(tmp_path, "right") as url:
        open_store(url=url, password="right").close()
        with pytest.raises(SettingsError, match="refuses the user") as caught:
            open_store(url=url, password="wr0ng-secret")
        assert "wr0ng" not in str(caught.value)
        named = url.replace("://", "://default:right@")
        open_store(url=f"{named}/other").close()


@pytest.mark.parametrize(
    "url", ["clickhouse", "ftp://host/x", "http://", "http://host:port/x", "http://h/a/b", "http://h/a-b"]
)
def test_a_wrong_address_is_told(url: str) -> None:
    with pytest.raises(SettingsError, match="http://host:8123/database"):
        open_store(url=url)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_told_and_recovered_from(small_disk: Path) -> None:
    store = open_store(folder=small_disk / "events")
    store.insert(delivery_number(0))
    filler = small_disk / "filler"
    with filler.open("wb") as file, suppress(OSError):
        while True:
            file.write(os.urandom(1 << 16))
            file.flush()
    numbers = count(1)
    with pytest.raises(UnavailableError, match="Free some space"):
        deque(map(store.insert, map(delivery_number, numbers)), maxlen=0)
    number = next(numbers)
    with pytest.raises(UnavailableError, match="Free some space"):
        store.check()
    kept = store.coverage().requests
    filler.unlink()
    store.check()
    for again in range(number):
        store.insert(delivery_number(again))
    assert store.coverage().requests == number * ROWS >= kept
    store.close()


_LINE = b'192.0.2.1 - - [22/Nov/2026:12:00:00 +0000] "GET /%s HTTP/1.1" 200 612 "%s" "%s"\n'


def test_lines_are_cut_and_come_back_whole(store: ClickHouseStore) -> None:
    lines = [
        _LINE % (b"short", b"-", b"curl/8.0"),
        _LINE % (b"a-long-path-of-a-page?with=a&query=x", b"https://example.org/page", b"Mozilla/5.0 (X11)"),
        _LINE % (b"a-long-path-of-a-page?with=a&query=x", b"-", b"Mozilla/5.0 (X11)"),
        _LINE % (b"a-long-path-of-a-page?with=\\x01t", b"https://example.org/page", b"Mozilla/5.0 (X11)"),
        _LINE % (b"a-long-path-with-a-mark\x01t-in-it", b"https://example.org/\x01a", b"Mozilla/5.0 (X11)"),
        _LINE % ("длинный-путь-без-кавычек".encode(), "https://пример.рф/страница".encode(), b"Mozilla/5.0"),
    ]
    parsed = parse(b"".join(lines), find_format("combined", {})).records
    missing = batch([{}] * len(lines)).select(["country", "is_bot", "ua_family", "rules", "classes", "score"])
    evidence = batch([{}] * len(lines)).column("evidence")
    names = [*parsed.schema.names, *missing.schema.names, "evidence"]
    records = pa.RecordBatch.from_arrays([*parsed.columns, *missing.columns, evidence], names)
    cut = cut_lines(records).to_pylist()
    assert cut[1] == '192.0.2.1 - - [22/Nov/2026:12:00:00 +0000] "GET \1t HTTP/1.1" 200 612 "\1r" "\1a"'
    assert cut[4].startswith("\0")
    store.insert(replace(requests({}), records=records))
    found = sorted(store.lines(EVERYTHING).rows, key=lambda row: row["line"])
    assert [row["raw"] for row in found] == [line.decode().rstrip("\n") for line in lines]
    assert [row["target"] for row in found] == parsed.column("target").to_pylist()
    assert [row["query"] for row in found] == parsed.column("query").to_pylist()
