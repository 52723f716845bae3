"""Live ingest: what arrives is stored once, in order, whatever the store does meanwhile."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from dozor.features.traffic.adapters.checkpoint_memory import InMemoryCheckpoints
from dozor.features.traffic.adapters.tail import TailSource
from dozor.features.traffic.core.formats import find_format
from dozor.features.traffic.model import Arrival, Delivery, Mark, SourceState, SourceStatus
from dozor.features.traffic.ports import Checkpoints
from dozor.features.traffic.service import Pipeline
from dozor.features.traffic.service.live import LiveIngest, Pace, _Log
from dozor.kernel.errors import JobError, UnavailableError
from dozor.kernel.finding import Finding, Severity, Subject, SubjectKind
from tests.unit.traffic.live import PLAIN_PIPELINE, CountingStore, line, lines, running, wait_for

QUICK = Pace(delay=0.01, share=0, retry=0.01, retry_cap=0.05)
ERROR = b"2026/11/22 10:00:00 [error] 7#7: *1 open() failed, client: 198.51.100.7\n"
JSON = (
    '{{"time_iso8601":"2026-11-22T10:00:00+00:00","remote_addr":"198.51.100.7",'
    '"request":"GET /n/{number} HTTP/1.1","status":"200","body_bytes_sent":"1"}}\n'
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


def build(
    path: Path | Sequence[Path],
    store: CountingStore,
    checkpoints: Checkpoints | None = None,
    *,
    pace: Pace = QUICK,
    pipeline: Pipeline = PLAIN_PIPELINE,
) -> LiveIngest:
    paths = [path] if isinstance(path, Path) else path
    return LiveIngest(
        [TailSource(path) for path in paths],
        pipeline,
        store,
        checkpoints or InMemoryCheckpoints(),
        pace=pace,
    )


def only(ingest: LiveIngest) -> SourceStatus:
    (status,) = ingest.status()
    return status


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_what_is_there_and_what_is_appended_is_stored_once_in_order(log: Path, store: CountingStore) -> None:
    log.write_bytes(lines(0, 100))
    with running(build(log, store)):
        wait_for(lambda: len(store.values()) == 100)
        for number in range(100, 150):
            append(log, line(number))
        wait_for(lambda: len(store.values()) == 150)
    assert store.values() == [f"/n/{number}" for number in range(150)]
    assert store.values("line") == list(range(1, 151))
    assert {delivery.source for delivery in store.deliveries.values()} == {str(log)}


def test_many_small_ranges_keep_their_order_over_all_workers(log: Path, store: CountingStore) -> None:
    log.write_bytes(lines(0, 2000))
    with running(build(log, store, pace=replace(QUICK, chunk_bytes=2000, workers=4, queue=8))):
        wait_for(lambda: len(store.values()) == 2000)
    assert len(store.deliveries) > 50
    assert store.values("line") == list(range(1, 2001))


def test_several_sources_are_kept_apart(tmp_path: Path, store: CountingStore) -> None:
    logs = [tmp_path / f"{name}.log" for name in "abc"]
    for number, log in enumerate(logs):
        log.write_bytes(lines(number * 100, 10))
    with running(build(logs, store)):
        wait_for(lambda: len(store.values()) == 30)
    assert {delivery.source for delivery in store.deliveries.values()} == {str(log) for log in logs}


def test_the_next_start_goes_on_where_the_last_one_ended(log: Path, store: CountingStore) -> None:
    checkpoints = InMemoryCheckpoints()
    log.write_bytes(lines(0, 10))
    with running(build(log, store, checkpoints)):
        wait_for(lambda: len(store.values()) == 10)
    append(log, lines(10, 10))
    with running(build(log, store, checkpoints)):
        wait_for(lambda: len(store.values()) == 20)
    assert store.numbers() == Counter(range(20))
    assert store.values("line") == list(range(1, 21))


def test_a_service_may_run_again_after_it_ended(log: Path, store: CountingStore) -> None:
    log.write_bytes(lines(0, 10))
    ingest = build(log, store)
    with running(ingest):
        wait_for(lambda: len(store.values()) == 10)
    append(log, lines(10, 10))
    with running(ingest):
        wait_for(lambda: len(store.values()) == 20)
        assert only(ingest).state is SourceState.FOLLOWING
    assert store.numbers() == Counter(range(20))


class Journal(InMemoryCheckpoints):
    """Notes what is written down, among what is inserted."""

    def __init__(self, store: CountingStore) -> None:
        super().__init__()
        self.notes: list[str] = []
        self._insert = store.insert
        store.insert = self.insert  # type: ignore[method-assign] # to see the order of both

    def insert(self, delivery: Delivery) -> None:
        self._insert(delivery)
        self.notes.append(f"insert {delivery.token}")

    def save(self, mark: Mark) -> None:
        super().save(mark)
        self.notes.append("mark" if mark.end is None else f"intent {mark.token}")


def test_an_intent_stands_before_an_insert_and_the_mark_moves_after_it(
    log: Path, store: CountingStore
) -> None:
    journal = Journal(store)
    log.write_bytes(lines(0, 30))
    with running(build(log, store, journal, pace=replace(QUICK, chunk_bytes=1000))):
        wait_for(lambda: len(store.values()) == 30)
    kinds = [note.split()[0] for note in journal.notes]
    assert kinds == ["intent", "insert", "mark"] * (len(kinds) // 3)
    assert len(kinds) > 6
    tokens = [note.split()[1] for note in journal.notes if note != "mark"]
    assert tokens[::2] == tokens[1::2]


def test_an_insert_that_failed_after_it_was_done_is_not_doubled(log: Path, store: CountingStore) -> None:
    insert, failures = store.insert, iter(range(2))

    def insert_and_fail(delivery: Delivery) -> None:
        insert(delivery)
        if next(failures, None) is not None:
            raise UnavailableError("The answer was lost.")

    store.insert = insert_and_fail  # type: ignore[method-assign] # a fault
    log.write_bytes(lines(0, 10))
    with running(build(log, store)):
        wait_for(lambda: len(store.asked) == 3)
    assert store.numbers() == Counter(range(10))


def test_a_store_that_is_away_pauses_the_source_and_says_why(log: Path, store: CountingStore) -> None:
    store.away = True
    log.write_bytes(lines(0, 10))
    ingest = build(log, store)
    with running(ingest):
        wait_for(lambda: only(ingest).state is SourceState.PAUSED)
        assert only(ingest).reason == "The store is away."
        # What was just read may count as unread for a moment more.
        wait_for(lambda: only(ingest).lag_bytes == len(lines(0, 10)))
        store.away = False
        wait_for(lambda: only(ingest).state is SourceState.FOLLOWING)
        assert only(ingest).lag_bytes == 0
    assert store.numbers() == Counter(range(10))


def test_checkpoints_that_cannot_be_written_pause_the_source(log: Path, store: CountingStore) -> None:
    class Full(InMemoryCheckpoints):
        full = True

        def save(self, mark: Mark) -> None:
            if self.full:
                raise UnavailableError("The disk is full.")
            super().save(mark)

    checkpoints = Full()
    log.write_bytes(lines(0, 10))
    ingest = build(log, store, checkpoints)
    with running(ingest):
        wait_for(lambda: only(ingest).state is SourceState.PAUSED)
        assert store.asked == []
        checkpoints.full = False
        wait_for(lambda: len(store.values()) == 10)


def _lags(ingest: LiveIngest, size: int) -> bool:
    return only(ingest).lag_bytes >= size


def test_rotations_while_the_store_is_away_lose_nothing(log: Path, store: CountingStore) -> None:
    store.away = True
    log.write_bytes(lines(0, 10))
    ingest = build(log, store)
    with running(ingest):
        wait_for(lambda: only(ingest).state is SourceState.PAUSED)
        for number in range(1, 4):
            log.rename(log.with_name("access.log.1"))
            log.write_bytes(lines(number * 10, 10))
            seen = len(line(0)) * (number + 1) * 10
            wait_for(partial(_lags, ingest, seen))
            log.with_name("access.log.1").unlink()
        store.away = False
        wait_for(lambda: len(store.values()) == 40)
    assert store.numbers() == Counter(range(40))


def test_memory_stays_bounded_while_the_store_hangs(log: Path, store: CountingStore) -> None:
    store.hold.clear()
    log.write_bytes(lines(0, 5000))
    pace = replace(QUICK, chunk_bytes=70_000, memory=200_000, queue=10)
    ingest = build(log, store, pace=pace)
    with running(ingest):
        wait_for(lambda: only(ingest).offset > 100_000)
        time.sleep(0.2)  # long enough to read all of it, were it let
        assert only(ingest).offset <= pace.memory
        assert only(ingest).lag_bytes == len(lines(0, 5000))
        store.hold.set()
        wait_for(lambda: len(store.values()) == 5000)
    assert store.numbers() == Counter(range(5000))


def test_to_stop_waits_for_no_room_however_seldom_logs_are_looked_at(log: Path, store: CountingStore) -> None:
    store.away = True
    log.write_bytes(lines(0, 100))
    ingest = build(log, store, pace=replace(QUICK, chunk_bytes=1000, queue=1))
    with running(ingest) as end:
        wait_for(lambda: only(ingest).state is SourceState.PAUSED)
        ingest.pace = replace(ingest.pace, delay=60)
        time.sleep(0.1)  # the reader waits for room by then
        began = time.monotonic()
        end()
    assert time.monotonic() - began < 5


def test_few_batches_of_a_source_wait_at_a_time(log: Path, store: CountingStore) -> None:
    store.hold.clear()
    log.write_bytes(lines(0, 1000))
    ingest = build(log, store, pace=replace(QUICK, chunk_bytes=1000, queue=3))
    with running(ingest):
        wait_for(lambda: only(ingest).offset > 2000)
        time.sleep(0.1)  # as above
        assert only(ingest).offset <= 3000
        store.hold.set()
        wait_for(lambda: len(store.values()) == 1000)


def test_to_stop_finishes_what_was_read(log: Path, store: CountingStore) -> None:
    checkpoints = InMemoryCheckpoints()
    store.hold.clear()
    log.write_bytes(lines(0, 100))
    ingest = build(log, store, checkpoints)
    with running(ingest) as end:
        wait_for(lambda: only(ingest).offset == len(lines(0, 100)))
        threading.Timer(0.1, store.hold.set).start()
        end()
    assert store.numbers() == Counter(range(100))
    (mark,) = checkpoints.marks()
    assert (mark.offset, mark.end) == (len(lines(0, 100)), None)


def test_to_stop_while_the_store_is_away_leaves_the_rest_to_the_next_start(
    log: Path, store: CountingStore
) -> None:
    checkpoints = InMemoryCheckpoints()
    store.away = True
    log.write_bytes(lines(0, 100))
    with running(build(log, store, checkpoints, pace=replace(QUICK, retry_cap=60, retry=60))) as end:
        wait_for(checkpoints.marks)
        began = time.monotonic()
        end()
        assert time.monotonic() - began < 5
    store.away = False
    with running(build(log, store, checkpoints)):
        wait_for(lambda: len(store.values()) == 100)
    assert store.numbers() == Counter(range(100))


def test_an_empty_file_gets_its_format_from_its_first_lines(log: Path, store: CountingStore) -> None:
    log.touch()
    ingest = build(log, store)
    with running(ingest):
        wait_for(lambda: only(ingest).state is SourceState.FOLLOWING)
        assert only(ingest).format == ""
        append(log, b"no request\n")
        wait_for(lambda: only(ingest).rejected == 1)
        append(log, JSON.format(number=1).encode())
        wait_for(lambda: only(ingest).lines == 1)
        assert only(ingest).format == "json"
    assert store.values() == ["/n/1"]
    assert store.values("raw", table="rejects") == ["no request"]


def test_a_format_that_changes_is_found_again(log: Path, store: CountingStore) -> None:
    log.write_bytes(line(1))
    with running(build(log, store)):
        wait_for(lambda: len(store.values()) == 1)
        append(log, JSON.format(number=2).encode())
        wait_for(lambda: len(store.values()) == 2)
        append(log, line(3))
        wait_for(lambda: len(store.values()) == 3)
    assert store.values("reason", table="rejects") == []
    assert [delivery.format for delivery in store.deliveries.values()] == ["combined", "json", "combined"]


def test_an_error_log_gives_messages_whatever_format_was_named(tmp_path: Path, store: CountingStore) -> None:
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    access.write_bytes(line(1))
    error.write_bytes(ERROR)
    pipeline = replace(PLAIN_PIPELINE, format=find_format("combined"))
    with running(build([access, error], store, pipeline=pipeline)):
        wait_for(lambda: len(store.deliveries) == 2)
    assert store.values("message", table="errors") == ["open() failed"]
    assert store.numbers() == Counter([1])


def test_a_named_format_is_not_given_up(log: Path, store: CountingStore) -> None:
    log.write_bytes(JSON.format(number=1).encode())
    pipeline = replace(PLAIN_PIPELINE, format=find_format("combined"))
    ingest = build(log, store, pipeline=pipeline)
    with running(ingest):
        wait_for(lambda: only(ingest).rejected == 1)
    assert store.values() == []


def test_line_after_line_that_cannot_be_read_is_told_once_until_one_can(
    log: Path, store: CountingStore, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = replace(PLAIN_PIPELINE, format=find_format("combined"))
    ingest = build(log, store, pipeline=pipeline)
    log.write_bytes(b"no request\n" * 30)
    with running(ingest):
        wait_for(lambda: only(ingest).rejected == 30)
        assert "None of the last 30 lines" in only(ingest).reason
        append(log, b"no request\n" * 5)
        wait_for(lambda: only(ingest).rejected == 35)
        append(log, lines(0, 1))
        wait_for(lambda: only(ingest).reason == "")
    told = [record.getMessage() for record in caplog.records if "could be read" in record.getMessage()]
    assert told == [f"{log}: none of its last 30 lines could be read. Name its format with --format."]


@pytest.mark.parametrize("bug", [ZeroDivisionError, GeneratorExit])  # a panic of Polars is no Exception
def test_a_bug_in_a_step_loses_no_line(log: Path, store: CountingStore, bug: type[BaseException]) -> None:
    broken = [True]
    secret = "http://eve:secret@db"

    def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
        if broken[0]:
            raise bug(secret)
        return PLAIN_PIPELINE.annotate(batch)

    log.write_bytes(lines(0, 10))
    ingest = build(log, store, pipeline=replace(PLAIN_PIPELINE, annotate=annotate))
    with running(ingest):
        wait_for(lambda: only(ingest).state is SourceState.FAILED)
        assert only(ingest).reason == f"{bug.__name__}: http://eve:***@db"
        broken[0] = False
        wait_for(lambda: len(store.values()) == 10)
        wait_for(lambda: only(ingest).state is SourceState.FOLLOWING)


def test_findings_are_told_once_the_batch_is_stored(log: Path, store: CountingStore) -> None:
    told: list[tuple[Finding, int]] = []

    class Publisher:
        def publish(self, finding: Finding) -> None:
            told.append((finding, len(store.values())))

    def findings(batch: pa.RecordBatch) -> list[Finding]:
        moment = datetime(2026, 11, 22, tzinfo=UTC)
        subject = Subject(SubjectKind.ADDRESS, "198.51.100.7")
        return [Finding("threats.sqli", subject, Severity.HIGH, 0.9, moment, moment, count=len(batch))]

    log.write_bytes(lines(0, 10))
    ingest = LiveIngest(
        [TailSource(log)],
        PLAIN_PIPELINE,
        store,
        InMemoryCheckpoints(),
        findings=findings,
        publisher=Publisher(),
        pace=QUICK,
    )
    with running(ingest):
        wait_for(lambda: told)
    assert [(finding.count, stored) for finding, stored in told] == [(10, 10)]


def test_a_status_says_how_far_a_log_is(log: Path, store: CountingStore) -> None:
    log.write_bytes(lines(0, 10) + b"no request\n")
    ingest = build(log, store)
    assert only(ingest).state is SourceState.STARTING
    with running(ingest):
        wait_for(lambda: only(ingest).lines == 10)
        status = only(ingest)
    assert status == SourceStatus(
        name=str(log),
        format="combined",
        state=SourceState.FOLLOWING,
        reason="",
        lag_bytes=0,
        lag_seconds=0.0,
        lines=10,
        rejected=1,
        last_event=datetime(2026, 11, 22, 10, tzinfo=UTC),
        offset=log.stat().st_size,
        size=log.stat().st_size,
    )
    assert set(ingest.seconds()) >= {"look", "read", "parse", "enrich", "detect", "intent", "insert", "mark"}


def test_a_log_that_is_not_there_is_waited_for_in_words(log: Path, store: CountingStore) -> None:
    ingest = build(log, store)
    with running(ingest):
        wait_for(lambda: only(ingest).state is SourceState.WAITING)
        assert only(ingest).reason == f"There is no file '{log}' at present."
        log.write_bytes(line(1))
        wait_for(lambda: only(ingest).state is SourceState.FOLLOWING)


def test_a_source_that_cannot_be_opened_is_tried_again(log: Path, store: CountingStore) -> None:
    class Shy(TailSource):
        tries = 0

        def open(self, marks: Sequence[Mark]) -> None:
            self.tries += 1
            if self.tries < 3:
                raise JobError("The address is in use.")
            super().open(marks)

    log.write_bytes(line(1))
    ingest = LiveIngest([Shy(log)], PLAIN_PIPELINE, store, InMemoryCheckpoints(), pace=QUICK)
    with running(ingest):
        wait_for(lambda: len(store.values()) == 1)


def test_after_a_bug_in_a_source_nothing_of_the_run_goes_on_beside_the_next(
    log: Path, store: CountingStore
) -> None:
    class Buggy(TailSource):
        def next(self, limit: int) -> Arrival | None:
            if broken.is_set():
                raise ZeroDivisionError
            return super().next(limit)

    def run_until_it_breaks() -> None:
        with running(ingest):
            wait_for(lambda: only(ingest).offset > 0)
            broken.set()
            append(log, line(10))
            wait_for(lambda: "dozor-read" not in {thread.name for thread in threading.enumerate()})

    broken = threading.Event()
    log.write_bytes(lines(0, 10))
    ingest = LiveIngest([Buggy(log)], PLAIN_PIPELINE, store, InMemoryCheckpoints(), pace=QUICK)
    store.hold.clear()
    threading.Timer(0.5, store.hold.set).start()  # what is being stored takes longer than the bug to show
    with pytest.raises(ZeroDivisionError):
        run_until_it_breaks()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("dozor")]
    broken.clear()
    with running(ingest):
        wait_for(lambda: len(store.values()) == 11)
    assert store.numbers() == Counter(range(11))


def test_how_long_lines_wait_is_known_from_few_samples_however_long_the_store_is_away() -> None:
    log = _Log()
    for second in range(100_000):
        log.saw(second + 1, float(second))
    assert len(log.samples) <= 1001
    assert log.lag(100_000.0) == pytest.approx(100_000)
    log.stored = 60_000
    assert log.lag(100_000.0) == pytest.approx(40_000, abs=500)


def test_a_lag_is_warned_of_once_and_taken_back(
    log: Path, store: CountingStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = [100.0]
    store.hold.clear()
    log.write_bytes(lines(0, 10))
    ingest = LiveIngest(
        [TailSource(log)],
        PLAIN_PIPELINE,
        store,
        InMemoryCheckpoints(),
        pace=replace(QUICK, lag_warning=30),
        clock=lambda: clock[0],
    )
    with running(ingest):
        wait_for(lambda: only(ingest).offset)
        clock[0] += 29
        ingest._tell_lag()
        assert "behind" not in caplog.text
        clock[0] += 2
        assert only(ingest).lag_seconds == 31
        for _ in range(3):
            ingest._tell_lag()
        assert caplog.text.count("is 31 s behind") == 1
        store.hold.set()
        wait_for(lambda: only(ingest).lag_bytes == 0)
        ingest._tell_lag()
        ingest._tell_lag()
        assert caplog.text.count("has caught up") == 1


def test_logs_are_looked_at_less_often_the_more_of_them_grow(store: CountingStore) -> None:
    clock = [100.0]
    pace = Pace(delay=0.1, share=0.05, delay_cap=0.3)
    ingest = LiveIngest([], PLAIN_PIPELINE, store, InMemoryCheckpoints(), pace=pace, clock=lambda: clock[0])
    seen = []
    for number in range(8):
        seen.append(round(ingest.delay(), 3))
        ingest.grew(f"{number}.log")
    assert seen == [0.1, 0.1, 0.1, 0.15, 0.2, 0.25, 0.3, 0.3]
    clock[0] += 3
    assert ingest.delay() == 0.1


def test_a_step_of_the_system_clock_does_no_harm(
    log: Path, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    log.write_bytes(lines(0, 10))
    os.utime(log, (0, 0))
    with running(build(log, store)):
        wait_for(lambda: len(store.values()) == 10)
        append(log, line(10))
        os.utime(log, (1 << 33, 1 << 33))
        wait_for(lambda: len(store.values()) == 11)


def test_nothing_is_left_running(log: Path, store: CountingStore) -> None:
    with running(build(log, store)):
        pass
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("dozor")]
