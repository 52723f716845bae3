"""The memory of clean values forgets, but never makes a value clean that was not added."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.threats.core.clean import CleanValues


@given(st.sets(st.binary(max_size=30), min_size=1), st.sets(st.binary(max_size=30), min_size=1))
def test_only_what_was_added_is_held(added: set[bytes], others: set[bytes]) -> None:
    memory = CleanValues(1 << 16)
    memory.add(memory.hashes(pa.array(sorted(added))))
    strangers = sorted(others - added)
    assert not memory.holds(memory.hashes(pa.array(strangers, pa.binary()))).any()


def test_what_was_added_last_is_held() -> None:
    memory = CleanValues(64)
    for number in range(1000):
        hashes = memory.hashes(pa.array([f"/page/{number}".encode()]))
        memory.add(hashes)
        assert memory.holds(hashes).all()


def test_two_memories_hash_differently() -> None:
    values = pa.array([b"/a", b"/b"])
    assert CleanValues().hashes(values).tolist() != CleanValues().hashes(values).tolist()


def test_every_slot_is_used() -> None:
    clean = CleanValues(slots=4)
    hashes = clean.hashes(pa.array([str(number) for number in range(200)]))
    clean.add(hashes)
    assert clean.holds(hashes).sum() == 4
