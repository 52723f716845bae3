"""Logging of a long-running process, and what it takes over from changed settings while it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from dozor.app.settings import Settings, leaves
from dozor.infra import logfiles
from dozor.infra.logging import configure, log_uncaught
from dozor.kernel.errors import DozorError
from dozor.kernel.i18n import _, ngettext

_MIB = 1 << 20
_LIVE = {"log_level", "log_format", "log_dir", "log_max_mb", "log_backups", "logging"}

_log = logging.getLogger(__name__)


def start_logging(settings: Settings) -> Sequence[str]:
    """Log where and how the settings say.

    Returns:
        What of the section `logging` is done in another way, a sentence each.

    Raises:
        SettingsError: The section `logging` cannot be used.
        JobError: A log file cannot be written.
    """
    # A full disk under a log file must not fill standard error with tracebacks.
    logging.raiseExceptions = False
    log_uncaught()
    if settings.logging:
        return logfiles.apply(settings.logging)
    configure(settings.log_level, settings.log_format)
    # The console asks the API over HTTP: a line for each of its questions would bury the others.
    debug = settings.log_level == "debug"
    logging.getLogger("httpx").setLevel(logging.NOTSET if debug else logging.WARNING)
    # Each call to a server that is away would say so twice; Dozor tells it once, in its own words.
    for name in ("urllib3.connectionpool", "clickhouse_connect"):
        logging.getLogger(name).setLevel(logging.NOTSET if debug else logging.ERROR)
    if settings.log_dir is not None:
        logfiles.log_to_folder(
            settings.log_dir,
            settings.log_format,
            max_bytes=settings.log_max_mb * _MIB,
            backups=settings.log_backups,
        )
    return ()


class Reload:
    """Takes over what can change without a restart; the answer to SIGHUP.

    Args:
        settings: What is in force.
        read: Reads the settings as they are now.
        say: Tells the operator.
    """

    def __init__(
        self, settings: Settings, read: Callable[[], Settings], say: Callable[[str], object]
    ) -> None:
        self._settings = settings
        self._read = read
        self._say = say

    def __call__(self) -> None:
        """Open log files anew, take over settings of logging, and name what needs a restart."""
        count = logfiles.reopen()
        self._say(
            ngettext("{count} log file opened anew.", "{count} log files opened anew.", count).format(
                count=count
            )
        )
        changed: set[str] = set()
        try:
            wanted = self._read()
            changed = _changed(self._settings, wanted)
            if changed & _LIVE:
                for note in start_logging(wanted):
                    self._say(note)
                self._settings = self._settings.model_copy(
                    update={name: getattr(wanted, name) for name in _LIVE}
                )
        except DozorError as error:
            self._say(_("The settings stay as they were: {reason}").format(reason=error))
            if changed & _LIVE:  # what was set up before is gone by now
                with suppress(DozorError):
                    start_logging(self._settings)
            return
        if changed & _LIVE:
            self._say(_("Taken over: {names}.").format(names=", ".join(sorted(changed & _LIVE))))
        if changed - _LIVE:
            self._say(_("Needs a restart: {names}.").format(names=", ".join(sorted(changed - _LIVE))))
        self._say(_("Sources, rules and the country table are read at start only."))


def _changed(before: Settings, after: Settings) -> set[str]:
    """Dotted names of the settings that differ."""
    old, new = before.model_dump(), after.model_dump()

    def at(tree: object, place: Sequence[str]) -> object:
        for step in place:
            tree = tree[step] if isinstance(tree, dict) else None
        return tree

    return {leaf.key for leaf in leaves(Settings) if at(old, leaf.place) != at(new, leaf.place)}
