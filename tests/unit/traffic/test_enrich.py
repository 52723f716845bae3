"""Enrich adds what it promises and leaves the rest alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network

import pyarrow as pa
import pytest

from dozor.columns.record import ENRICHED, PARSED
from dozor.features.traffic.core.addresses import Network
from dozor.features.traffic.core.enrich import enrich
from dozor.testing import InMemoryCountry

COUNTRY = InMemoryCountry({"203.0.113.0/24": "DE", "198.51.100.0/24": "FR", "2001:db8::/32": "NL"})
PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48")]


def batch(rows: Sequence[Mapping[str, object]]) -> pa.RecordBatch:
    """Parsed rows; columns that are not given are empty."""
    empty = {
        **dict.fromkeys(("line", "line_offset", "ts", "status", "bytes"), 0),
        **dict.fromkeys(("request_time", "upstream_time")),
    }
    columns = [
        pa.array([row.get(field.name, empty.get(field.name, "")) for row in rows], field.type)
        for field in PARSED
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PARSED)


def clients(*rows: tuple[str, str], trusted: list[Network] | None = None) -> list[tuple[str, str]]:
    given = batch([{"client": client, "forwarded_for": header} for client, header in rows])
    found = enrich(given, country=COUNTRY, trusted_proxies=trusted or ())
    return list(zip(found["client"].to_pylist(), found["country"].to_pylist(), strict=True))


def test_the_batch_has_the_schema_of_an_enriched_record_and_all_other_columns_stay() -> None:
    given = batch(
        [
            {"client": "203.0.113.9", "user_agent": "curl/8.0", "line": 7, "path": "/a", "raw": "one"},
            {"client": "host.example.org", "user_agent": "", "line": 9, "path": "/b", "raw": "two"},
        ]
    )
    found = enrich(given, country=COUNTRY)
    found.validate(full=True)
    assert found.schema == ENRICHED
    for name in PARSED.names:
        assert found[name] == given[name]
    assert found["country"].to_pylist() == ["DE", ""]
    assert found["is_bot"].to_pylist() == [True, False]
    assert found["ua_family"].to_pylist() == ["curl", ""]


def test_an_empty_batch_stays_empty() -> None:
    for trusted in ([], PROXIES):
        found = enrich(batch([]), country=COUNTRY, trusted_proxies=trusted)
        assert found.num_rows == 0
        assert found.schema == ENRICHED


def test_a_slice_of_a_batch_is_enriched_like_the_rows_it_shows() -> None:
    given = batch([{"client": f"203.0.113.{n}", "user_agent": f"Agent{n}"} for n in range(10)]).slice(4, 3)
    found = enrich(given, country=COUNTRY)
    assert found["client"].to_pylist() == ["203.0.113.4", "203.0.113.5", "203.0.113.6"]
    assert found["ua_family"].to_pylist() == ["Agent4", "Agent5", "Agent6"]


def test_one_client_in_many_spellings_becomes_one() -> None:
    rows = [(text, "") for text in ("2001:db8::1", "2001:DB8:0::1", "[2001:db8::1]:443")]
    assert clients(*rows) == [("2001:db8::1", "NL")] * 3


def test_host_names_and_sockets_stay_text_without_a_country() -> None:
    assert clients(("crawl.example.org", ""), ("unix:", "")) == [("crawl.example.org", ""), ("unix:", "")]


def test_nothing_is_believed_when_no_proxy_is_trusted() -> None:
    assert clients(("10.0.0.1", "203.0.113.5")) == [("10.0.0.1", "")]


def test_only_a_trusted_peer_may_name_another_client() -> None:
    assert clients(
        ("10.0.0.1", "203.0.113.5"),
        ("198.51.100.8", "203.0.113.5"),
        ("2001:db8:ffff::1", "203.0.113.5, 10.9.9.9"),
        ("10.0.0.1", ""),
        ("10.0.0.1", "unknown"),
        ("unix:", "203.0.113.5"),
        trusted=PROXIES,
    ) == [
        ("203.0.113.5", "DE"),
        ("198.51.100.8", "FR"),
        ("203.0.113.5", "DE"),
        ("10.0.0.1", ""),
        ("10.0.0.1", ""),
        ("unix:", ""),
    ]


def test_a_trusted_network_that_no_peer_is_in_changes_nothing() -> None:
    assert clients(("198.51.100.8", "203.0.113.5"), trusted=PROXIES) == [("198.51.100.8", "FR")]


def test_the_country_is_looked_up_once_for_each_distinct_client() -> None:
    asked: list[str] = []

    class Counting(InMemoryCountry):
        def countries(self, addresses: pa.Array) -> pa.Array:
            asked.extend(addresses.to_pylist())
            return super().countries(addresses)

    rows = [{"client": f"203.0.113.{n % 5}"} for n in range(1_000)]
    enrich(batch(rows), country=Counting({}))
    assert sorted(asked) == [f"203.0.113.{n}" for n in range(5)]


@pytest.mark.parametrize("trusted", [[], PROXIES])
def test_threads_that_enrich_at_once_do_not_disturb_each_other(trusted: list[Network]) -> None:
    batches = [
        batch([{"client": f"203.0.{k}.{n}", "user_agent": f"Odd{k}-{n}bot/1"} for n in range(200)])
        for k in range(16)
    ]
    alone = [enrich(one, country=COUNTRY, trusted_proxies=trusted) for one in batches]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda one: enrich(one, country=COUNTRY, trusted_proxies=trusted), batches)
    assert list(together) == alone
