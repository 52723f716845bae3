"""The installed command, as a shell runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DOZOR = Path(sys.executable).with_name("dozor")
HEAVY = ("polars", "pyarrow", "numpy", "pydantic", "hyperscan", "rich", "yaml")


def dozor(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DOZOR, *words], env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from dozor.app.cli import main; main(['--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("command", ["report", "detect", "demo", "settings", "version"])
def test_every_command_helps_in_both_languages(command: str, language: str) -> None:
    done = dozor("--lang", language, command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith({"en": "Usage: dozor ", "ru": "Использование: dozor "}[language])


def test_no_traceback_reaches_standard_error() -> None:
    done = dozor("settings", LOG_LEVEL="loud")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("dozor: LOG_LEVEL (environment) is 'loud'")


def test_a_reader_that_goes_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([DOZOR, "settings"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
