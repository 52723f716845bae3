"""What every scanner promises, the one for production and the double alike."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dozor.features.threats.adapters.hyperscan import HyperscanScanner
from dozor.features.threats.core.rules import expressions, load_rules
from dozor.features.threats.ports import Scanner
from dozor.kernel.errors import SettingsError
from dozor.testing.threats import InMemoryScanner

Build = Callable[[Sequence[str]], Scanner]


@pytest.fixture(params=[HyperscanScanner, InMemoryScanner], ids=["hyperscan", "in memory"])
def build(request: pytest.FixtureRequest) -> Build:
    built: Build = request.param
    return built


def pairs(scanner: Scanner, text: bytes) -> set[tuple[int, int]]:
    rows, numbers = scanner.scan(text)
    return set(zip(rows.tolist(), numbers.tolist(), strict=True))


def test_each_row_is_paired_with_what_it_holds(build: Build) -> None:
    scanner = build(["union", r"id=\d+", "zzz"])
    assert pairs(scanner, b"/a?id=1 union\n/b\n/c?id=23\n") == {(0, 0), (0, 1), (2, 1)}


def test_case_does_not_matter(build: Build) -> None:
    assert pairs(build(["select"]), b"SeLeCT\n") == {(0, 0)}


def test_anchors_and_line_feeds_mean_row_ends(build: Build) -> None:
    scanner = build(["^cat", "cat$", r"\ncat", r"cat\n"])
    assert pairs(scanner, b"cat\nthe cat\ncatalog\n") == {
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (1, 1),
        (1, 3),
        (2, 0),
        (2, 2),
    }


def test_a_dot_stays_in_its_row(build: Build) -> None:
    assert pairs(build(["a.*b"]), b"a\nb\nab\n") == {(2, 0)}


def test_bytes_of_any_kind_are_found(build: Build) -> None:
    assert pairs(build(["\xac\xed", "é"]), b"\xac\xed\x00\n\xe9\n") == {(0, 0), (1, 1)}


def test_nothing_is_found_in_nothing(build: Build) -> None:
    assert pairs(build(["a"]), b"") == set()


def test_threads_may_scan_at_once(build: Build) -> None:
    scanner = build(["needle"])
    texts = [b"hay\n" * n + b"needle\n" for n in range(50)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: pairs(scanner, text), texts))
    assert found == [{(n, 0)} for n in range(50)]


def test_a_compiled_database_is_used_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache, texts = tmp_path / "cache", expressions(load_rules()).texts
    with caplog.at_level(logging.DEBUG):
        first = HyperscanScanner(texts, cache_dir=cache)
        caplog.clear()
        second = HyperscanScanner(texts, cache_dir=cache)
    assert caplog.records == []
    assert cache.stat().st_mode & 0o777 == 0o700
    text = b"/?id=1' union select 1\n/clean\n"
    assert pairs(first, text) == pairs(second, text) != set()


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x00" * 4096])
def test_a_damaged_cache_is_compiled_anew(tmp_path: Path, content: bytes) -> None:
    HyperscanScanner(["needle"], cache_dir=tmp_path)
    (stored,) = tmp_path.glob("*.hs")
    stored.write_bytes(content)
    assert pairs(HyperscanScanner(["needle"], cache_dir=tmp_path), b"needle\n") == {(0, 0)}


def test_a_cache_that_others_may_write_is_not_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    HyperscanScanner(["needle"], cache_dir=tmp_path)
    tmp_path.chmod(0o777)
    with caplog.at_level(logging.DEBUG):
        scanner = HyperscanScanner(["needle"], cache_dir=tmp_path)
    assert "could have been written by others" in caplog.text
    assert pairs(scanner, b"needle\n") == {(0, 0)}


def test_a_cache_folder_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    scanner = HyperscanScanner(["needle"], cache_dir=blocked / "cache")
    assert pairs(scanner, b"needle\n") == {(0, 0)}
    assert list(tmp_path.iterdir()) == [blocked]


def test_a_pattern_that_hyperscan_does_not_know_is_named() -> None:
    with pytest.raises(SettingsError, match=r"'a\(\?=b\)' cannot be compiled"):
        HyperscanScanner(["fine", *"bcdefgh", "also fine", "a(?=b)"])


def test_what_old_rules_left_in_the_cache_goes_after_a_month(tmp_path: Path) -> None:
    old, recent = tmp_path / "rules-old.hs", tmp_path / "rules-recent.hs"
    for path in (old, recent):
        path.write_bytes(b"left behind")
    os.utime(old, (0, 0))
    HyperscanScanner(["needle"], cache_dir=tmp_path)
    assert not old.exists()
    assert recent.exists()
