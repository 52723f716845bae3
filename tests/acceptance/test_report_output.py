"""Where `dozor report` writes to: links, pipes, terminals of another charset."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_DOZOR = Path(sys.executable).with_name("dozor")


def _run(*words: object, **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [_DOZOR, *map(str, words)], capture_output=True, env={**os.environ, **environ}, check=False
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text('192.0.2.9 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8.5"\n')
    return path


def test_the_page_goes_through_a_link_and_into_a_pipe(log: Path, tmp_path: Path) -> None:
    page, link, pipe = tmp_path / "page.html", tmp_path / "link.html", tmp_path / "pipe"
    link.symlink_to(page)
    assert _run("report", log, "--html", link).returncode == 0
    assert link.is_symlink()
    assert page.read_text().lower().startswith("<!doctype html>")
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:  # a small page fits into it
        assert _run("report", log, "--html", pipe).returncode == 0
        assert pipe.is_fifo()
        assert reader.read().lower().startswith(b"<!doctype html>")


def test_a_charset_without_our_signs_gets_question_marks(log: Path) -> None:
    done = _run("--lang", "ru", "report", log, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"192.0.2.9" in done.stdout


def test_a_full_disk_is_told_and_is_no_bug(log: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [_DOZOR, "report", log, "--json"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert b"disk is full" in done.stderr
    assert done.stderr.count(b"\n") == 1
