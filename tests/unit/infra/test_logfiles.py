from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dozor.infra import logfiles
from dozor.infra.logging import configure
from dozor.kernel.errors import JobError, SettingsError

SECRET = "hunter2-" + "x" * 20

# spec/000's logging.yaml, but for its folder.
LOGGING_YAML = """
version: 1
disable_existing_loggers: false
formatters:
  standard:
    format: '[%(asctime)s] %(levelname)s [%(name)s:%(lineno)d] %(message)s'
  json:
    class: src.monitoring.logging_system.JSONFormatter
    include_traceback: true
    include_thread_info: true
filters:
  sensitive_filter:
    class: src.monitoring.logging_system.SensitiveDataFilter
    sensitive_fields: [password, token, key, secret, auth]
handlers:
  console:
    class: logging.StreamHandler
    level: INFO
    formatter: standard
    stream: ext://sys.stdout
    filters: [sensitive_filter]
  file:
    class: logging.handlers.RotatingFileHandler
    level: INFO
    formatter: json
    filename: FOLDER/app.log
    maxBytes: 10485760  # 10MB
    backupCount: 10
    filters: [sensitive_filter]
  error_file:
    class: logging.handlers.RotatingFileHandler
    level: ERROR
    formatter: json
    filename: FOLDER/error.log
    maxBytes: 10485760
    backupCount: 5
    filters: [sensitive_filter]
loggers:
  telegram_bot_manager:
    level: INFO
    handlers: [console, file, error_file]
    propagate: false
  uvicorn:
    level: INFO
    handlers: [console, file]
    propagate: false
  sqlalchemy.engine:
    level: WARNING
    handlers: [file]
    propagate: false
root:
  level: INFO
  handlers: [console, file]
"""


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    names = ("dozor", "uvicorn", "sqlalchemy.engine")
    before = [(log, log.handlers[:], log.level, log.propagate) for log in map(logging.getLogger, names)]
    root = logging.getLogger()
    kept = root.handlers[:]
    yield
    for handler in {*root.handlers, *(h for name in names for h in logging.getLogger(name).handlers)}:
        if handler not in kept:
            handler.close()
    for log, handlers, level, propagate in before:
        log.handlers[:], log.level, log.propagate = handlers, level, propagate


def section(folder: Path, **changed: Any) -> dict[str, Any]:
    return {**yaml.safe_load(LOGGING_YAML.replace("FOLDER", str(folder))), **changed}


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_logging_yaml_works_as_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "logs"
    notes = logfiles.apply(section(folder))
    logging.getLogger("dozor.ingest").info("Read %d lines.", 3)
    logging.getLogger("dozor.ingest").error("Away: token=%s", SECRET)
    logging.getLogger("other").info("Also here.")
    assert [entry["message"] for entry in entries(folder / "app.log")] == [
        "Read 3 lines.",
        "Away: token=***",
        "Also here.",
    ]
    assert [entry["message"] for entry in entries(folder / "error.log")] == ["Away: token=***"]
    shown = capsys.readouterr().out
    assert "INFO [dozor.ingest:" in shown
    assert "Read 3 lines." in shown
    assert SECRET not in shown
    assert notes == [
        "logging.formatters.json leaves out include_traceback, include_thread_info.",
        "logging.filters.sensitive_filter is not needed: secrets are masked in every log.",
        "logging.loggers.telegram_bot_manager stands for the logger dozor.",
    ]


def test_files_are_rotated_at_their_size(tmp_path: Path) -> None:
    configure("info", "text")
    logfiles.log_to_folder(tmp_path, "json", max_bytes=300, backups=2)
    for number in range(20):
        logging.getLogger("dozor").info("Line %d.", number)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["app.log", "app.log.1", "app.log.2", "error.log"]
    assert all(path.stat().st_size <= 300 for path in tmp_path.iterdir())
    assert entries(tmp_path / "app.log")[-1]["message"] == "Line 19."


def test_a_renamed_file_is_left_at_reopen(tmp_path: Path) -> None:
    configure("info", "text")
    logfiles.log_to_folder(tmp_path, "text", max_bytes=0, backups=0)
    logging.getLogger("dozor").info("Before.")
    (tmp_path / "app.log").rename(tmp_path / "old.log")
    assert logfiles.reopen() >= 2  # pytest has one of its own
    logging.getLogger("dozor").info("After.")
    assert "Before." in (tmp_path / "old.log").read_text()
    assert (tmp_path / "app.log").read_text().endswith("dozor After.\n")


def test_a_pattern_cannot_be_used_to_forge_a_line(tmp_path: Path) -> None:
    logfiles.apply(
        section(tmp_path, loggers={}, root={"level": "INFO", "handlers": ["plain"]}) | plain(tmp_path)
    )
    logging.getLogger("dozor").info("Agent is %s.", "x\nERROR forged")
    assert (tmp_path / "plain.log").read_text() == "INFO Agent is x\\nERROR forged.\n"


def plain(folder: Path) -> dict[str, Any]:
    return {
        "formatters": {"plain": {"format": "%(levelname)s %(message)s"}},
        "handlers": {
            "plain": {
                "class": "logging.FileHandler",
                "filename": str(folder / "plain.log"),
                "formatter": "plain",
            }
        },
    }


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"handlers": {"a": {"class": "nowhere.Handler"}}}, "No module named 'nowhere'"),
        ({"root": {"level": "LOUD"}}, "LOUD"),
        ({"root": {"handlers": ["missing"]}}, "missing"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match="The section logging cannot be used: ") as caught:
        logfiles.apply(section(tmp_path, loggers={}, **{"root": {}, **changed}))
    assert told in str(caught.value)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file, not a folder")
    with pytest.raises(JobError, match=r"logs/app\.log cannot be written: "):
        logfiles.log_to_folder(tmp_path / "logs", "text", max_bytes=0, backups=0)
    with pytest.raises(JobError, match=r"logs/app\.log cannot be written: "):
        logfiles.apply(section(tmp_path / "logs"))
