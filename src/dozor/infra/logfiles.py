"""Where log lines go besides standard error: rotated files, and the `logging` section of a settings file.

The section has the form of Python's `logging.config` (version 1). Its formatters and filters may name
classes of other programs, as the `logging.yaml` that Dozor took over does; what such a name means is done by
Dozor's own.
"""

from __future__ import annotations

import logging
import logging.config
import logging.handlers
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dozor.infra.logging import JsonFormatter, LogFormat, TextFormatter, masked_record
from dozor.kernel.errors import JobError, SettingsError
from dozor.kernel.i18n import _
from dozor.kernel.masking import mask, names_secret

APP_LOG, ERROR_LOG = "app.log", "error.log"

Section = Mapping[str, Any]

_OURS = "dozor"
_FOREIGN_LOGGERS = {"telegram_bot_manager": _OURS}
_IGNORED_JSON = ("include_traceback", "include_thread_info")


class PatternFormatter(logging.Formatter):
    """Python's own `%(levelname)s ...` formats, one line per record and without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as masked text."""
        return mask(super().format(masked_record(record)))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - overrides logging's method
        """Return the first line; what others sent must not look like a line of ours."""
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")


class Masked(logging.Formatter):
    """Another program's formatter, whose lines are masked and whose records come masked to it.

    Args:
        inner: That formatter; None for the bare message.
    """

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of the other formatter, masked."""
        return mask(self._inner.format(masked_record(record)))


def log_to_folder(folder: Path, log_format: LogFormat, *, max_bytes: int, backups: int) -> None:
    """Write all lines to `app.log` and errors to `error.log` as well, beside where they go already.

    Args:
        folder: Made when missing.
        log_format: `text` or `json`.
        max_bytes: A file that grows beyond it is renamed to `.1`; 0 never.
        backups: How many renamed files are kept.

    Raises:
        JobError: The folder or a file cannot be written.
    """
    for name, level in ((APP_LOG, logging.NOTSET), (ERROR_LOG, logging.ERROR)):
        handler = _opened(folder / name, max_bytes, backups)
        handler.setLevel(level)
        handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
        logging.getLogger().addHandler(handler)


def _opened(path: Path, max_bytes: int, backups: int) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return logging.handlers.RotatingFileHandler(
            path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8"
        )
    except OSError as error:
        raise JobError(
            _("The log file {path} cannot be written: {reason}.").format(path=path, reason=error.strerror),
            hint=_("Let this user write there, or name another folder with LOG_DIR."),
        ) from error


def apply(section: Section) -> list[str]:
    """Set up logging as a `logging` section says, instead of what was set up before.

    Returns:
        What in it is done in another way or not at all, a sentence each, translated.

    Raises:
        SettingsError: Something in it cannot be used.
        JobError: A file that it names cannot be written.
    """
    notes: list[str] = []
    config = _translated(section, notes)
    for handler in config["handlers"].values():
        if "filename" in handler:
            _opened(Path(handler["filename"]), 0, 0).close()
    try:
        logging.config.dictConfig(config)
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        raise SettingsError(
            _("The section logging cannot be used: {reason}.").format(
                reason=str(error.__cause__ or error).rstrip(".")
            ),
            hint=_("It has the form of Python's logging.config, version 1."),
        ) from error
    for handler in _handlers():
        if not isinstance(handler.formatter, JsonFormatter | TextFormatter | PatternFormatter | Masked):
            handler.setFormatter(Masked(handler.formatter))
    return notes


def _translated(section: Section, notes: list[str]) -> dict[str, Any]:
    formatters = {
        name: _formatter(name, dict(given or {}), notes)
        for name, given in (section.get("formatters") or {}).items()
    }
    filters = {
        name: dict(given or {})
        for name, given in (section.get("filters") or {}).items()
        if not _masks(name, dict(given or {}), notes)
    }
    if section.get("disable_existing_loggers"):
        notes.append(_("logging.disable_existing_loggers is not followed: no message is thrown away."))
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": formatters,
        "filters": filters,
        "handlers": {
            name: _handler(dict(given or {}), filters)
            for name, given in (section.get("handlers") or {}).items()
        },
        "loggers": {
            _logger_name(name, notes): dict(given or {})
            for name, given in (section.get("loggers") or {}).items()
        },
        **({"root": dict(section["root"])} if section.get("root") else {}),
    }


def _formatter(name: str, given: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    named = str(given.get("class", ""))
    if named.rpartition(".")[2].lower() in {"jsonformatter", "json"}:
        said = [field for field in _IGNORED_JSON if field in given]
        if said:
            notes.append(
                _("logging.formatters.{name} leaves out {fields}.").format(name=name, fields=", ".join(said))
            )
        return {"()": JsonFormatter}
    if named and named != "logging.Formatter":
        return given  # its lines are masked by `Masked`
    if "format" in given or named:
        return {**given, "class": f"{__name__}.{PatternFormatter.__name__}"}
    return {"()": TextFormatter}


def _masks(name: str, given: dict[str, Any], notes: list[str]) -> bool:
    """Tell whether a filter only hides secrets, which every formatter here does by itself."""
    fields = given.get("sensitive_fields")
    if fields is None:
        return False
    unknown = [str(field) for field in fields if not names_secret(str(field))]
    notes.append(
        _("logging.filters.{name} is not needed: secrets are masked in every log.").format(name=name)
        if not unknown
        else _("logging.filters.{name}: fields named {fields} are not masked by their name.").format(
            name=name, fields=", ".join(unknown)
        )
    )
    return True


def _handler(given: dict[str, Any], filters: Mapping[str, object]) -> dict[str, Any]:
    kept = [name for name in given.get("filters") or [] if name in filters]
    rest = {name: value for name, value in given.items() if name != "filters"}
    if "filename" in rest:
        rest.setdefault("encoding", "utf-8")
        # Standard error is told of a file that cannot be written before anything starts.
        rest.setdefault("delay", True)
    return {**rest, **({"filters": kept} if kept else {})}


def _logger_name(name: str, notes: list[str]) -> str:
    ours = _FOREIGN_LOGGERS.get(name)
    if ours is None:
        return name
    notes.append(_("logging.loggers.{name} stands for the logger {ours}.").format(name=name, ours=ours))
    return ours


def reopen() -> int:
    """Close the log files; each is opened anew by its next line. Returns how many there are.

    For a program such as logrotate that has renamed them.
    """
    files = list(_files())
    for handler in files:
        handler.acquire()
        try:
            stream, handler.stream = handler.stream, None
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        finally:
            handler.release()
    return len(files)


def _files() -> Iterator[logging.FileHandler]:
    yield from (handler for handler in _handlers() if isinstance(handler, logging.FileHandler))


def _handlers() -> Iterator[logging.Handler]:
    """Every handler of every logger, and what stands behind one that hands records on."""
    known = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    found = {id(handler): handler for logger in known for handler in logger.handlers}
    for handler in list(found.values()):
        behind = getattr(handler, "target", None)
        if isinstance(behind, logging.Handler):
            found[id(behind)] = behind
    yield from found.values()
