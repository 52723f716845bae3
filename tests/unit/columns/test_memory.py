"""A memory of values forgets, but never takes a value for another."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from dozor.columns.memory import UNKNOWN, ValueMemory


@given(st.sets(st.binary(max_size=30), min_size=1), st.sets(st.binary(max_size=30), min_size=1))
def test_only_what_was_remembered_is_recalled(kept: set[bytes], others: set[bytes]) -> None:
    memory = ValueMemory(1 << 16)
    memory.remember(memory.hashes(pl.Series(sorted(kept))), 7)
    strangers = pl.Series(sorted(others - kept), dtype=pl.Binary)
    assert (memory.recall(memory.hashes(strangers)) == UNKNOWN).all()


def test_each_value_is_recalled_with_its_own_number() -> None:
    memory = ValueMemory(64)
    for number in range(1000):
        hashes = memory.hashes(pl.Series([f"/page/{number}".encode()]))
        memory.remember(hashes, np.array([number], np.int32))
        assert memory.recall(hashes).tolist() == [number]


def test_two_memories_hash_differently() -> None:
    values = pl.Series([b"/a", b"/b"])
    assert ValueMemory().hashes(values).tolist() != ValueMemory().hashes(values).tolist()


def test_every_slot_is_used() -> None:
    memory = ValueMemory(slots=4)
    hashes = memory.hashes(pl.Series([str(number) for number in range(200)]))
    memory.remember(hashes, 1)
    assert (memory.recall(hashes) == 1).sum() == 4


def test_threads_never_see_one_value_with_the_number_of_another() -> None:
    memory = ValueMemory(slots=8)  # so few that values keep taking each other's slots
    hashes = memory.hashes(pl.Series([str(number) for number in range(256)]))
    numbers = np.arange(256, dtype=np.int32)

    def remember_and_recall(_: int) -> bool:
        memory.remember(hashes, numbers)
        recalled = memory.recall(hashes)
        return bool(((recalled == numbers) | (recalled == UNKNOWN)).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(remember_and_recall, range(200)))
