"""Chunks are counted the same wherever they are counted, and none is lost with a helper."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dozor.app import beside
from dozor.app.beside import Helper, helpers_for, shared
from dozor.app.pipeline import build_pipeline
from dozor.app.settings import Settings
from dozor.features.traffic.adapters.files import open_chunks
from dozor.features.traffic.core.formats import find_format
from dozor.features.traffic.model import Chunk, Condition, Filters
from dozor.features.traffic.service import CountChunk, Counted, count_chunk

COMBINED = find_format("combined")
LINE = (
    '198.51.100.{n} - - [24/Nov/2026:10:00:{n:02d} +0000] "GET /page/{n}{q} HTTP/1.1" {s} 10 "-" "curl/8"\n'
)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "access.log"
    lines = [LINE.format(n=n, q="?id=1'--" if n % 7 == 0 else "", s=200 + n % 2 * 204) for n in range(60)]
    path.write_text("".join([*lines, "no request\n"]) * 20)
    return path


@pytest.fixture(scope="module")
def here() -> CountChunk:
    return partial(count_chunk, build_pipeline(Settings()), Filters())


@pytest.fixture
def helper() -> Iterator[Helper]:
    helper = Helper(Settings(), None)
    yield helper
    helper.end()


def told(counted: Counted) -> object:
    groups = {name: sorted(map(repr, frame.rows())) for name, frame in counted.partial.groups.items()}
    totals = (counted.partial.requests, counted.partial.bytes, counted.partial.first_ms, counted.parsed)
    return totals, groups, counted.rejects.to_pylist()


def through(helper: Helper, filters: Filters) -> CountChunk:
    def nobody(chunk: Chunk, format_: object, source: str) -> Counted:
        raise AssertionError(
            f"{source} at {chunk.offset} of {format_} should have been counted by the helper"
        )

    helper.begin(filters)
    return beside._Way(helper, nobody)


def test_a_helper_counts_as_this_process_does(log: Path, here: CountChunk, helper: Helper) -> None:
    count = through(helper, Filters())
    for chunk in open_chunks(log, size=20_000):
        assert told(count(chunk, COMBINED, str(log))) == told(here(chunk, COMBINED, str(log)))


def test_a_helper_knows_the_filters(log: Path, helper: Helper) -> None:
    count = through(helper, Filters(where=(Condition("status", ">=", 400),)))
    counted = [count(chunk, COMBINED, str(log)) for chunk in open_chunks(log)]
    assert sum(one.partial.requests for one in counted) == 600
    assert sum(one.parsed for one in counted) == 1200


def test_what_is_no_place_in_a_plain_file_is_sent(here: CountChunk, helper: Helper) -> None:
    chunk = Chunk(LINE.format(n=1, q="", s=200).encode(), 0, 1)
    assert told(through(helper, Filters())(chunk, COMBINED, "-")) == told(here(chunk, COMBINED, "-"))


def test_a_file_that_was_replaced_meanwhile_is_counted_as_it_was_read(
    tmp_path: Path, log: Path, here: CountChunk, helper: Helper
) -> None:
    path = tmp_path / "rotated.log"
    path.write_bytes(log.read_bytes())
    (chunk,) = open_chunks(path)
    expected = told(here(chunk, COMBINED, str(path)))
    path.unlink()
    path.write_text(LINE.format(n=9, q="", s=500) * 2_000)
    helper.begin(Filters())
    assert told(beside._Way(helper, here)(chunk, COMBINED, str(path))) == expected


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_chunks_of_a_killed_helper_are_counted_here(
    log: Path, here: CountChunk, helper: Helper, caplog: pytest.LogCaptureFixture
) -> None:
    count = shared(here, [helper], Filters())
    chunks = list(open_chunks(log, size=20_000))
    os.kill(helper._process.pid, signal.SIGKILL)
    helper._process.wait()
    counted = [count(chunk, COMBINED, str(log)) for chunk in chunks for _ in range(2)]
    assert [told(one) for one in counted] == [
        told(here(chunk, COMBINED, str(log))) for chunk in chunks for _ in range(2)
    ]
    assert "helper process is gone" in caplog.text


def test_helpers_are_started_for_large_logs_alone(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with helpers_for([str(log), "-", "/no/such"], Settings(), None) as none:
        assert none == []
    monkeypatch.setattr(beside, "WORTH_BYTES", 1)
    with helpers_for([str(log)], Settings(), None) as started:
        assert len(started) == max(0, Settings().traffic.workers - 1)
    assert all(helper._process.returncode is not None for helper in started)
