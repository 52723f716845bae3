from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from dozor.app import cli
from dozor.kernel.errors import JobError, UsageError

Told = tuple[int, str, str]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Told]:
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Told:
        code = cli.main(words)
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Put a command `fail` beside the others that raises what it is told to."""

    def plant(error: BaseException) -> None:
        @click.command
        def fail() -> None:
            raise error

        monkeypatch.setitem(cli.COMMANDS, "fail", (f"{__name__}:fail", "Fail."))
        monkeypatch.setattr(cli, "import_module", lambda _name: type("Module", (), {"fail": fail}))

    return plant


def test_bare_it_prints_its_help(run: Callable[..., Told]) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.startswith("Usage: dozor [OPTIONS] COMMAND [ARGS]...")
    assert all(f"\n  {name} " in out for name in cli.COMMANDS)


def test_help_speaks_the_language_it_is_asked_in(
    run: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("--lang", "ru", "--help")[1].startswith("Использование: dozor [ОПЦИИ] КОМАНДА [АРГУМЕНТЫ]...")
    assert "Команды:" in run("--lang=ru", "-h")[1]
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")
    assert "Показать это сообщение и выйти." in run("--help")[1]
    assert "Show this message and exit." in run("--lang", "en", "--help")[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--nope"], "dozor: No such option '--nope'. See 'dozor --help'.\n"),
        (["nope"], "dozor: No such command 'nope'. See 'dozor --help'.\n"),
        (
            ["settings", "--jso"],
            "dozor: No such option '--jso'. Did you mean '--json'? See 'dozor settings --help'.\n",
        ),
        (["version", "x"], "dozor: Got unexpected extra argument (x). See 'dozor version --help'.\n"),
        (["--lang"], "dozor: Option '--lang' requires an argument. See 'dozor --help'.\n"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(run: Callable[..., Told], words: list[str], told: str) -> None:
    assert run(*words) == (2, "", told)


def test_wrong_usage_is_told_in_russian(run: Callable[..., Told]) -> None:
    code, _out, err = run("--lang", "ru", "settings", "--nope")
    assert code == 2
    assert err == "dozor: Нет опции '--nope'. См. 'dozor settings --help'.\n"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (JobError("The file\nis gone.", hint="Look again."), 1, "dozor: The file is gone. Look again.\n"),
        (UsageError("No field 'x'."), 2, "dozor: No field 'x'.\n"),
        (JobError("Refused with token=abcdefgh."), 1, "dozor: Refused with token=***\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (click.ClickException("Cannot."), 1, "dozor: Cannot.\n"),
    ],
)
def test_an_end_that_is_no_success_is_one_line_and_its_exit_code(
    run: Callable[..., Told],
    failing: Callable[[BaseException], None],
    error: BaseException,
    code: int,
    told: str,
) -> None:
    failing(error)
    assert run("fail") == (code, "", told)


def test_a_bug_shows_one_line_and_keeps_its_traceback_for_the_debug_log(
    run: Callable[..., Told], failing: Callable[[BaseException], None], caplog: pytest.LogCaptureFixture
) -> None:
    failing(ZeroDivisionError("division by zero"))
    with caplog.at_level(logging.DEBUG, logger="dozor"):
        code, out, err = run("fail")
    assert (code, out) == (1, "")
    assert err == (
        "dozor: unexpected ZeroDivisionError: division by zero. "
        "This is a bug; -vv logs the details for a report.\n"
    )
    assert caplog.records[-1].exc_info is not None


def test_settings_are_printed_with_value_source_and_help(
    run: Callable[..., Told], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOZOR_TRAFFIC__TRUSTED_PROXIES", "10.0.0.0/8,192.168.0.0/16")
    (tmp_path / "dozor.yaml").write_text("traffic: {json_fields: {ip: remote_addr}}")
    code, out, _err = run("settings")
    assert code == 0
    assert "traffic.trusted_proxies = 10.0.0.0/8, 192.168.0.0/16  (environment)\n" in out
    assert "traffic.json_fields = ip=remote_addr  (dozor.yaml)\n" in out
    assert "    Least severity that is logged. LOG_LEVEL\n" in out


def test_settings_are_printed_as_json(run: Callable[..., Told]) -> None:
    rows = json.loads(run("settings", "--json")[1])
    assert rows[1] == {
        "name": "log_level",
        "variable": "LOG_LEVEL",
        "value": "warning",
        "source": "default",
        "help": "Least severity that is logged.",
    }


def test_a_bad_setting_is_one_line_and_exit_2(run: Callable[..., Told], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("log_level: loud")
    code, out, err = run("--config", "mine.yaml", "settings")
    assert (code, out) == (2, "")
    assert err.startswith("dozor: log_level (mine.yaml) is 'loud': use one of 'debug',")


@pytest.mark.parametrize(
    ("words", "level"),
    [
        ([], logging.WARNING),
        (["-v"], logging.INFO),
        (["-vv"], logging.DEBUG),
        (["-vvv"], logging.DEBUG),
        (["--log-level", "ERROR", "-v"], logging.ERROR),
    ],
)
def test_the_log_level_is_chosen_on_the_command_line(
    run: Callable[..., Told], words: list[str], level: int
) -> None:
    assert run(*words, "settings")[0] == 0
    assert logging.getLogger().level == level


def test_a_language_from_the_settings_file_is_spoken(run: Callable[..., Told], tmp_path: Path) -> None:
    (tmp_path / "dozor.yaml").write_text("lang: ru")
    assert "(по умолчанию)" in run("settings")[1]
    assert "(default)" in run("--lang", "en", "settings")[1]


def test_versions_name_dozor_python_and_every_library(run: Callable[..., Told]) -> None:
    lines = run("version")[1].splitlines()
    assert lines[0].startswith("dozor ")
    assert lines[1].startswith("python 3.")
    assert {"polars", "pyarrow", "hyperscan"} <= {line.split()[0] for line in lines}
