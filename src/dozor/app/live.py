"""The running process: which services there are, in which order, and what is said when they start.

http > store > ingest > demo > console > announcer; they end in reverse order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dozor import __version__
from dozor.app.logs import Reload, start_logging
from dozor.app.server import Parts, create_app, late_console
from dozor.app.services import Announcer, ConsoleService, Gate, Readiness, StoreService
from dozor.app.settings import Settings
from dozor.app.up import default_data_dir
from dozor.infra.folder import owned_folder
from dozor.infra.metrics import Metrics
from dozor.infra.server import Server, bind
from dozor.infra.supervisor import Ending, Supervisor, signals
from dozor.kernel.i18n import _, current_language, ngettext

if TYPE_CHECKING:
    from dozor.features.traffic.adapters.demo_feed import DemoFeed

DEMO_SUFFIX = "-demo"

_log = logging.getLogger(__name__)


async def run(settings: Settings, read: Callable[[], Settings], *, demo: bool) -> Ending:
    """Run every service that the settings ask for until the process is told to stop.

    Args:
        settings: What is in force.
        read: Reads the settings anew, for SIGHUP.
        demo: Whether to make up traffic.

    Raises:
        DozorError: Something that was asked for cannot be had: the port, the folder, a log file.
    """
    with ExitStack() as stack:
        notes = start_logging(settings)
        listening = bind(settings.host, settings.port)
        stack.callback(listening.close)
        folder = stack.enter_context(owned_folder(data_folder(settings, demo=demo)))
        port = listening.getsockname()[1]
        supervisor = Supervisor(grace=settings.shutdown_grace_s)
        readiness = Readiness(lambda: None, dict)
        console = late_console()
        metrics = Metrics()
        app = create_app(
            Parts(
                port=port,
                reasons=readiness.reasons,
                statuses=lambda: supervisor.statuses,
                metrics=metrics,
                console=console,
            )
        )
        supervisor.add(Server(app, listening), essential=True)
        supervisor.add(ConsoleService(console, lambda: build_console(port)))
        supervisor.add(Announcer(readiness.reasons, tuple, say))
        for note in notes:
            say(note)
        introduce(settings, port, folder)
        with signals(supervisor, reload=Reload(settings, read, say)):
            return await supervisor.run()


def data_folder(settings: Settings, *, demo: bool) -> Path:
    """Where state is kept; made-up traffic is kept apart unless a folder was named."""
    if settings.data_dir is not None:
        return settings.data_dir
    folder = default_data_dir()
    return folder.with_name(folder.name + DEMO_SUFFIX) if demo else folder


def build_console(port: int) -> Any:
    """Load the console, with what its pages would load at the first visit."""
    from importlib import import_module

    from dozor.console.serve import Console

    _log_as_others_do()
    console = Console(f"http://127.0.0.1:{port}", language=current_language())
    for name in ("altair", "polars"):
        import_module(name)
    return console


def _log_as_others_do() -> None:
    """Let Streamlit's loggers, and those of Uvicorn that it takes over, log where all others do."""
    from streamlit import logger as streamlit_logger

    def set_up(logger: logging.Logger) -> None:
        if (own := getattr(logger, "streamlit_console_handler", None)) is not None:
            logger.removeHandler(own)
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
        if logger.name == "uvicorn.access":  # our own requests are figures, not lines
            logger.propagate = False

    streamlit_logger.setup_formatter = set_up  # it is called for each logger, now and later
    streamlit_logger.update_formatter()


def say(text: str) -> None:
    """Tell the operator something, at once even when the output is a pipe."""
    click.echo(text)


def introduce(settings: Settings, port: int, folder: Path) -> None:
    """Say where everything is and how it ends."""
    say(_("Dozor {version} is starting.").format(version=__version__))
    for title, text in (
        (_("console"), f"http://127.0.0.1:{port}"),
        (_("data"), str(folder)),
        (_("stop"), _("Ctrl-C finishes what is under way; twice ends at once.")),
    ):
        say(f"  {title:<12}{text}")
    del settings
