"""The running process: which services there are, in which order, and what is said when they start.

http > access > store > ingest > demo > console > announcer; they end in reverse order. The state database is
opened before them and closed after them, since nobody is let in without it.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import click

from dozor import __version__
from dozor.app.access import build_access
from dozor.app.api import access_routers, api_routers
from dozor.app.db import open_keyring, open_state
from dozor.app.door import (
    FindingLog,
    PageTokens,
    StateCheck,
    build_counters,
    build_rules,
    first_link,
    host_names,
)
from dozor.app.ingest import STDIN, Ingest, behind, build_sources, figures, is_address, pace_of, reasons
from dozor.app.inherited import without_effect
from dozor.app.logs import Reload, start_logging
from dozor.app.pipeline import AUTO, build_pipeline
from dozor.app.server import Parts, create_app, late_console
from dozor.app.services import Announcer, ConsoleService, Gate, Readiness, StoreService
from dozor.app.settings import ENV_FILE, Settings, env_file
from dozor.app.up import default_data_dir
from dozor.console.door import Door
from dozor.features.access.service import Access, Housekeeping
from dozor.features.threats.core.rules import load_rules
from dozor.features.traffic.adapters.checkpoint_sqlite import SqliteCheckpoints
from dozor.features.traffic.core.formats import find_format
from dozor.features.traffic.model import RuleFacts
from dozor.features.traffic.ports import LiveSource, RecordStore, TrafficQueries
from dozor.infra.clickhouse import place_of
from dozor.infra.database import Database
from dozor.infra.folder import owned_folder
from dozor.infra.limits import Counters, Failures
from dozor.infra.memory import Housekeeper
from dozor.infra.metrics import Metrics
from dozor.infra.queries import QueryPool
from dozor.infra.server import Server, bind
from dozor.infra.supervisor import Ending, Supervisor, signals
from dozor.kernel.i18n import _, current_language, ngettext
from dozor.kernel.masking import hide, mask

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
    traffic = settings.traffic
    if traffic.log_format != AUTO:
        find_format(traffic.log_format, traffic.json_fields)
    if traffic.clickhouse_url:
        place_of(traffic.clickhouse_url)
    with ExitStack() as stack:
        notes = start_logging(settings)
        folder = data_folder(settings, demo=demo)
        feed = demo_feed(folder) if demo else None
        sources = build_sources(settings.traffic, folder, [feed.access, feed.error] if feed else [])
        listening = bind(settings.host, settings.port)
        stack.callback(listening.close)
        stack.enter_context(owned_folder(folder))
        async with await opened(settings, folder) as state:
            services = compose(settings, folder, sources, listening, state)
            if feed is not None:
                services.supervisor.add(feed)
            introduce(settings, services.port, folder, [source.name for source in sources], demo=demo)
            link = await first_link(state.access, address(settings.host, services.port))
            if link:
                hide(link.partition("#")[2])
                tell_of_set_up(link)
            for note in (*notes, *without_effect({**env_file(ENV_FILE), **os.environ})):
                say(note)
            with signals(services.supervisor, reload=Reload(settings, read, say)):
                return await services.supervisor.run()


@dataclass(frozen=True)
class State:
    """What is known of people: the services of access upon an open database."""

    database: Database
    calls: Counters
    logins: Counters
    access: Access
    pages: PageTokens
    findings: FindingLog

    async def __aenter__(self) -> Self:
        """The state itself."""
        return self

    async def __aexit__(self, *_failure: object) -> None:
        """Close the database and what counts."""
        await self.calls.close()
        await self.logins.close()
        await self.database.close()


async def opened(settings: Settings, folder: Path) -> State:
    """Open the state in the shape that this version needs.

    Raises:
        DozorError: The database does not answer, cannot be brought up to date, or a key is of no use.
    """
    database = await open_state(settings, folder)
    try:
        keys, findings = open_keyring(settings, folder), FindingLog()
        calls, logins = build_counters(settings, "calls"), build_counters(settings, "logins")
        limiter = Failures(settings.limits, logins)
        access = build_access(settings, folder, database, keys, limiter=limiter, publisher=findings)
    except BaseException:
        await database.close()
        raise
    return State(database, calls, logins, access, PageTokens(keys), findings)


@dataclass(frozen=True)
class Composed:
    """The services of the process, ready to run."""

    supervisor: Supervisor
    port: int


def compose(
    settings: Settings,
    folder: Path,
    sources: Sequence[LiveSource],
    listening: socket.socket,
    state: State,
) -> Composed:
    """Make every service but the demo, and let them know each other."""
    port = listening.getsockname()[1]
    supervisor = Supervisor(grace=settings.shutdown_grace_s)
    gate = Gate()
    ingest = Ingest(
        sources,
        lambda: (build_pipeline(settings), SqliteCheckpoints(folder / checkpoints_name(settings))),
        cast("RecordStore", gate),
        gate.opened,
        pace_of(settings.traffic),
    )
    # What the gate stands for changes, so it is looked up at each call.
    readiness = Readiness(
        lambda: gate.check(),  # noqa: PLW0108 - see above
        lambda: reasons(ingest.status()),
        StateCheck(state.access).reason,
    )
    metrics = Metrics()
    metrics.ask(state.findings.figures)
    metrics.ask(figures(ingest, lambda: supervisor.statuses))
    console = late_console()
    door = Door(language=current_language())
    secret = secrets.token_urlsafe(32)
    hide(secret)
    pool = QueryPool()
    app = create_app(
        Parts(
            port=port,
            rules=build_rules(
                settings,
                state.access,
                state.pages,
                calls=state.calls,
                console_secret=secret,
                is_door=door.serves,
            ),
            reasons=readiness.reasons,
            statuses=lambda: supervisor.statuses,
            metrics=metrics,
            routers=(
                *access_routers(settings, state.access, state.pages),
                *api_routers(cast("TrafficQueries", gate), ingest.status, pool),
            ),
            console=console,
            door=door,
            host_names=host_names(settings),
            cors_origins=settings.access.cors_origins,
        )
    )
    supervisor.add(Server(app, listening), essential=True)
    supervisor.add(Housekeeping(state.access))
    store = StoreService(gate, lambda: open_store(settings, folder), before_close=pool.close)
    supervisor.add(store, essential=True)
    supervisor.add(ingest, essential=True)
    supervisor.add(ConsoleService(console, lambda: build_console(address(settings.host, port), secret)))
    supervisor.add(Housekeeper())
    supervisor.add(Announcer(readiness.reasons, lambda: behind(ingest.status()), say))
    return Composed(supervisor, port)


def open_store(settings: Settings, folder: Path) -> Any:
    """The store of the settings: a ClickHouse server, or the engine in this process."""
    from dozor.features.traffic.adapters import store_clickhouse

    traffic, password = settings.traffic, settings.traffic.clickhouse_password
    return store_clickhouse.open_store(
        folder=folder / "events",
        url=traffic.clickhouse_url,
        user=traffic.clickhouse_user,
        password=password.get_secret_value() if password else "",
        retention_days=traffic.retention_days,
        rule_facts=rule_facts(settings),
    )


def rule_facts(settings: Settings) -> Mapping[str, RuleFacts]:
    """What traffic tells of the rules that are in force."""
    rules = load_rules(settings.threats.extra_rules_dir, settings.threats.disabled_rules).rules
    return {rule.id: RuleFacts(rule.attack_class.value, rule.severity) for rule in rules}


def checkpoints_name(settings: Settings) -> str:
    """The file of the checkpoints: they belong to one store, and another one begins anew."""
    url = settings.traffic.clickhouse_url
    if not url:
        return "checkpoints.sqlite"
    named = place_of(url).partition("://")[2]
    return f"checkpoints-{hashlib.blake2b(named.encode(), digest_size=6).hexdigest()}.sqlite"


def demo_feed(folder: Path) -> DemoFeed:
    """Made-up traffic below the data folder."""
    from dozor.app.commands import attack_samples
    from dozor.features.traffic.adapters.demo_feed import DemoFeed

    return DemoFeed(folder / "demo", attack_samples)


def data_folder(settings: Settings, *, demo: bool) -> Path:
    """Where state is kept; made-up traffic is kept apart unless a folder was named."""
    if settings.data_dir is not None:
        return settings.data_dir
    folder = default_data_dir()
    return folder.with_name(folder.name + DEMO_SUFFIX) if demo else folder


def address(host: str, port: int) -> str:
    """Where this machine reaches the process that serves on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}.get(host, host)  # noqa: S104 - asked
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def build_console(api: str, secret: str = "") -> Any:
    """Load the console, with what its pages would load at the first visit.

    Args:
        api: Where the API is.
        secret: What the console names itself by when it asks for a person.
    """
    from importlib import import_module

    from dozor.console.serve import Console

    _log_as_others_do()
    console = Console(api, language=current_language(), forward_secret=secret)
    for name in ("dozor.console.frame", "pandas"):
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
    with suppress(OSError):  # who reads the output may go; the watch goes on
        click.echo(text)


