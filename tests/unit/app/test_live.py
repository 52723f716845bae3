from __future__ import annotations

import pytest

from dozor.app.live import address, checkpoints_name
from dozor.app.settings import Settings
from dozor.features.traffic.settings import TrafficSettings


def name_of(url: str | None) -> str:
    return checkpoints_name(Settings(traffic=TrafficSettings(clickhouse_url=url)))


@pytest.mark.parametrize(
    "url",
    ["http://db", "http://DB:8123", "http://db:8123/", "http://db/dozor", "http://eve:secret@db:8123/dozor"],
)
def test_a_store_keeps_its_checkpoints_however_its_address_is_written(url: str) -> None:
    assert name_of(url) == name_of("http://db:8123/dozor")


def test_stores_have_checkpoints_of_their_own() -> None:
    urls = [
        None,
        "http://db:8123/dozor",
        "http://db:8124/dozor",
        "http://db:8123/other",
        "http://db2:8123/dozor",
    ]
    assert len({name_of(url) for url in urls}) == len(urls)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:5000"),
        ("localhost", "http://127.0.0.1:5000"),
        ("::1", "http://[::1]:5000"),
    ],
)
def test_the_console_asks_where_the_process_serves(host: str, shown: str) -> None:
    assert address(host, 5000) == shown
