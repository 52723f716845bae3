"""What every spill promises: frames come back whole, in order, and apart from each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from dozor.features.traffic.adapters.spill_files import FileSpill
from dozor.features.traffic.ports import Spill
from dozor.kernel.errors import JobError
from dozor.testing import InMemorySpill


@pytest.fixture(params=["files", "memory"])
def spill(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spill]:
    if request.param == "memory":
        yield InMemorySpill()
        return
    with FileSpill(tmp_path) as files:
        yield files


def test_frames_come_back_in_the_order_of_writing(spill: Spill) -> None:
    frames = [pl.DataFrame({"value": ["a", "é"], "requests": [n, 2]}) for n in range(3)]
    for frame in frames:
        spill.write("paths", 1, frame)
    assert [frame.to_dicts() for frame in spill.read("paths", 1)] == [frame.to_dicts() for frame in frames]


def test_names_and_parts_are_apart(spill: Spill) -> None:
    spill.write("paths", 1, pl.DataFrame({"value": ["a"]}))
    assert list(spill.read("paths", 2)) == []
    assert list(spill.read("clients", 1)) == []


def test_files_are_gone_afterwards(tmp_path: Path) -> None:
    with FileSpill(tmp_path) as spill:
        spill.write("paths", 1, pl.DataFrame({"value": ["a"]}))
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with FileSpill(tmp_path / "absent") as spill, pytest.raises(JobError, match="TMPDIR"):
        spill.write("paths", 1, pl.DataFrame({"value": ["a"]}))
