"""The command `dozor`: finds the subcommand, imports it then, and turns every end into an exit code.

Exit codes: 0 done, 1 the job failed, 2 wrong usage, 130 interrupted, 141 the reader of a pipe went away.
"""

from __future__ import annotations

import atexit
import errno
import gc
import io
import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import click

from dozor import __version__
from dozor.app.invocation import Invocation
from dozor.kernel.errors import DozorError
from dozor.kernel.i18n import LANGUAGES, N_, _, language_from_environment, set_default_language
from dozor.kernel.masking import mask

_log = logging.getLogger(__name__)

FAILED, MISUSED, INTERRUPTED, READER_GONE = 1, 2, 130, 141

COMMANDS = {
    "up": ("dozor.app.up:up", N_("Follow logs, keep them, and show them in a console.")),
    "report": ("dozor.app.commands:report", N_("Show what stands in access logs, attacks included.")),
    "detect": ("dozor.app.commands:detect", N_("Judge each line of an access log by itself.")),
    "demo": ("dozor.app.commands:demo", N_("Make up logs to try Dozor with.")),
    "access": ("dozor.app.access:access", N_("Look after people, keys and the audit trail.")),
    "db": ("dozor.app.db:db", N_("Look after the database of people, keys and the audit trail.")),
    "login": ("dozor.app.login:login", N_("Sign in to a server, for the commands that ask one.")),
    "logout": ("dozor.app.login:logout", N_("End the login to a server.")),
    "whoami": ("dozor.app.login:whoami", N_("Show who you are to a server, and what you may do.")),
    "settings": ("dozor.app.about:settings", N_("Show every setting, its value and its source.")),
    "version": ("dozor.app.about:version", N_("Show the versions of Dozor and its libraries.")),
}
"""Where each subcommand stands, and its one line in the help of `dozor`."""


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is called, so that its own help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands in the order of the help."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the subcommand `cmd_name`; None when there is none of this name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _colon, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        _translate_metavars(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; name those that are spelt alike when there is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=COMMANDS, ctx=ctx
            ) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands from the table alone."""
        del ctx
        with formatter.section(_("Commands")):
            formatter.write_dl([(name, _(short)) for name, (_place, short) in COMMANDS.items()])


def _translate_metavars(command: click.Command) -> None:
    """Say in the current language the words of the usage line that Click itself leaves in English."""
    command.options_metavar = _("[OPTIONS]")
    if isinstance(command, click.Group):
        command.subcommand_metavar = _("COMMAND [ARGS]...")
        for subcommand in command.commands.values():
            _translate_metavars(subcommand)


def build() -> click.Group:
    """Return the command `dozor` with its texts in the current language."""

    @click.group(
        cls=LazyGroup,
        name="dozor",
        help=_("Dozor keeps watch over servers, the web sites on them and the bots around them."),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    @click.option("--lang", type=click.Choice(LANGUAGES), help=_("Language of texts."))
    @click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
        help=_("Least severity that is logged."),
    )
    @click.option("--log-format", type=click.Choice(["text", "json"]), help=_("Form of log lines."))
    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar=_("FILE"),
        help=_("YAML file with settings; without it ./dozor.yaml, if there is one."),
    )
    @click.option("-v", "--verbose", count=True, help=_("Log more: -v informs, -vv is for hunting bugs."))
    @click.version_option(__version__, message="%(prog)s %(version)s")
    @click.pass_context
    def dozor(ctx: click.Context, /, **options: object) -> None:
        ctx.obj = Invocation(**options)  # type: ignore[arg-type]  # Click has checked the options by name

    _translate_metavars(dozor)
    return dozor


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `dozor` and return its exit code.

    An end that is not a success prints one line on standard error, never a traceback.

    Args:
        arguments: The words after the command's name; those of this process when None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _look_for_garbage_less_often()
    # numpy's algebra, which nothing here uses, would start threads of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _speak_any_charset()
    set_default_language(_wanted_language(words))
    try:
        return _run(words)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 0
    except click.UsageError as error:
        return _fail(_usage_message(error), MISUSED)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except DozorError as error:
        _log.debug("The job ended with an error.", exc_info=True)
        return _fail(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return READER_GONE
    except Exception as error:  # noqa: BLE001 - the last resort, and it must not show a traceback
        return _unforeseen(error)


def _look_for_garbage_less_often() -> None:
    """Modules live to the end: looking through them for garbage took a tenth of the start and of the end."""
    gc.set_threshold(50_000, 20, 50)
    atexit.register(gc.freeze)


def _speak_any_charset() -> None:
    """Write `?` for a sign that the terminal's charset lacks, rather than end there."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _run(words: list[str]) -> int:
    # Not through Group.main, which would answer an interrupt and a broken pipe in its own way.
    command = build()
    with command.make_context("dozor", words) as context:
        command.invoke(context)
    # What is still buffered must fail here if the reader has gone, not while Python shuts down.
    sys.stdout.flush()
    return 0


def _wanted_language(words: Sequence[str]) -> str:
    """Return the language before Click reads the words, since Click's help must speak it already."""
    for word, following in pairwise([*words, ""]):
        if word == "--lang":
            return following
        if word.startswith("--lang="):
            return word.removeprefix("--lang=")
    return language_from_environment(os.environ)


def _usage_message(error: click.UsageError) -> str:
    # Click puts several suggestions in brackets after a full stop.
    message = re.sub(r"\((.*[?])\)$", r"\1", error.format_message())
    if not message.endswith((".", "?", "!")):
        message += "."
    command = error.ctx.command_path if error.ctx else "dozor"
    return f"{message} " + _("See '{command} --help'.").format(command=command)


def _bug_message(error: Exception) -> str:
    return _("unexpected {kind}: {text}. This is a bug; -vv logs the details for a report.").format(
        kind=type(error).__name__, text=str(error).rstrip(".") or "-"
    )


def _unforeseen(error: Exception) -> int:
    """Tell of a full disk under the output, which only writing to it can find; anything else is a bug."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _drop_output()
        return _fail(
            _("The disk is full: the output is not whole. Free some space, or write elsewhere."), FAILED
        )
    _log.debug("Unexpected error.", exc_info=True)
    return _fail(_bug_message(error), FAILED)


def _fail(message: str, code: int) -> int:
    line = " ".join(mask(message).split())
    # A file may be named with a terminal's control codes; they are shown, not obeyed.
    shown = "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in line)
    click.echo(f"dozor: {shown}", err=True)
    return code


def _drop_output() -> None:
    """Send what is still buffered nowhere: the reader has gone, or there is no place for it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
