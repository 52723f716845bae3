from __future__ import annotations

import pytest

from dozor.infra.cache import shared_url
from dozor.kernel.errors import SettingsError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("valkey://:open-sesame@db", "redis://:open-sesame@db"),
        ("valkeys://db", "rediss://db"),
        ("unix:///run/valkey.sock?db=1", "redis+unix:///run/valkey.sock?db=1"),
    ],
)
def test_an_address_is_written_in_one_way(written: str, meant: str) -> None:
    assert shared_url(written) == meant


@pytest.mark.parametrize(
    "url", ["redis://", "foo://:open-sesame@x", "localhost:6379", "redis://h:port/0", "unix://"]
)
def test_what_is_no_address_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="Write redis://:PASSWORD@HOST") as caught:
        shared_url(url)
    assert "open-sesame" not in str(caught.value)
