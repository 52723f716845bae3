"""Options that several commands over logs share, and what they mean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from dozor.features.traffic.core.formats import FORMAT_STRINGS
from dozor.kernel.errors import UsageError
from dozor.kernel.i18n import _

STDIN = "-"

UNWRAPPED = "\b\n"
"""Before a paragraph of help: Click keeps its line whole, so that a command can be copied."""

Command = TypeVar("Command", bound=Callable[..., Any])


def filter_options(command: Command) -> Command:
    """Add `--since`, `--until`, `--where` and `--format`."""
    for option in (
        click.option(
            "--format",
            "log_format",
            metavar=_("FORMAT"),
            help=_(
                "How the lines are written: {names}, json, nginx-error, or an nginx log_format string. "
                "By default it is found from the lines."
            ).format(names=", ".join(FORMAT_STRINGS)),
        ),
        click.option(
            "--where",
            multiple=True,
            metavar=_("'FIELD OP VALUE'"),
            help=_(
                "Only requests for which it holds, such as 'status >= 500', 'path ~ ^/api' or "
                "'classes = sqli'. OP is one of = != < <= > >= ~ (regular expression). "
                "May be repeated: then all must hold."
            ),
        ),
        click.option(
            "--until", metavar=_("TIME"), help=_("Only requests before this time; written like --since.")
        ),
        click.option(
            "--since",
            metavar=_("TIME"),
            help=_("Only requests from this time on: ISO 8601 (UTC without a zone), or 30m, 24h, 7d ago."),
        ),
    ):
        command = option(command)
    return command


def files_or_stdin(files: Sequence[str]) -> Sequence[str]:
    """The files that were named, or standard input when something is piped into it.

    Raises:
        UsageError: No file is named and standard input is a terminal; or `-` is named twice.
    """
    if files.count(STDIN) > 1:
        raise UsageError(
            _("Standard input (-) can be read only once."), hint=_("Name it once, beside files if you like.")
        )
    if files:
        return files
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            _("No log file is named."),
            hint=_("Name one, such as /var/log/nginx/access.log, or pipe a log into the command."),
        )
    return [STDIN]
