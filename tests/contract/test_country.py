"""What every way to find the country of an address promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped] # comes with mmdb-writer, untyped

from dozor.features.traffic.adapters.country_iptocc import IptoccCountry
from dozor.features.traffic.adapters.country_mmdb import MmdbCountry
from dozor.features.traffic.ports import Country
from dozor.kernel.errors import SettingsError
from dozor.testing import InMemoryCountry

NETWORKS = {"8.8.8.0/24": "US", "77.88.0.0/18": "RU", "2a02:6b8::/32": "RU"}


def write_database(path: Path, entries: dict[str, dict[str, object]]) -> Path:
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-Country")
    for network, entry in entries.items():
        writer.insert_network(IPSet([network]), entry)
    writer.to_db_file(str(path))
    return path


def mmdb(folder: Path) -> Country:
    entries: dict[str, dict[str, object]] = {
        network: {"country": {"iso_code": code}} for network, code in NETWORKS.items()
    }
    return MmdbCountry(write_database(folder / "country.mmdb", entries))


@pytest.fixture(
    params=[lambda _folder: IptoccCountry(), lambda _folder: InMemoryCountry(NETWORKS), mmdb],
    ids=["iptocc", "memory", "mmdb"],
)
def country(request: pytest.FixtureRequest, tmp_path: Path) -> Country:
    make: Callable[[Path], Country] = request.param
    return make(tmp_path)


@pytest.mark.parametrize("type_", [pa.string(), pa.string_view()], ids=str)
def test_known_addresses_have_their_country_in_the_order_asked(country: Country, type_: pa.DataType) -> None:
    found = country.countries(pa.array(["2a02:6b8::1", "8.8.8.8", "77.88.8.8", "8.8.8.8"], type_))
    assert found.type == pa.string()
    assert found.to_pylist() == ["RU", "US", "RU", "US"]


def test_private_and_reserved_addresses_have_none(country: Country) -> None:
    addresses = ["10.0.0.1", "127.0.0.1", "192.168.1.1", "::1", "fe80::1", "203.0.113.7"]
    assert country.countries(pa.array(addresses)).to_pylist() == [""] * len(addresses)


def test_texts_that_are_no_address_have_none_and_harm_nobody(country: Country) -> None:
    texts = [
        "unix:",
        "crawler.example.org",
        "",
        "999.1.1.1",
        "1.2.3",
        "8.8.8.8:80",
        "\ufffd",
        "8" * 9_000,
        "8.8.8.8",
    ]
    assert country.countries(pa.array(texts)).to_pylist() == [""] * 8 + ["US"]


def test_no_addresses_give_no_countries(country: Country) -> None:
    found = country.countries(pa.array([], pa.string_view()))
    assert (len(found), found.type) == (0, pa.string())


def test_a_database_may_write_the_country_as_other_publishers_do(tmp_path: Path) -> None:
    path = write_database(
        tmp_path / "publishers.mmdb",
        {
            "1.0.1.0/24": {"country": {"names": {"en": "Nowhere"}}, "country_code": "CN"},
            "1.0.2.0/24": {"country": "Australia", "country_code": "AU"},
            "1.0.3.0/24": {"country": "JP"},
            "1.0.4.0/24": {"registered_country": {"iso_code": "DE"}},
            "1.0.5.0/24": {"city": "Atlantis"},
        },
    )
    found = MmdbCountry(path).countries(pa.array([f"1.0.{n}.1" for n in range(1, 7)]))
    assert found.to_pylist() == ["CN", "AU", "JP", "DE", "", ""]


@pytest.mark.parametrize(
    "content", [None, b"", b"this is no database" * 100], ids=["missing", "empty", "text"]
)
def test_a_file_that_is_no_database_is_a_setting_to_change(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        MmdbCountry(path)
    assert str(path) in caught.value.message
    assert "country_database" in caught.value.hint
    assert caught.value.exit_code == 2
