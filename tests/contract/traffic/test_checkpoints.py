"""What every memory of marks promises, that of the tests included."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dozor.features.traffic.adapters import checkpoint_sqlite
from dozor.features.traffic.adapters.checkpoint_memory import InMemoryCheckpoints
from dozor.features.traffic.adapters.checkpoint_sqlite import SqliteCheckpoints
from dozor.features.traffic.model import Mark
from dozor.features.traffic.ports import Checkpoints
from dozor.kernel.errors import UnavailableError

MARK = Mark(
    log="/logs/access.log",
    file="f1",
    name="access.log",
    device=64_769,
    inode=(1 << 63) - 1,
    head_size=1024,
    head="0123abcd",
    modified=1_795_305_600_123_456_789,
    offset=1 << 40,
    line=7_000_000_000,
    end=(1 << 40) + 512,
    format="main",
)

Open = Callable[[], Checkpoints]


@pytest.fixture(params=["memory", "sqlite"])
def checkpoints(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Checkpoints]:
    if request.param == "memory":
        yield InMemoryCheckpoints()
        return
    opened = SqliteCheckpoints(tmp_path / "checkpoints.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints.sqlite"


def test_a_mark_comes_back_as_it_was_saved(checkpoints: Checkpoints) -> None:
    checkpoints.save(MARK)
    assert checkpoints.marks() == (MARK,)


def test_a_mark_takes_the_place_of_the_one_of_the_same_file(checkpoints: Checkpoints) -> None:
    checkpoints.save(MARK)
    after = replace(MARK, offset=MARK.offset + 512, end=None, line=MARK.line + 3, finished=True)
    checkpoints.save(after)
    assert checkpoints.marks() == (after,)


def test_the_mark_saved_last_stands_at_the_end(checkpoints: Checkpoints) -> None:
    second, other = replace(MARK, file="f2"), replace(MARK, log="-", file="f3")
    for mark in (MARK, second, other, MARK):
        checkpoints.save(mark)
    assert checkpoints.marks() == (second, other, MARK)


def test_the_token_names_the_file_and_the_range() -> None:
    others = {replace(MARK, file="f2").token, replace(MARK, offset=1).token, replace(MARK, end=1).token}
    assert MARK.token not in others
    assert len(others) == 3
    assert replace(MARK, format="json", inode=1, head="other", name="renamed").token == MARK.token


def test_sqlite_keeps_marks_for_the_next_process(path: Path) -> None:
    first = SqliteCheckpoints(path)
    first.save(MARK)  # not closed: the process is killed
    second = SqliteCheckpoints(path)
    assert second.marks() == (MARK,)
    first.close()
    second.close()


def test_sqlite_forces_an_intent_to_the_disk_before_an_insert(path: Path) -> None:
    checkpoints = SqliteCheckpoints(path)
    try:
        checkpoints.save(MARK)
        assert _synchronous(checkpoints) == 2  # FULL
        checkpoints.save(replace(MARK, end=None))
        assert _synchronous(checkpoints) == 1  # NORMAL
    finally:
        checkpoints.close()


def _synchronous(checkpoints: SqliteCheckpoints) -> int:
    found: int = checkpoints._db.execute("PRAGMA synchronous").fetchone()[0]
    return found


def test_sqlite_forgets_finished_files_of_long_ago_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_sqlite, "FINISHED_KEPT", 3)
    checkpoints = SqliteCheckpoints(path)
    try:
        checkpoints.save(MARK)
        for number in range(10):
            checkpoints.save(replace(MARK, file=f"done{number}", end=None, finished=True))
        checkpoints.save(replace(MARK, log="-", file="other", end=None, finished=True))
        kept = [mark.file for mark in checkpoints.marks()]
        assert kept == ["f1", "done7", "done8", "done9", "other"]
    finally:
        checkpoints.close()


def test_sqlite_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"Checkpoints cannot be kept in .*nowhere") as caught:
        SqliteCheckpoints(tmp_path / "nowhere" / "checkpoints.sqlite")
    assert caught.value.hint


def test_sqlite_does_not_touch_what_a_newer_version_wrote(path: Path) -> None:
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(UnavailableError, match="newer Dozor"):
        SqliteCheckpoints(path)
