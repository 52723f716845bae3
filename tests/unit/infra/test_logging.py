from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import pytest

from dozor.infra.logging import LogFormat, configure

SECRET = "hunter2-" + "x" * 20
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
log = logging.getLogger("dozor.test")


def logged(log_format: LogFormat, *args: Any, level: str = "debug", **kwargs: Any) -> str:
    stream = io.StringIO()
    configure(level, log_format, stream)
    log.warning(*args, **kwargs)
    return stream.getvalue()


def test_a_text_line_has_time_level_logger_message_and_fields() -> None:
    line = logged("text", "Read %d lines.", 3, extra={"source": "access.log"})
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING dozor\.test Read 3 lines\. source=access\.log\n",
        line,
    )


def test_a_json_line_is_one_object() -> None:
    entry = json.loads(logged("json", "Read %d lines.", 3, extra={"source": "доступ.log", "lines": 3}))
    assert re.fullmatch(TIME, entry.pop("time"))
    assert entry == {
        "level": "warning",
        "logger": "dozor.test",
        "message": "Read 3 lines.",
        "source": "доступ.log",
        "lines": 3,
    }


def test_records_below_the_level_are_dropped() -> None:
    assert logged("text", "Nothing to see.", level="error") == ""


def test_a_field_cannot_pose_as_the_level_or_the_time() -> None:
    assert json.loads(logged("json", "Fact.", extra={"level": "debug", "time": 0}))["level"] == "warning"


def test_what_others_sent_cannot_forge_a_line() -> None:
    assert logged("text", "Agent is %s.", "x\n2026-11-22T10:00:00.000Z ERROR forged").count("\n") == 1


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(
    ("args", "extra"),
    [
        ((f"Sent with token={SECRET}.",), {}),
        (("Sent with %s.", f"Bearer {SECRET}"), {}),
        (("Sent %(n)d with %(password)s.", {"password": SECRET, "n": 1}), {}),
        (("Got %s.", {"inner": [{"api_key": SECRET}]}), {}),
        (("Connected.",), {"url": f"https://ann:{SECRET}@example.org/"}),
        (("Connected.",), {"headers": {"Authorization": SECRET}}),
        (("Connected.",), {"bot_token": SECRET}),
    ],
)
def test_no_secret_reaches_the_log(
    log_format: LogFormat, args: tuple[Any, ...], extra: dict[str, Any]
) -> None:
    line = logged(log_format, *args, extra=extra)
    assert SECRET not in line
    assert "***" in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_shows_where_but_no_secret(log_format: LogFormat) -> None:
    def refuse() -> None:
        raise RuntimeError(f"refused; password={SECRET}")

    try:
        refuse()
    except RuntimeError:
        line = logged(log_format, "The call failed.", exc_info=True, stack_info=True)
    assert SECRET not in line
    assert "RuntimeError: refused; password=***" in line
    assert "test_logging.py" in line
