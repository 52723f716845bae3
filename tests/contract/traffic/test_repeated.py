"""What comes again after a crash is kept once, even if the engine noted its token and lost its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from dozor.features.traffic.adapters.store_clickhouse import ClickHouseStore, open_store
from dozor.features.traffic.model import Delivery, Filters
from dozor.infra.clickhouse import ClickHouse
from dozor.kernel.errors import UnavailableError
from tests.contract.traffic.stores import errors, rejects, requests

LONG_AGO = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClickHouseStore]:
    opened = open_store(folder=tmp_path / "events")
    yield opened
    opened.close()


@pytest.fixture
def whole() -> Delivery:
    """Rows of every table, those of requests in two weeks."""
    attack = {"rules": ["r"], "classes": ["sqli"], "score": 0.9}
    delivery = requests({"line": 1}, {"line": 2, "line_offset": 50, **attack}, {"line": 3, "ts": LONG_AGO})
    return replace(
        delivery,
        errors=errors("2026/11/22 10:00:00 [error] 7#7: *1 open() failed").errors,
        rejects=rejects("no request").rejects,
    )


def count(store: ClickHouseStore) -> tuple[int, int, int, int]:
    held = store.coverage()
    return held.requests, held.errors, held.rejected, len(store.findings(Filters()))


def lose(store: ClickHouseStore, table: str, where: str = "1") -> None:
    """Take rows away and leave the tokens, as a kill between both does."""
    store._clickhouse.command(f"ALTER TABLE {table} DELETE WHERE {where} SETTINGS mutations_sync = 1")


@pytest.mark.parametrize("lost", ["requests", "hits", "errors", "rejects"])
def test_rows_that_are_missing_though_their_token_is_known_are_kept(
    store: ClickHouseStore, whole: Delivery, lost: str
) -> None:
    store.insert(whole)
    before = count(store)
    assert before == (3, 1, 1, 1)
    lose(store, lost)
    store.insert(whole)
    assert count(store) != before, "the token is not known any more: this test proves nothing"
    for _ in range(3):
        store.insert(replace(whole, again=True))
        assert count(store) == before


def test_an_insert_that_failed_with_its_token_known_is_kept_when_it_comes_again(
    store: ClickHouseStore, whole: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, failing = ClickHouse.insert, ["hits", "requests", "errors", "rejects"]

    def insert_and_fail(self: ClickHouse, table: str, rows: pa.RecordBatch, *, token: str) -> None:
        insert(self, table, rows, token=token)
        if failing and failing[0] == table:
            lose(store, failing.pop(0))
            raise UnavailableError("No space left on device.")

    monkeypatch.setattr(ClickHouse, "insert", insert_and_fail)
    for _ in range(4):
        with pytest.raises(UnavailableError):
            store.insert(whole)
    for _ in range(2):
        store.insert(whole)
        assert count(store) == (3, 1, 1, 1)


def test_of_a_delivery_that_is_there_in_part_the_rest_is_kept(
    store: ClickHouseStore, whole: Delivery
) -> None:
    store.insert(whole)
    before = count(store)
    lose(store, "requests", "ts < '2026-06-01'")
    store.insert(replace(whole, again=True))
    assert count(store) == before


def test_questions_are_answered_while_a_delivery_is_kept_in_part(
    store: ClickHouseStore, whole: Delivery
) -> None:
    store.insert(whole)
    lose(store, "requests")  # rows of `hits` are kept first
    (attacker,) = store.summary(Filters()).attackers
    assert (attacker.attacks, attacker.requests) == (1, 1)
    assert len(store.findings(Filters())) == 1


def test_what_comes_again_and_never_came_is_kept_once(store: ClickHouseStore, whole: Delivery) -> None:
    for _ in range(2):
        store.insert(replace(whole, again=True))
        assert count(store) == (3, 1, 1, 1)


def test_rows_of_another_token_are_not_taken_for_those_that_come_again(
    store: ClickHouseStore, whole: Delivery
) -> None:
    store.insert(replace(whole, token="of another file"))
    store.insert(replace(whole, again=True))
    assert count(store)[:3] == (6, 2, 2)
