"""Following files: each line once, in order, through every rotation, up and down."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from backports import zstd

from dozor.features.traffic.adapters import tail
from dozor.features.traffic.adapters.readers import Packed, Plain, open_reader
from dozor.features.traffic.adapters.tail import LINGER, SETTLE, TailSource, tail_sources
from dozor.features.traffic.model import Arrival, Mark
from tests.unit.traffic.live import line, lines, take_all, text


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Follower:
    """A tail and what Dozor would remember of it.

    Args:
        pattern: What to follow.
    """

    def __init__(self, pattern: Path | str) -> None:
        self.pattern, self.clock = pattern, Clock()
        self.marks: dict[str, Mark] = {}
        self.start()

    def start(self) -> None:
        self.source = TailSource(self.pattern, clock=self.clock)
        self.source.open(list(self.marks.values()))

    def crash(self) -> None:
        self.source.close()

    def take(self, *, after: float = 1.0, limit: int = 1 << 20, stored: bool = True) -> bytes:
        """What comes after so many seconds."""
        self.clock.now += after
        arrivals = take_all(self.source, limit)
        for arrival in arrivals:
            self.keep(arrival.after if stored else arrival.mark)
        return text(arrivals)

    def keep(self, mark: Mark) -> None:
        self.marks.pop(mark.file, None)
        self.marks[mark.file] = mark

    def next(self) -> Arrival:
        self.clock.now += 1.0
        self.source.scan()
        arrival = self.source.next(1 << 20)
        assert arrival is not None
        return arrival


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_bytes(lines(0, 50))
    return path


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def rename(log: Path) -> Path:
    """Rotate as logrotate does: the numbers go up, the present file becomes number 1."""
    for number in range(8, 0, -1):
        for ending in ("", ".gz", ".zst"):
            old = log.with_name(f"{log.name}.{number}{ending}")
            if old.exists():
                old.rename(log.with_name(f"{log.name}.{number + 1}{ending}"))
    return log.rename(log.with_name(f"{log.name}.1"))


def copytruncate(log: Path) -> Path:
    copy = log.with_name(f"{log.name}.1")
    shutil.copy2(log, copy)
    os.truncate(log, 0)
    return copy


def pack(path: Path, how: Callable[[bytes], bytes] = gzip.compress, ending: str = ".gz") -> Path:
    packed = path.with_name(path.name + ending)
    packed.write_bytes(how(path.read_bytes()))
    shutil.copystat(path, packed)
    path.unlink()
    return packed


def test_lines_come_when_their_line_end_is_there(log: Path) -> None:
    follower = Follower(log)
    assert follower.take() == lines(0, 50)
    append(log, line(50)[:20])
    assert follower.take() == b""
    append(log, line(50)[20:] + line(51)[:5])
    assert follower.take() == line(50)


def test_ranges_and_line_numbers_follow_each_other(log: Path) -> None:
    follower = Follower(log)
    follower.clock.now += 1
    arrivals = take_all(follower.source, 1000)
    assert len(arrivals) > 3
    assert all(len(arrival.data) <= 1000 for arrival in arrivals)
    assert [arrival.mark.end for arrival in arrivals] == [arrival.after.offset for arrival in arrivals]
    assert [arrival.after.offset for arrival in arrivals[:-1]] == [one.offset for one in arrivals[1:]]
    assert [arrival.after.line for arrival in arrivals[:-1]] == [one.first_line for one in arrivals[1:]]
    assert arrivals[-1].after.line == 51


def test_a_renamed_file_is_read_to_its_end_before_the_new_one(log: Path) -> None:
    follower = Follower(log)
    follower.take()
    old = rename(log)
    append(old, lines(50, 5))  # the server has not reopened yet
    log.write_bytes(lines(60, 5))
    append(old, lines(55, 5))
    assert follower.take(after=0.05) == lines(50, 15)
    append(old, line(70))  # one of its workers is late
    append(log, line(71))
    assert follower.take() == line(70) + line(71)


def test_two_renames_between_two_looks_lose_nothing(log: Path) -> None:
    follower = Follower(log)
    follower.take()
    append(rename(log), lines(50, 5))
    log.write_bytes(lines(55, 5))
    rename(log)
    log.write_bytes(lines(60, 5))
    assert follower.take() == lines(50, 15)


def test_the_last_line_of_a_rotated_file_needs_no_line_end_after_a_while(log: Path) -> None:
    follower = Follower(log)
    append(log, line(50)[:-1])
    assert follower.take() == lines(0, 50)
    rename(log)
    log.write_bytes(line(51))
    assert follower.take(after=SETTLE - 1) == line(51)
    assert follower.take(after=2) == line(50)[:-1]


def test_a_rotated_file_is_let_go_when_it_is_quiet_for_long(log: Path) -> None:
    follower = Follower(log)
    follower.take()
    rename(log)
    log.write_bytes(line(50))
    follower.take()
    before = open_files()
    assert follower.take(after=LINGER) == b""
    assert open_files() == before - 1
    assert sorted(mark.finished for mark in follower.marks.values()) == [False, True]
    append(log.with_name("access.log.1"), line(49))
    assert follower.take() == line(49)  # later still


def test_a_truncated_file_is_read_from_its_beginning(log: Path) -> None:
    follower = Follower(log)
    follower.take()
    os.truncate(log, 0)
    append(log, lines(50, 5))
    assert follower.take(after=0.05) == lines(50, 5)


def test_a_truncation_is_seen_though_the_file_grew_beyond_what_was_read(log: Path) -> None:
    follower = Follower(log)
    follower.take()
    os.truncate(log, 0)
    append(log, lines(100, 90))
    assert follower.take(after=0.05) == lines(100, 90)


def test_what_was_not_read_before_a_copytruncate_is_read_from_the_copy(log: Path) -> None:
    follower = Follower(log)
    follower.take()
    append(log, lines(50, 10))
    copytruncate(log)
    append(log, lines(60, 80))
    assert follower.take(after=0.05) == lines(50, 90)
    assert follower.take(after=LINGER) == b""


def test_a_copy_alone_is_not_read(log: Path) -> None:
    follower = Follower(f"{log}*")
    follower.take()
    shutil.copy2(log, log.with_name("access.log.1"))
    assert follower.take() == b""


def test_an_empty_file_and_a_truncated_one_that_stays_empty_are_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.touch()
    follower = Follower(log)
    assert follower.take() == b""
    append(log, line(1))
    assert follower.take() == line(1)
    os.truncate(log, 0)
    assert follower.take() == b""
    append(log, line(2))
    assert follower.take() == line(2)


def test_a_file_that_is_not_there_yet_and_one_that_vanishes_and_returns(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    follower = Follower(log)
    assert follower.take() == b""
    assert follower.source.followed()[0].waiting
    log.write_bytes(lines(0, 5))
    assert follower.take() == lines(0, 5)
    assert not follower.source.followed()[0].waiting
    log.unlink()
    follower.take()
    assert follower.source.followed()[0].waiting
    log.write_bytes(lines(5, 5))
    assert follower.take() == lines(5, 5)


def test_a_deleted_file_is_read_to_its_end(log: Path) -> None:
    follower = Follower(log)
    append(log, lines(50, 5))
    log.unlink()
    assert follower.take() == lines(0, 55)


def test_a_folder_that_comes_later_is_found(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "nginx" / "access.log")
    follower.take()
    (tmp_path / "nginx").mkdir()
    (tmp_path / "nginx" / "access.log").write_bytes(line(1))
    assert follower.take() == line(1)


def test_a_reused_inode_is_another_file(log: Path) -> None:
    follower = Follower(log)
    follower.take()
    follower.crash()
    mark = next(iter(follower.marks.values()))
    other = log.with_name("other")
    other.write_bytes(lines(200, 60))
    other.replace(log)
    follower.marks = {mark.file: replace(mark, inode=log.stat().st_ino)}
    follower.start()
    assert follower.take() == lines(200, 60)


PACKINGS: dict[str, Callable[[Path], Path]] = {
    "plain": lambda path: path,
    "gzip": pack,
    "zstd": lambda path: pack(path, zstd.compress, ".zst"),
}


@pytest.mark.parametrize("packed", PACKINGS.values(), ids=PACKINGS)
def test_what_was_rotated_while_dozor_was_down_is_read_from_where_it_stood(
    log: Path, packed: Callable[[Path], Path]
) -> None:
    follower = Follower(log)
    follower.take()
    follower.crash()
    append(log, lines(50, 10))
    old = rename(log)
    log.write_bytes(lines(60, 10))
    packed(old)
    follower.start()
    assert follower.take() == lines(50, 20)
    follower.crash()
    follower.start()
    assert follower.take() == b""


@pytest.mark.parametrize("packed", PACKINGS.values(), ids=PACKINGS)
def test_files_that_came_and_went_while_dozor_was_down_are_read_in_their_order(
    log: Path, packed: Callable[[Path], Path]
) -> None:
    log.with_name("access.log.1").write_bytes(lines(900, 10))  # before Dozor's time
    follower = Follower(log)
    follower.take()
    follower.crash()
    append(log, lines(50, 10))
    rename(log)
    log.write_bytes(lines(60, 10))
    packed(rename(log))
    log.write_bytes(lines(70, 10))
    packed(rename(log))
    log.write_bytes(lines(80, 10))
    packed(log.with_name("access.log.3"))
    follower.start()
    assert follower.take() == lines(50, 40)


@pytest.mark.parametrize("packed", PACKINGS.values(), ids=PACKINGS)
def test_a_copytruncate_while_dozor_was_down_loses_nothing(log: Path, packed: Callable[[Path], Path]) -> None:
    follower = Follower(log)
    follower.take()
    follower.crash()
    append(log, lines(50, 10))
    packed(copytruncate(log))
    append(log, lines(60, 80))
    follower.start()
    assert follower.take() == lines(50, 90)


def test_a_dated_rotation_is_found_too(log: Path) -> None:
    follower = Follower(log)
    follower.take()
    follower.crash()
    append(log, lines(50, 10))
    pack(log.rename(log.with_name("access.log-20261122")))
    log.write_bytes(lines(60, 10))
    log.rename(log.with_name("access.log-20261123"))
    log.write_bytes(lines(70, 10))
    follower.start()
    assert follower.take() == lines(50, 30)


@pytest.mark.parametrize("packed", PACKINGS.values(), ids=PACKINGS)
def test_an_intent_comes_again_as_the_same_range_wherever_the_file_went(
    log: Path, packed: Callable[[Path], Path]
) -> None:
    follower = Follower(log)
    first = follower.next()
    follower.keep(first.mark)
    follower.crash()  # killed in mid-insert
    append(log, lines(50, 10))
    old = rename(log)
    log.write_bytes(lines(60, 10))
    packed(old)
    follower.start()
    again = follower.next()
    assert (again.mark.token, again.data, again.first_line) == (
        first.mark.token,
        first.data,
        first.first_line,
    )
    follower.keep(again.after)
    assert follower.take() == lines(50, 20)


def test_an_intent_keeps_its_token_though_a_copy_lacks_some_of_its_lines(log: Path) -> None:
    follower = Follower(log)
    shutil.copy2(log, log.with_name("access.log.1"))
    append(log, lines(50, 10))
    first = follower.next()
    follower.keep(first.mark)
    follower.crash()
    os.truncate(log, 0)
    append(log, lines(60, 10))
    follower.start()
    again = follower.next()
    assert again.mark.token == first.mark.token
    assert again.data == lines(0, 50)
    follower.keep(again.after)
    assert follower.take() == lines(60, 10)


def test_a_file_that_is_gone_for_good_is_told_once(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    follower = Follower(log)
    follower.take()
    follower.crash()
    log.unlink()
    log.write_bytes(lines(100, 5))
    follower.start()
    assert follower.take() == lines(100, 5)
    assert f"{log} was rotated away while nobody followed it" in caplog.text
    follower.take(after=LINGER)
    follower.crash()
    caplog.clear()
    follower.start()
    follower.take()
    assert caplog.text == ""


def test_a_pattern_finds_logs_that_come_later_and_keeps_them_apart(tmp_path: Path) -> None:
    (tmp_path / "site-1.log").write_bytes(lines(0, 3))
    follower = Follower(tmp_path / "*.log")
    assert follower.take() == lines(0, 3)
    (tmp_path / "site-2.log").write_bytes(lines(10, 3))
    assert follower.take() == lines(10, 3)
    names = [str(tmp_path / name) for name in ("site-1.log", "site-2.log")]
    assert [log.name for log in follower.source.followed()] == names
    rename(tmp_path / "site-1.log")
    (tmp_path / "site-1.log").write_bytes(line(20))
    assert follower.take() == line(20)
    assert {mark.name for mark in follower.marks.values()} == set(names)


def test_a_pattern_that_matches_rotated_files_asks_for_the_past(log: Path) -> None:
    pack(log.rename(log.with_name("access.log.2")))
    log.with_name("access.log.1").write_bytes(lines(50, 10))
    log.write_bytes(lines(60, 10))
    follower = Follower(f"{log}*")
    assert follower.take() == lines(0, 70)
    assert {mark.name for mark in follower.marks.values()} == {str(log)}
    rename(log)
    log.write_bytes(lines(70, 1))
    assert follower.take() == lines(70, 1)
    pack(log.with_name("access.log.1"))
    assert follower.take() == b""
    follower.crash()
    follower.start()
    assert follower.take() == b""


def test_a_path_alone_does_not_ask_for_the_past(log: Path) -> None:
    log.with_name("access.log.1").write_bytes(lines(100, 10))
    assert Follower(log).take() == lines(0, 50)


def test_a_log_that_is_named_otherwise_at_the_next_start_goes_on(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = Follower(log)
    follower.take()
    monkeypatch.chdir(log.parent)
    for pattern in ("access.log", f"{log}*", "*.log", log):
        follower.crash()
        follower.pattern = pattern
        follower.start()
        assert follower.take() == b""


def test_a_log_that_several_patterns_mean_is_followed_once(log: Path) -> None:
    (log.parent / "other.log").write_bytes(line(100))
    sources = tail_sources([f"{log.parent}/*.log", str(log), f"{log}*"])
    for source in sources:
        source.open([])
    assert [text(take_all(source)) for source in sources] == [line(100), lines(0, 50), b""]


def test_a_line_longer_than_the_limit_is_read_nevertheless(log: Path) -> None:
    append(log, line(50, agent="x" * 5000) + line(51))
    assert Follower(log).take(limit=1000) == lines(0, 50) + line(50, agent="x" * 5000) + line(51)


def test_a_line_without_measure_is_cut_and_its_rest_dropped(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "LONGEST_LINE", 2000)
    monkeypatch.setattr(tail, "_CUT_LINE", 100)
    follower = Follower(log)
    follower.take()
    long = line(50, agent="x" * 9000)
    append(log, long[:5000])
    assert follower.take(limit=500) == long[:100]
    follower.crash()
    follower.start()
    assert follower.take(limit=500) == b""
    append(log, long[5000:] + line(51))
    assert follower.take(limit=500) == line(51)


def test_what_cannot_be_followed_is_told_and_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.mkdir()
    follower = Follower(log)
    follower.take()
    assert f"'{log}' is no regular file." in follower.source.followed()[0].reason
    log.rmdir()
    log.write_bytes(line(1))
    assert follower.take() == line(1)
    assert follower.source.followed()[0].reason == ""


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    os.mkfifo(log)
    follower = Follower(log)
    assert follower.take() == b""
    assert "is no regular file" in follower.source.followed()[0].reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_told_and_tried_again(log: Path) -> None:
    log.chmod(0)
    follower = Follower(log)
    assert follower.take() == b""
    assert "permission denied" in follower.source.followed()[0].reason
    log.chmod(0o644)
    assert follower.take() == lines(0, 50)


def test_a_damaged_archive_gives_what_is_whole_and_holds_up_nothing(log: Path) -> None:
    follower = Follower(log)
    follower.take()
    follower.crash()
    append(log, lines(50, 3000))
    packed = pack(rename(log))
    packed.write_bytes(packed.read_bytes()[:-2000])
    log.write_bytes(lines(9000, 10))
    follower.start()
    got = follower.take() + follower.take()
    assert got.endswith(lines(9000, 10))
    assert len(got) > 50_000
    assert "is cut short" in follower.source.followed()[0].reason
    follower.take(after=LINGER / 2)
    assert "is cut short" in follower.source.followed()[0].reason
    follower.take(after=LINGER)
    follower.take()
    assert follower.source.followed()[0].reason == ""
    assert all(mark.finished or mark.offset == 870 for mark in follower.marks.values())


class Disk:
    """A disk that does not answer: reading files on it fails while `now` is true."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = False
        for name in ("status", "read"):
            monkeypatch.setattr(Plain, name, self._failing(getattr(Plain, name)))

    def _failing(self, done: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            if self.now:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return done(*arguments)

        return call


def test_a_disk_that_was_away_is_told_until_it_is_back(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, follower = Disk(monkeypatch), Follower(log)
    assert follower.take() == lines(0, 50)
    for round_ in range(2):  # a second time long after does not count as the rest of the first
        append(log, line(50 + round_))
        disk.now = True
        assert follower.take() == b""
        assert os.strerror(errno.ESTALE) in follower.source.followed()[0].reason
        disk.now = False
        assert follower.take(after=20) == line(50 + round_)
        follower.take()
        assert follower.source.followed()[0].reason == ""
        follower.clock.now += 2 * LINGER
    assert not any(mark.finished for mark in follower.marks.values())


def test_a_folder_that_may_not_be_listed_breaks_no_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: object) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)

    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "access.log").write_bytes(lines(0, 50))
    monkeypatch.setattr(os, "listdir", refuse)
    assert Follower(tmp_path / "*" / "access.log").take() == lines(0, 50)


