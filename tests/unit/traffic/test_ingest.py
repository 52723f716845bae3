"""Live ingest: what arrives is stored once, in order, whatever the store does meanwhile."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dozor.features.traffic.adapters.checkpoint_memory import InMemoryCheckpoints
from dozor.features.traffic.adapters.tail import TailSource
from dozor.features.traffic.model import SourceState
from dozor.features.traffic.ports import Checkpoints
from dozor.features.traffic.service.live import LiveIngest, Pace
from tests.unit.traffic.live import PLAIN_PIPELINE, CountingStore, line, lines, running, wait_for

QUICK = Pace(delay=0.01, retry=0.01, retry_cap=0.05)


def build(
    path: Path, store: CountingStore, checkpoints: Checkpoints | None = None, pace: Pace = QUICK
) -> LiveIngest:
    return LiveIngest(
        [TailSource(path)], PLAIN_PIPELINE, store, checkpoints or InMemoryCheckpoints(), pace=pace
    )


def test_what_is_there_and_what_is_appended_is_stored_once_in_order(tmp_path: Path) -> None:
    log, store = tmp_path / "access.log", CountingStore()
    log.write_bytes(lines(0, 100))
    with running(build(log, store)):
        wait_for(lambda: len(store.values()) == 100)
        with log.open("ab") as file:
            for number in range(100, 150):
                file.write(line(number))
                file.flush()
        wait_for(lambda: len(store.values()) == 150)
    assert store.values() == [f"/n/{number}" for number in range(150)]
    assert store.values("line") == list(range(1, 151))
    assert {delivery.source for delivery in store.deliveries.values()} == {str(log)}


def test_the_next_start_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    log, store, checkpoints = tmp_path / "access.log", CountingStore(), InMemoryCheckpoints()
    log.write_bytes(lines(0, 10))
    with running(build(log, store, checkpoints)):
        wait_for(lambda: len(store.values()) == 10)
    with log.open("ab") as file:
        file.write(lines(10, 10))
    with running(build(log, store, checkpoints)):
        wait_for(lambda: len(store.values()) == 20)
    assert store.numbers() == Counter(range(20))
    assert store.values("line") == list(range(1, 21))


def test_a_store_that_is_away_pauses_the_source_and_says_why(tmp_path: Path) -> None:
    log, store = tmp_path / "access.log", CountingStore()
    store.away = True
    log.write_bytes(lines(0, 10))
    ingest = build(log, store)
    with running(ingest):
        wait_for(lambda: ingest.status()[0].state is SourceState.PAUSED)
        assert ingest.status()[0].reason == "The store is away."
        assert ingest.status()[0].lag_bytes == len(lines(0, 10))
        store.away = False
        wait_for(lambda: ingest.status()[0].state is SourceState.FOLLOWING)
        assert ingest.status()[0].lag_bytes == 0
    assert store.numbers() == Counter(range(10))
