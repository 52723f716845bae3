"""Reading logs: every byte once, in order, whatever the packing; broken files say where and what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.traffic.adapters.files import FileChunk, input_size, open_chunks
from dozor.kernel.errors import JobError
from dozor.kernel.i18n import use_language

LOG = b"".join(b'198.51.100.%d - - "GET /page/%d HTTP/1.1" 200\n' % (n % 250, n) for n in range(5_000))

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
PACKED = {name: pack for name, pack in PACKINGS.items() if name != "plain"}


def joined(chunks: Iterator[FileChunk]) -> bytes:
    return b"".join(bytes(chunk.data) for chunk in chunks)


def put(folder: Path, data: bytes, name: str = "access.log") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def until_failure(path: Path, **options: int) -> tuple[bytes, JobError]:
    got: list[bytes] = []
    with pytest.raises(JobError) as caught:
        got.extend(bytes(chunk.data) for chunk in open_chunks(path, **options))
    return b"".join(got), caught.value


@pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS)
def test_every_packing_gives_the_same_bytes_whatever_the_name(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = put(tmp_path, pack(LOG), "access.log.1")
    assert joined(open_chunks(path, size=10_000)) == LOG


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
def test_all_members_of_a_packed_file_are_read_as_one(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    middle = len(LOG) // 2 + 7
    path = put(tmp_path, pack(LOG[:middle]) + pack(b"") + pack(LOG[middle:]))
    assert joined(open_chunks(path, size=10_000)) == LOG


def test_zero_bytes_after_a_gzip_member_are_padding(tmp_path: Path) -> None:
    path = put(tmp_path, gzip.compress(LOG) + bytes(5_000) + gzip.compress(b"last\n") + bytes(512))
    assert joined(open_chunks(path)) == LOG + b"last\n"


def test_a_gzip_that_unpacks_to_very_much_comes_in_chunks_of_the_asked_size(tmp_path: Path) -> None:
    path = put(tmp_path, gzip.compress(b"GET / HTTP/1.1\n" * 2_000_000))
    sizes = [len(chunk.data) for chunk in open_chunks(path, size=1 << 20)]
    assert max(sizes) <= (1 << 20) + 15
    assert sum(sizes) == 15 * 2_000_000


lines = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"\r")), max_size=30)


@given(lines=lines, size=st.integers(1, 60), ended=st.booleans(), packing=st.sampled_from(list(PACKINGS)))
def test_chunks_tile_the_log_at_line_ends_with_true_offsets_and_line_numbers(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size: int, packing: str, *, ended: bool
) -> None:
    log = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    if packing == "plain" and any(log.startswith(pack(b"")[:2]) for pack in PACKED.values()):
        return
    path = put(tmp_path_factory.mktemp("log"), PACKINGS[packing](log))
    offset, line = 0, 1
    chunks = list(open_chunks(path, size=size))
    for chunk in chunks:
        assert (chunk.offset, chunk.first_line) == (offset, line)
        assert len(chunk.data) > 0
        offset += len(chunk.data)
        line += bytes(chunk.data).count(b"\n")
    assert joined(iter(chunks)) == log
    assert all(bytes(chunk.data).endswith(b"\n") for chunk in chunks[:-1])


def test_an_unfinished_last_line_is_delivered_and_crlf_stays(tmp_path: Path) -> None:
    path = put(tmp_path, b"one\r\ntwo\r\nthr")
    assert joined(open_chunks(path, size=6)) == b"one\r\ntwo\r\nthr"


def test_an_empty_file_has_no_chunks(tmp_path: Path) -> None:
    assert list(open_chunks(put(tmp_path, b""))) == []
    assert list(open_chunks(put(tmp_path, gzip.compress(b"")))) == []


def test_a_chunk_grows_for_a_long_line(tmp_path: Path) -> None:
    long = b"x" * 70_000 + b"\n"
    path = put(tmp_path, b"a\n" + long + b"b\n")
    chunks = [bytes(chunk.data) for chunk in open_chunks(path, size=1_000)]
    assert b"".join(chunks) == b"a\n" + long + b"b\n"
    assert any(long in chunk for chunk in chunks)


@pytest.mark.parametrize("ended", [True, False])
def test_a_line_beyond_all_bounds_is_cut_and_what_follows_keeps_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, ended: bool
) -> None:
    long = b"x" * 400_000
    after = b"\nafter\n" if ended else b""
    path = put(tmp_path, b"before\n" + long + after)
    chunks = list(open_chunks(path, size=1_000, longest_line=100_000))
    assert [bytes(chunk.data)[:20] for chunk in chunks] == [b"before\n", b"x" * 20, b"after\n"][: len(chunks)]
    assert len(chunks) == (3 if ended else 2)
    assert len(chunks[1].data) <= 100_000
    assert b"\n" not in bytes(chunks[1].data)
    assert (chunks[1].first_line, chunks[1].offset) == (2, 7)
    if ended:
        assert (chunks[2].first_line, chunks[2].offset) == (3, 7 + 400_001)
    assert "Line 2 of" in caplog.text


def test_consumed_ends_at_the_size_of_the_file(tmp_path: Path) -> None:
    for pack in PACKINGS.values():
        path = put(tmp_path, pack(LOG))
        consumed = [chunk.consumed for chunk in open_chunks(path, size=10_000)]
        assert consumed[-1] == input_size(path) == path.stat().st_size
        assert all(before <= after for before, after in pairwise(consumed))


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("end", [slice(3), slice(12), slice(0, -300), slice(0, -1)], ids=str)
def test_a_cut_short_file_fails_after_its_whole_lines(
    tmp_path: Path, pack: Callable[[bytes], bytes], end: slice
) -> None:
    path = put(tmp_path, pack(LOG)[end])
    got, error = until_failure(path, size=10_000)
    assert LOG.startswith(got)
    assert got == b"" or got.endswith(b"\n")
    assert str(path) in error.message
    assert "cut short" in error.message
    whole = got.count(b"\n")
    assert f"{whole} line{'' if whole == 1 else 's'} before that" in error.hint
    assert error.exit_code == 1


def test_a_damaged_gzip_fails_and_names_itself(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LOG))
    packed[-6] ^= 0xFF  # the checksum, so that all lines could be unpacked before
    path = put(tmp_path, bytes(packed))
    got, error = until_failure(path, size=10_000)
    assert LOG.startswith(got)
    assert "is damaged" in error.message
    assert str(path) in error.message


@pytest.mark.parametrize("name", ["zstd", "bzip2", "xz"])
def test_damage_in_the_middle_is_found_in_every_packing(tmp_path: Path, name: str) -> None:
    packed = bytearray(PACKINGS[name](LOG))
    packed[len(packed) // 2 :] = bytes(reversed(packed[len(packed) // 2 :]))
    _got, error = until_failure(put(tmp_path, bytes(packed)))
    assert "is damaged" in error.message


def test_garbage_after_a_member_is_damage(tmp_path: Path) -> None:
    got, error = until_failure(put(tmp_path, gzip.compress(LOG) + b"garbage, and no member"))
    assert got == LOG
    assert "is damaged" in error.message


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    for call in (input_size, lambda path: list(open_chunks(path))):
        with pytest.raises(JobError) as caught:
            call(tmp_path / "absent.log")
        assert str(tmp_path / "absent.log") in caught.value.message
        assert "no such file" in caught.value.message
        assert caught.value.hint


def test_a_directory_is_named_with_the_way_out(tmp_path: Path) -> None:
    for call in (input_size, lambda path: list(open_chunks(path))):
        with pytest.raises(JobError) as caught:
            call(tmp_path)
        assert "is a directory" in caught.value.message
        assert f"{tmp_path}/*.log" in caught.value.hint


@contextmanager
def as_nobody() -> Iterator[None]:
    """Lay down root's rights, which no file permission would stop."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_unreadable_file_says_who_may_read_it(tmp_path: Path) -> None:
    path = put(tmp_path, LOG)
    path.chmod(0)
    for call in (input_size, lambda path: list(open_chunks(path))):
        with as_nobody(), pytest.raises(JobError) as caught:
            call(path)
        assert "permission denied" in caught.value.message
        assert "adm" in caught.value.hint


