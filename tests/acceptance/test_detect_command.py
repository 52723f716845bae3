"""`dozor detect`: one verdict per line, in order, whatever stands in the log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_DOZOR = Path(sys.executable).with_name("dozor")
_TIME = "22/Nov/2026:10:00:00 +0000"


def _line(target: str, agent: str = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0") -> str:
    return f'192.0.2.7 - - [{_TIME}] "GET {target} HTTP/1.1" 200 12 "-" "{agent}"'


def _detect(path: Path, *words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [_DOZOR, "detect", path, "--jsonl", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_line_gets_its_verdict_in_order(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    lines = [
        _line("/news?id=7"),
        _line("/news?id=7%27%20OR%20%271%27=%271"),
        "broken",
        "",
        _line("/download?file=../../../../etc/passwd"),
        _line("/", "sqlmap/1.8.2#stable (https://sqlmap.org)"),
        _line("/.env"),
    ]
    path.write_text("\n".join(lines) + "\n")
    verdicts = _detect(path)
    assert [verdict["line"] for verdict in verdicts] == [1, 2, 3, 5, 6, 7]
    assert [verdict["attack"] for verdict in verdicts] == [False, True, False, True, True, False]
    assert verdicts[2]["error"] == "fields"
    assert (verdicts[1]["client"], verdicts[1]["status"]) == ("192.0.2.7", 200)
    assert verdicts[1]["ts"] == "2026-11-22T10:00:00.000Z"
    assert "sqli" in verdicts[1]["classes"]
    assert "traversal" in verdicts[3]["classes"]
    assert "bad_agent" in verdicts[4]["classes"]
    assert verdicts[5]["classes"] == ["scanner"]
    assert 0 < verdicts[5]["score"] < 0.5 <= verdicts[1]["score"] <= 1
    evidence = verdicts[1]["evidence"][0]
    assert evidence["where"] == "query:id"
    assert "' or '1'='1" in evidence["decoded"].lower()
    assert evidence["matched"]
    assert (verdicts[0]["classes"], verdicts[0]["rules"], verdicts[0]["evidence"]) == ([], [], [])


def test_verdicts_keep_their_lines_over_many_chunks(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    lines = [_line(f"/page/{n}" if n % 1000 else f"/q?id={n}'+UNION+SELECT+1,2,3--") for n in range(120_000)]
    path.write_text("\n".join(lines))
    attacks = [verdict["line"] for verdict in _detect(path, "--where", "attack = true")]
    assert attacks == [n + 1 for n in range(0, 120_000, 1000)]


def test_an_error_log_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text("2026/11/22 10:00:00 [error] 7#7: *1 something failed\n")
    done = subprocess.run([_DOZOR, "detect", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error log" in done.stderr
