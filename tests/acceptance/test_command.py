"""The installed command, as a shell runs it."""

from __future__ import annotations

import json
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
@pytest.mark.parametrize("command", ["up", "report", "detect", "demo", "settings", "version"])
def test_every_command_helps_in_both_languages(command: str, language: str) -> None:
    done = dozor("--lang", language, command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith({"en": "Usage: dozor ", "ru": "Использование: dozor "}[language])


def test_no_traceback_reaches_standard_error() -> None:
    done = dozor("settings", LOG_LEVEL="loud")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("dozor: LOG_LEVEL (environment) is 'loud'")


@pytest.mark.parametrize("words", [["settings"], ["report"], ["report", "--json"], ["report", "--html", "-"]])
def test_a_reader_that_goes_away_is_no_error(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [DOZOR, *words], input="noise\n", stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert done.returncode == 141
    assert "Broken" not in done.stderr


def test_the_settings_in_force_are_those_that_options_set() -> None:
    done = dozor("--lang", "ru", "-v", "settings", "--json", LOG_LEVEL="error")
    rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(done.stdout)}
    assert rows["lang"] == ("ru", "option")
    assert rows["log_level"] == ("info", "option")
    assert rows["log_format"] == ("text", "default")


def test_the_log_level_of_other_programs_is_understood() -> None:
    assert "log_level = warning  (environment)" in dozor("settings", LOG_LEVEL="WARNING").stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["repor"], "No such command 'repor'. Did you mean 'report'? See 'dozor --help'."),
        (
            ["report", "--jsn"],
            "No such option '--jsn'. Did you mean one of: '--json', '--since'? See 'dozor report --help'.",
        ),
    ],
)
def test_a_mistyped_word_is_answered_with_what_is_spelt_alike(words: list[str], told: str) -> None:
    assert dozor(*words, LC_ALL="C.UTF-8").stderr == f"dozor: {told}\n"
