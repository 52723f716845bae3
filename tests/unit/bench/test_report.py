from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import report

LOG = (
    '192.0.2.1 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 10 "-" "a b c"\n'
    '192.0.2.2 - - [22/Nov/2026:10:00:01 +0000] "GET /x HTTP/1.1" 404 - "-" "a"\n'
    '192.0.2.1 - - [22/Nov/2026:10:00:02 +0000] "GET /y HTTP/1.1" 200 4294967296 "-" "a"\n'
)
REPORTED = {
    "requests": 3,
    "rejected": 0,
    "unique_clients": 2,
    "bytes": 4294967306,
    "status": {"200": 2, "404": 1},
    "attack_requests": 0,
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text(LOG, encoding="ascii")
    return path


def test_equal_counts_are_said_to_be_equal(log: Path) -> None:
    said: list[str] = []
    theirs = {"general": {"valid_requests": 3, "bandwidth": 4294967306}}
    assert report._say_counts(log, REPORTED, theirs, said.append)
    assert "equal awk's and GoAccess's" in said[-1]


def test_a_wrong_count_is_named_and_fails(log: Path) -> None:
    said: list[str] = []
    wrong = {**REPORTED, "unique_clients": 3, "status": {"200": 3}}
    assert not report._say_counts(log, wrong, None, said.append)
    assert said[1:] == [
        "DIFFERENT: clients: dozor 3, awk 2",
        "DIFFERENT: status 200: dozor 3, awk 2",
        "DIFFERENT: status 404: dozor 0, awk 1",
    ]


def test_large_logs_have_fewer_pairs_unless_asked() -> None:
    sizes, shares = (1_000_000, 10_000_000), (0.3, 1.0)
    assert [plan.pairs for plan in report.plans(sizes, shares, None)] == [5, 1, 1, 1]
    assert {plan.pairs for plan in report.plans(sizes, shares, 3)} == {3}


def test_fewer_pairs_than_five_are_said() -> None:
    said: list[str] = []
    runs = {"dozor": [report.Run(2.0, 100 << 20)]}
    report._say_runs(report.Plan(1_000_000, 0.3, 1), runs, said.append)
    assert "1 pair (fewer than five" in said[0]
    assert said[-1].split() == ["dozor", "2.00", "2.00", "2.00", "500,000", "100"]


def test_the_ratio_is_that_of_the_medians() -> None:
    said: list[str] = []
    runs = {
        "goaccess": [report.Run(seconds, 1) for seconds in (10.0, 20.0, 90.0)],
        "dozor": [report.Run(seconds, 1) for seconds in (1.0, 2.0, 3.0)],
    }
    report._say_runs(report.Plan(1_000, 0.3, 3), runs, said.append)
    assert "10.0 x faster" in said[-1]
    assert "10.0 to 30.0" in said[-1]


MEASURE = """
import sys
from pathlib import Path
from bench import report
for code in ("pass", "b'x' * 200_000_000"):
    print(report._run([sys.executable, "-c", code], Path(sys.argv[1])).peak)
"""


def test_peak_memory_is_that_of_the_program_alone(tmp_path: Path) -> None:
    # a small process measures, as the bench does: a large one would count its own memory in
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "out")]
    printed = subprocess.run(command, check=True, capture_output=True, cwd=report.ROOT).stdout
    small, large = map(int, printed.split())
    assert large - small > 150_000_000


def test_a_program_that_fails_ends_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nothing is measured"):
        report._run([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "out")
