"""The memory of clean values forgets, but never makes a value clean that was not added."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.threats.core.clean import CleanValues


@given(st.sets(st.binary(max_size=30), min_size=1), st.sets(st.binary(max_size=30), min_size=1))
def test_only_what_was_added_is_held(added: set[bytes], others: set[bytes]) -> None:
    memory = CleanValues(1 << 16)
    memory.add(memory.hashes(pl.Series(sorted(added))))
    strangers = sorted(others - added)
    assert not memory.holds(memory.hashes(pl.Series(strangers, dtype=pl.Binary))).any()


def test_what_was_added_last_is_held() -> None:
    memory = CleanValues(64)
    for number in range(1000):
        hashes = memory.hashes(pl.Series([f"/page/{number}".encode()]))
        memory.add(hashes)
        assert memory.holds(hashes).all()


def test_two_memories_hash_differently() -> None:
    values = pl.Series([b"/a", b"/b"])
    assert CleanValues().hashes(values).tolist() != CleanValues().hashes(values).tolist()


def test_every_slot_is_used() -> None:
    clean = CleanValues(slots=4)
    hashes = clean.hashes(pl.Series([str(number) for number in range(200)]))
    clean.add(hashes)
    assert clean.holds(hashes).sum() == 4
