"""Pages of lines over the real store while it grows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dozor.client import Client
from dozor.features.traffic.adapters.store_clickhouse import ClickHouseStore, open_store
from dozor.features.traffic.model import Delivery
from tests.contract.traffic.served import serve
from tests.unit.traffic.records import START, batch


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseStore]:
    store = open_store(folder=tmp_path_factory.mktemp("events"))
    yield store
    store.close()


def arrive(store: ClickHouseStore, first: int, count: int) -> None:
    """Lines, three of them in each second."""
    rows = [{"line": n, "ts": START + timedelta(seconds=n // 3)} for n in range(first, first + count)]
    store.insert(Delivery("/var/log/a.log", f"token-{first}", records=batch(rows), format="combined"))


@pytest.mark.parametrize("limit", [9, 50, 1000])
def test_pages_give_each_line_once_while_new_ones_arrive(store: ClickHouseStore, limit: int) -> None:
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