def test_an_intent_outlives_a_file_that_cannot_be_read_for_now(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, follower = Disk(monkeypatch), Follower(log)
    first = follower.next()
    follower.keep(first.mark)
    follower.crash()
    append(log, lines(50, 10))
    follower.start()
    disk.now = True
    assert follower.source.next(1 << 20) is None
    disk.now = False
    follower.clock.now += 20
    again = follower.next()
    assert (again.mark.token, again.again) == (first.mark.token, True)


def test_a_file_that_was_renamed_while_it_was_opened_is_not_taken_for_another(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, opened = Follower(log), open_reader
    follower.take()
    follower.crash()

    def rotate_first(path: Path) -> Plain | Packed:
        monkeypatch.setattr(tail, "open_reader", opened)
        append(log, line(50))
        rename(log)
        log.write_bytes(lines(51, 100))
        return opened(path)

    append(log, b"")
    monkeypatch.setattr(tail, "open_reader", rotate_first)
    follower.start()
    assert follower.take() == lines(50, 101)


def test_of_the_files_that_were_let_go_only_the_latest_are_remembered(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "_REMEMBERED", 3)
    follower = Follower(log)
    for number in range(8):
        follower.take()
        rename(log)
        log.write_bytes(lines(100 * number, 10))
        follower.take(after=LINGER)
        follower.take(after=LINGER)
    assert len(follower.source._marks) == 3
    assert follower.take() == b""


def test_a_log_that_grows_without_end_holds_up_no_other(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.log").write_bytes(lines(0, 20))
    source = Follower(tmp_path / "*.log").source
    source.scan()
    taken = [source.next(200) for _ in range(6)]
    names = [arrival.mark.name for arrival in taken if arrival is not None]
    assert len(set(names[:3])) == 3
    assert names[3:] == names[:3]


def test_an_entry_of_an_error_log_is_not_cut_in_its_lines(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    entry = b"2026/11/22 10:00:00 [error] 7#7: *1 PHP message: oops\n  at one\n  at two\n"
    log.write_bytes(entry * 10)
    source = Follower(log).source
    arrivals = take_all(source, 3 * len(entry) + 60)
    assert [len(arrival.data) for arrival in arrivals] == [3 * len(entry)] * 3 + [len(entry)]