def introduce(settings: Settings, port: int, folder: Path, sources: Sequence[str], *, demo: bool) -> None:
    """Say where everything is and how it ends."""
    say(_("Dozor {version} is starting.").format(version=__version__))
    named = [name if demo else _with_note(name) for name in sources]
    days = settings.traffic.retention_days
    for title, lines in (
        (_("console"), [address(settings.host, port)]),
        (_("sources"), named or [_("none; name a log with --log, or look around with --demo")]),
        (_("also as"), list(settings.door.host_names)),
        (_("data"), [str(folder)]),
        (_("events"), [mask(settings.traffic.clickhouse_url)] if settings.traffic.clickhouse_url else []),
        (_("kept for"), [ngettext("{count} day", "{count} days", days).format(count=days)]),
        (_("to stop"), [_("Ctrl-C finishes what is under way; twice ends at once")]),
    ):
        for place, text in enumerate(lines):
            say(f"  {'' if place else title:<12}{text}")


def tell_of_set_up(link: str) -> None:
    """Say how the first person gets in."""
    say("")
    say(_("Nobody owns this Dozor yet. Open this link once, and make the first account:"))
    say(f"  {link}")
    say("")


def _with_note(name: str) -> str:
    path = Path(name)
    if name == STDIN or is_address(name) or glob.has_magic(name) or path.exists():
        return name
    return _("{name} (does not exist yet; it is waited for)").format(name=name)
