"""Pages of lines over both stores while they grow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dozor.client import Client
from dozor.features.traffic.model import Delivery
from dozor.features.traffic.ports import RecordStore
from tests.contract.traffic.served import STORES, opened, serve
from tests.unit.traffic.records import START, batch


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RecordStore]:
    with opened(request.param, tmp_path) as store:
        yield store


def arrive(store: RecordStore, first: int, count: int) -> None:
    """Lines, three of them in each second."""
    rows = [{"line": n, "ts": START + timedelta(seconds=n // 3)} for n in range(first, first + count)]
    store.insert(Delivery("/var/log/a.log", f"token-{first}", records=batch(rows), format="combined"))


@pytest.mark.parametrize("limit", [9, 50, 1000])
def test_pages_give_each_line_once_while_new_ones_arrive(store: Any, limit: int) -> None:
    arrive(store, 0, 50)
    seen: list[int] = []
    with serve(store) as url, Client(url) as client:
        page = client.traffic.lines(limit=limit)
        while True:
            assert len(page.items) <= limit
            seen += [item.line for item in page.items]
            if page.next is None:
                break
            arrive(store, 1_000 + 10 * len(seen), 5)
            page = client.traffic.lines(limit=limit, cursor=page.next)
    assert seen[:1] == [49]
    assert sorted(seen) == list(range(50))
