"""The program's log: text for people or JSON lines for machines, on standard error, without secrets.

Modules log through `logging.getLogger(__name__)`; messages are sentences, facts go into `extra`.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, TextIO

from dozor.kernel.masking import MASK, mask, mask_value, names_secret

LogFormat = Literal["text", "json"]

_log = logging.getLogger(__name__)

# color_message is Uvicorn's: the message once more, with a terminal's control codes.
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    *("message", "asctime", "taskName"),
    "color_message",
}


def configure(level: str, log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Send all logging of this process from `level` on to `stream` (standard error when None).

    Args:
        level: `debug`, `info`, `warning`, `error` or `critical`, in any case.
        log_format: `text` or `json`.
        stream: Where the lines go.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def log_uncaught() -> None:
    """Log what ends a thread or the process by surprise, since Python would write it without masking."""

    def tell(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt | SystemExit):
            return
        _log.error("Nobody caught an error.", exc_info=(kind, error or kind(), trace))

    sys.excepthook = tell
    threading.excepthook = lambda told: tell(told.exc_type, told.exc_value, told.exc_traceback)


class TextFormatter(logging.Formatter):
    """One line per record: time, level, logger, message, fields; a traceback follows on its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as masked text."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        head = f"{_time(record)} {record.levelname} {record.name} {_message(record)}{fields}"
        # What others sent must not look like a line of ours.
        head = head.replace("\r", "\\r").replace("\n", "\\n")
        return "\n".join(part for part in (head, _traceback(self, record)) if part)


class JsonFormatter(logging.Formatter):
    """One JSON object per record and line: time, level, logger, message, the fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one masked line of JSON."""
        entry: dict[str, object] = {
            **_fields(record),
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        traceback = _traceback(self, record)
        if traceback:
            entry["exception"] = traceback
        return json.dumps(entry, ensure_ascii=False)


def masked_record(record: logging.LogRecord) -> logging.LogRecord:
    """A copy without secrets in message, fields and traceback, for a formatter that does not know of them."""
    copy = logging.makeLogRecord({**vars(record), **_fields(record)})
    copy.msg, copy.args = _message(record), None
    copy.exc_text = _traceback(logging.Formatter(), record) or None
    copy.exc_info = copy.stack_info = None
    return copy


def _time(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    """Return the record's text, with secrets hidden in the arguments by name before they are text."""
    text = str(record.msg)
    if isinstance(record.args, Mapping):
        text %= {key: MASK if names_secret(key) else _masked(value) for key, value in record.args.items()}
    elif record.args:
        text %= tuple(_masked(value) for value in record.args)
    return mask(text)


def _masked(argument: object) -> object:
    """Mask what has a structure; numbers stay numbers for `%d`, texts are masked with the whole line."""
    return mask_value(argument) if isinstance(argument, Mapping | list | tuple) else argument


def _fields(record: logging.LogRecord) -> dict[str, object]:
    extra = {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
    masked = mask_value(extra)
    assert isinstance(masked, dict)  # noqa: S101 - tells mypy that a mapping comes back as a dict
    return masked


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return mask("\n".join(parts))