def test_other_failures_of_the_system_are_one_line_too(tmp_path: Path) -> None:
    loop = tmp_path / "loop.log"
    loop.symlink_to(loop)
    with pytest.raises(JobError) as caught:
        input_size(loop)
    assert str(loop) in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_disk_that_fails_at_once_is_one_line_too() -> None:
    with pytest.raises(JobError, match="/proc/self/mem"):
        list(open_chunks("/proc/self/mem"))


def test_errors_of_the_reader_thread_speak_the_callers_language(tmp_path: Path) -> None:
    path = put(tmp_path, gzip.compress(LOG)[:-20])
    _got, english = until_failure(path)
    with use_language("ru"):
        _got, russian = until_failure(path)
    assert str(path) in russian.message
    assert russian.message != english.message


def test_standard_input_is_read_packed_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for pack in PACKINGS.values():
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(LOG))))
        assert joined(open_chunks("-", size=10_000)) == LOG
    assert input_size("-") is None


def test_a_pipe_is_read_to_its_end_and_has_no_size(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert input_size(pipe) is None
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(LOG),))
    writer.start()
    assert joined(open_chunks(pipe, size=10_000)) == LOG
    writer.join()


def test_ending_early_closes_the_file_and_ends_the_reader(tmp_path: Path) -> None:
    path = put(tmp_path, LOG)
    chunks = open_chunks(path, size=100)
    next(chunks)
    readers = [thread for thread in threading.enumerate() if thread.name == "dozor-read-ahead"]
    chunks.close()  # type: ignore[attr-defined] # a generator, which callers need not know
    for reader in readers:
        reader.join(timeout=10)
    assert not any(reader.is_alive() for reader in readers)
