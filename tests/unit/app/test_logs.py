from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dozor.app.logs import Reload, start_logging
from dozor.app.settings import Settings
from dozor.kernel.errors import SettingsError


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    raising, root = logging.raiseExceptions, logging.getLogger()
    kept = root.handlers[:]
    yield
    logging.raiseExceptions = raising
    for handler in root.handlers:
        if handler not in kept:
            handler.close()


def reload(before: Settings, **changed: Any) -> list[str]:
    said: list[str] = []
    Reload(before, lambda: before.model_copy(update=changed), said.append)()
    return said


def test_a_changed_level_is_taken_over_at_once() -> None:
    before = Settings()
    start_logging(before)
    said = reload(before, log_level="debug")
    assert logging.getLogger().level == logging.DEBUG
    assert "Taken over: log_level." in said


def test_what_needs_a_restart_is_named() -> None:
    before = Settings()
    traffic = before.traffic.model_copy(update={"logs": ["b.log"]})
    said = reload(before, port=6000, traffic=traffic)
    assert "Needs a restart: port, traffic.logs." in said
    assert not [text for text in said if text.startswith("Taken over")]


def test_log_files_are_opened_anew(tmp_path: Path) -> None:
    before = Settings(log_dir=tmp_path, log_level="info")
    start_logging(before)
    logging.getLogger("dozor").info("Before.")
    (tmp_path / "app.log").rename(tmp_path / "app.log.old")
    assert reload(before)[0].endswith(" log files opened anew.")  # pytest has one of its own
    logging.getLogger("dozor").info("After.")
    assert "After." in (tmp_path / "app.log").read_text()


def test_settings_that_cannot_be_read_change_nothing() -> None:
    said: list[str] = []

    def read() -> Settings:
        raise SettingsError("LOG_LEVEL (environment) is 'loud': use one of 'debug'.")

    Reload(Settings(), read, said.append)()
    assert said[-1].startswith("The settings stay as they were: LOG_LEVEL")


def test_a_log_folder_that_cannot_be_used_leaves_the_one_in_force(tmp_path: Path) -> None:
    before = Settings(log_dir=tmp_path / "good", log_level="info")
    start_logging(before)
    (tmp_path / "file").touch()
    said = reload(before, log_dir=tmp_path / "file")
    assert said[-1].startswith("The settings stay as they were: The log file")
    logging.getLogger("dozor").info("Still here.")
    assert "Still here." in (tmp_path / "good" / "app.log").read_text()


def test_a_second_reload_compares_with_what_is_in_force() -> None:
    said: list[str] = []
    wanted = Settings(log_level="info")
    reloading = Reload(Settings(), lambda: wanted, said.append)
    reloading()
    said.clear()
    reloading()
    assert not [text for text in said if text.startswith("Taken over")]


def test_the_section_logging_rules_when_it_is_there(tmp_path: Path) -> None:
    section = {
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(tmp_path / "own.log")}},
        "root": {"level": "INFO", "handlers": ["file"]},
    }
    assert start_logging(Settings(logging=section, log_level="error")) == []
    logging.getLogger("dozor").info("Here.")
    assert (tmp_path / "own.log").read_text() == "Here.\n"
