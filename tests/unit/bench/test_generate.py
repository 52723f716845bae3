from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.generate import LogSpec, access_log

SAMPLES = {
    "sqli": ["1 UNION SELECT a FROM b", "/x?id=1' OR 1=1"],
    "bad_agent": ['evil "scanner"/1.0'],
}
LINE = re.compile(
    r'(\S+) - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "(?:GET|POST|HEAD) (\S+) HTTP/1\.1" (\d{3}) (\d+) '
    r'"([^"]+)" "([^"]+)"'
)


def rows(spec: LogSpec, folder: Path) -> list[tuple[str, ...]]:
    lines = access_log(spec, SAMPLES, folder).read_text(encoding="ascii").splitlines()
    matches = [LINE.fullmatch(line) for line in lines]
    return [match.groups() for match in matches if match]


def test_a_log_has_exactly_its_lines_and_each_is_combined(tmp_path: Path) -> None:
    assert len(rows(LogSpec(20_000, 0.3), tmp_path)) == 20_000


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_share_of_distinct_targets_is_about_what_was_asked(tmp_path: Path, share: float) -> None:
    targets = [target for _, target, *_ in rows(LogSpec(40_000, share), tmp_path)]
    assert len(set(targets)) / len(targets) == pytest.approx(share, abs=0.05)


def test_all_targets_are_distinct_when_asked_so_attacks_included(tmp_path: Path) -> None:
    targets = [target for _, target, *_ in rows(LogSpec(20_000, 1.0), tmp_path)]
    assert len(set(targets)) == 20_000
    assert any("UNION" in target for target in targets)


def test_clients_come_back_about_thirty_times_and_keep_their_agent(tmp_path: Path) -> None:
    found = rows(LogSpec(30_000, 0.3), tmp_path)
    honest = [(client, agent) for client, *_, agent in found if "evil" not in agent]
    assert len({client for client, _ in honest}) == pytest.approx(1_000, rel=0.05)
    assert len(set(honest)) == len({client for client, _ in honest})


def test_one_line_in_a_hundred_is_an_attack(tmp_path: Path) -> None:
    found = rows(LogSpec(50_000, 0.3), tmp_path)
    attacks = [row for row in found if re.search("UNION|OR%201|evil", f"{row[1]} {row[5]}")]
    assert len(attacks) / len(found) == pytest.approx(0.01, abs=0.002)


def test_a_log_is_made_once_and_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = access_log(LogSpec(5_000, 0.3), SAMPLES, tmp_path / "a")
    made = first.stat().st_mtime_ns
    assert access_log(LogSpec(5_000, 0.3), SAMPLES, tmp_path / "a").stat().st_mtime_ns == made
    assert access_log(LogSpec(5_000, 0.3), SAMPLES, tmp_path / "b").read_bytes() == first.read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == [first.name]


def test_other_parameters_or_samples_give_another_file(tmp_path: Path) -> None:
    paths = {
        access_log(LogSpec(1_000, 0.3), SAMPLES, tmp_path),
        access_log(LogSpec(1_000, 0.3, seed=2), SAMPLES, tmp_path),
        access_log(LogSpec(1_000, 0.4), SAMPLES, tmp_path),
        access_log(LogSpec(1_000, 0.3), {}, tmp_path),
    }
    assert len(paths) == 4
