from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGINT
from subprocess import DEVNULL, PIPE, Popen
from sys import executable
from typing import Final

import pytest
from click.testing import CliRunner, Result

from dozor.features.traffic.cli.demo import build_demo_command
from dozor.kernel.errors import JobError, UsageError

FILES: Final = ("access.log", "error.log", "labels.jsonl")
SMALL: Final = ("--requests-per-day", "500", "--until", "2026-11-20T12:00:00Z", "--seed", "7")


def samples() -> Mapping[str, Sequence[str]]:
    return {"sqli": ["1 UNION SELECT login FROM people"], "bad_agent": ["evilscan/1.0"]}


def demo(out: Path, *arguments: str) -> Result:
    command = build_demo_command(samples)
    call = ["traffic", "--out", str(out), *arguments]
    return CliRunner().invoke(command, call, catch_exceptions=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_one_call_writes_logs_labels_and_how_they_were_made(tmp_path: Path) -> None:
    result = demo(tmp_path / "new" / "demo", *SMALL)
    assert result.exit_code == 0
    written = contents(tmp_path / "new" / "demo")
    assert set(written) == {*FILES, "demo.json"}
    assert all(written.values())
    made = json.loads(written["demo.json"])
    assert made["seed"] == 7
    assert made["lines"] == written["access.log"].count(b"\n")
    assert made["files"] == {name: len(written[name]) for name in FILES}


def test_the_summary_counts_lines_per_label_and_says_what_to_type_next(tmp_path: Path) -> None:
    result = demo(tmp_path, *SMALL)
    counted = Counter(json.loads(line)["label"] for line in lines(tmp_path / "labels.jsonl"))
    shown = dict(line.split() for line in result.stdout.splitlines() if len(line.split()) == 2)
    assert {label: int(shown[label]) for label in counted} == dict(counted)
    assert f"dozor report {tmp_path / 'access.log'}" in result.stdout


@pytest.mark.parametrize("log_format", ["combined", "main", "json"])
def test_the_same_call_writes_the_same_bytes_over_its_own_files(tmp_path: Path, log_format: str) -> None:
    demo(tmp_path, *SMALL, "--format", log_format)
    first = contents(tmp_path)
    demo(tmp_path, *SMALL, "--format", log_format)
    assert contents(tmp_path) == first


def test_labels_point_at_the_lines_of_the_access_log(tmp_path: Path) -> None:
    demo(tmp_path, *SMALL, "--days", "2")
    access = lines(tmp_path / "access.log")
    for entry in map(json.loads, lines(tmp_path / "labels.jsonl")):
        line = access[entry["line"] - 1]
        assert entry["label"] != "sqli" or "UNION" in line
        assert ('"evilscan/1.0"' in line) == (entry["label"] == "bad_agent")


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "access.log"
    foreign.write_text("precious\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"access\.log was not written by this command.*--force"):
        demo(tmp_path, *SMALL)
    assert contents(tmp_path) == {"access.log": b"precious\n"}


def test_a_file_that_changed_since_is_no_longer_ours(tmp_path: Path) -> None:
    demo(tmp_path, *SMALL)
    with (tmp_path / "error.log").open("a", encoding="utf-8") as file:
        file.write("a note\n")
    with pytest.raises(UsageError, match=r"error\.log was not written"):
        demo(tmp_path, *SMALL)


def test_force_overwrites_files_of_others(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text("precious\n", encoding="utf-8")
    assert demo(tmp_path, *SMALL, "--force").exit_code == 0
    assert b"precious" not in (tmp_path / "access.log").read_bytes()


def test_a_path_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(JobError, match="file"):
        demo(tmp_path / "file" / "below", *SMALL)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("--rate", "fast"), "Rate 'fast' cannot be read"),
        (("--rate", "0/s"), "Rate '0/s' cannot be read"),
        (("--rate", "5/s", "--for", "soon"), "Duration 'soon' cannot be read"),
        (("--for", "5s"), "--for needs --rate"),
        (("--until", "yesterday"), "'yesterday'"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], fact: str
) -> None:
    with pytest.raises(UsageError, match=fact):
        demo(tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_live_lines_are_as_many_as_rate_and_time_say(tmp_path: Path) -> None:
    demo(tmp_path, "--rate", "40/s", "--for", "1s")
    assert len(lines(tmp_path / "access.log")) == 40


def test_live_lines_go_on_after_the_backfill_of_the_same_call(tmp_path: Path) -> None:
    demo(tmp_path, *SMALL, "--days", "1")
    backfilled = (tmp_path / "access.log").read_bytes()
    demo(tmp_path, *SMALL, "--days", "1", "--rate", "20/s", "--for", "1s")
    together = (tmp_path / "access.log").read_bytes()
    assert together.startswith(backfilled)
    assert together.count(b"\n") == backfilled.count(b"\n") + 20


def test_live_lines_alone_go_on_in_the_files_of_an_earlier_call(tmp_path: Path) -> None:
    demo(tmp_path, *SMALL)
    before = contents(tmp_path)
    demo(tmp_path, "--rate", "500/s", "--for", "1s")
    after = contents(tmp_path)
    for name in FILES:
        assert after[name].startswith(before[name])
    labelled = [json.loads(line)["line"] for line in lines(tmp_path / "labels.jsonl")]
    assert labelled == sorted(set(labelled))
    assert before["access.log"].count(b"\n") < labelled[-1] <= after["access.log"].count(b"\n")


def test_live_lines_do_not_mix_two_formats_in_a_file(tmp_path: Path) -> None:
    demo(tmp_path, *SMALL, "--format", "main")
    with pytest.raises(UsageError, match=r"in the format main\..*--format main"):
        demo(tmp_path, "--rate", "5/s", "--for", "1s", "--format", "json")


LIVE: Final = """
from dozor.features.traffic.cli.demo import build_demo_command
build_demo_command(dict)(["traffic", "--out", {out!r}, "--rate", "100/s"])
"""


def test_live_lines_can_be_followed_as_they_are_written_until_ctrl_c(tmp_path: Path) -> None:
    access = tmp_path / "access.log"
    code = LIVE.format(out=str(tmp_path))
    with (
        Popen(["tail", "-F", str(access)], stdout=PIPE, stderr=DEVNULL) as reader,
        Popen([executable, "-c", code], stdout=PIPE, stderr=DEVNULL) as live,
    ):
        assert reader.stdout is not None
        followed = [reader.stdout.readline() for _ in range(150)]
        live.send_signal(SIGINT)
        shown, _ = live.communicate(timeout=30)
        reader.terminate()
    assert access.read_bytes().startswith(b"".join(followed))
    assert live.returncode == 0
    assert b"dozor report" in shown
    assert json.loads((tmp_path / "demo.json").read_bytes())["files"]["access.log"] == access.stat().st_size
