"""Live ingest as the settings ask for it, and what the process tells about it: readiness and figures."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dozor.features.traffic.model import SourceState, SourceStatus
from dozor.features.traffic.ports import Checkpoints, LiveSource, RecordStore
from dozor.features.traffic.service.live import LiveIngest, Pace
from dozor.features.traffic.settings import TrafficSettings
from dozor.infra.metrics import Figure
from dozor.infra.supervisor import State, Status
from dozor.kernel.errors import UsageError
from dozor.kernel.i18n import _, format_percent

if TYPE_CHECKING:
    from dozor.features.traffic.service import Pipeline

STDIN = "-"
SPOOL = "spool"

_MIB = 1 << 20
_LAST_PORT = 65535
_READY = {SourceState.FOLLOWING, SourceState.BEHIND}


def build_sources(settings: TrafficSettings, folder: Path, more: Sequence[Path] = ()) -> list[LiveSource]:
    """What is followed: the logs of the settings, `more` of them, and syslog.

    Args:
        settings: Names of logs and addresses.
        folder: What arrives by pipe or network is kept below it until it is stored.
        more: Further logs.

    Raises:
        UsageError: A log is named twice, is a folder, or an address is none.
    """
    from dozor.features.traffic.adapters.stdin import StdinSource
    from dozor.features.traffic.adapters.syslog import SyslogSource
    from dozor.features.traffic.adapters.tail import TailSource

    names = [*settings.logs, *map(str, more)]
    spool = folder / SPOOL
    meant = [name if name == STDIN else os.path.abspath(name) for name in names]  # noqa: PTH100 - links stay as they are
    twice = next((name for name, path in zip(names, meant, strict=True) if meant.count(path) > 1), None)
    if twice is not None:
        raise UsageError(
            _("The log {name} is named twice.").format(name=twice), hint=_("Name it once with --log.")
        )
    sources: list[LiveSource] = []
    claims: dict[str, TailSource] = {}  # a log that two patterns mean is followed once
    for name in names:
        if name == STDIN:
            sources.append(StdinSource(spool))
            continue
        if Path(name).is_dir():
            raise UsageError(
                _("'{name}' is a folder.").format(name=name),
                hint=_("Name the files in it, such as --log '{name}/*.log'.").format(name=name.rstrip("/")),
            )
        sources.append(TailSource(name, claims=claims))
    if settings.syslog_udp:
        sources.append(SyslogSource("udp", *_address(settings.syslog_udp, "--syslog-udp"), spool=spool))
    if settings.syslog_tcp:
        sources.append(SyslogSource("tcp", *_address(settings.syslog_tcp, "--syslog-tcp"), spool=spool))
    return sources


def _address(text: str, option: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[IPV6]:PORT` or `PORT`; this machine alone when no host is given.

    Raises:
        UsageError: It is none of these.
    """
    host, _colon, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > _LAST_PORT:
        raise UsageError(
            _("The address '{text}' of {option} cannot be used.").format(text=text, option=option),
            hint=_("Write it as 127.0.0.1:5514."),
        )
    return host.strip("[]") or "127.0.0.1", int(port)


class Ingest:
    """Live ingest as a service: what it needs is built beside the loop, since rules take a second to compile.

    Args:
        sources: What is followed.
        build: Gives the pipeline and the checkpoints; called in a thread.
        store: Where records go.
        opened: Set once the store takes records; ingest begins then.
        pace: How fast and how much at a time.
    """

    name = "ingest"

    def __init__(
        self,
        sources: Sequence[LiveSource],
        build: Callable[[], tuple[Pipeline, Checkpoints]],
        store: RecordStore,
        opened: asyncio.Event,
        pace: Pace,
    ) -> None:
        self._sources = sources
        self._build = build
        self._store = store
        self._opened = opened
        self._pace = pace
        self._live: LiveIngest | None = None

    def status(self) -> Sequence[SourceStatus]:
        """Each log and how its lines come along; safe from any thread."""
        if self._live is not None:
            return self._live.status()
        return [
            SourceStatus(
                source.name, "", SourceState.STARTING, _("It is not looked for yet."), 0, None, 0, 0, None
            )
            for source in self._sources
        ]

    def seconds(self) -> Mapping[str, float]:
        """Seconds spent by stage, summed over threads."""
        return self._live.seconds() if self._live is not None else {}

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop`.

        Raises:
            UsageError: A rule or a format cannot be used.
            UnavailableError: Checkpoints cannot be kept for now.
        """
        if self._live is None:
            pipeline, checkpoints = await asyncio.to_thread(self._build)
            self._live = LiveIngest(self._sources, pipeline, self._store, checkpoints, pace=self._pace)
        waits = [asyncio.create_task(event.wait()) for event in (self._opened, stop)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not stop.is_set():
            await self._live.run(stop)


def pace_of(settings: TrafficSettings) -> Pace:
    """How fast and how much at a time, as the settings say."""
    return Pace(
        delay=settings.batch_delay_s,
        chunk_bytes=settings.batch_mb * _MIB,
        queue=settings.queue_batches,
        memory=settings.queue_mb * _MIB,
        workers=settings.workers,
        lag_warning=settings.lag_warning_s,
    )


def reasons(statuses: Sequence[SourceStatus]) -> Mapping[str, str]:
    """Why sources are not followed, by name; empty for those that are.

    A log that does not exist is waited for, which is all that can be done for it.
    """
    return {status.name: "" if _followed(status) else status.reason or status.state for status in statuses}


def _followed(status: SourceStatus) -> bool:
    if status.state is SourceState.WAITING:
        return not os.path.lexists(status.name) and not is_address(status.name)
    return status.state in _READY


def is_address(name: str) -> bool:
    """Tell whether a source is an address that is listened on."""
    return name.startswith("syslog:")


def behind(statuses: Sequence[SourceStatus]) -> list[str]:
    """How far the sources are that have not caught up, a sentence each."""
    return [
        _("{name}: read {share}.").format(
            name=status.name, share=format_percent(max(0.0, 1 - status.lag_bytes / max(1, status.size)), 0)
        )
        for status in statuses
        if status.state is SourceState.BEHIND
    ]


def figures(ingest: Ingest, services: Callable[[], Sequence[Status]]) -> Callable[[], Iterator[Figure]]:
    """Figures about ingest and the services, for `Metrics.ask`."""

    def ask() -> Iterator[Figure]:
        statuses = ingest.status()

        def by_source(value: Callable[[SourceStatus], float]) -> dict[tuple[str, ...], float]:
            return {(status.name,): value(status) for status in statuses}

        source, service = ("source",), ("service",)
        yield Figure("dozor_ingest_lines", "Lines stored.", "counter", by_source(lambda s: s.lines), source)
        yield Figure(
            "dozor_ingest_rejected_lines",
            "Lines that were no requests.",
            "counter",
            by_source(lambda s: s.rejected),
            source,
        )
        yield Figure(
            "dozor_ingest_lag_seconds",
            "How long the oldest line that is not stored has been waiting.",
            "gauge",
            by_source(lambda s: s.lag_seconds or 0.0),
            source,
        )
        yield Figure(
            "dozor_ingest_lag_bytes",
            "Bytes that are written and not stored.",
            "gauge",
            by_source(lambda s: s.lag_bytes),
            source,
        )
        yield Figure(
            "dozor_ingest_followed",
            "Whether a log is followed (1) or not for now (0).",
            "gauge",
            by_source(lambda s: s.state in _READY),
            source,
        )
        yield Figure(
            "dozor_ingest_last_event_timestamp_seconds",
            "Time of the latest line that is stored.",
            "gauge",
            {(s.name,): s.last_event.timestamp() for s in statuses if s.last_event is not None},
            source,
        )
        yield Figure(
            "dozor_ingest_stage_seconds",
            "Seconds spent by stage, summed over threads.",
            "counter",
            {(name,): seconds for name, seconds in ingest.seconds().items()},
            ("stage",),
        )
        running = services()
        yield Figure(
            "dozor_service_running",
            "Whether a service of the process runs (1) or not (0).",
            "gauge",
            {(s.name,): float(s.state is State.RUNNING) for s in running},
            service,
        )
        yield Figure(
            "dozor_service_restarts",
            "How often a service was restarted after a failure.",
            "counter",
            {(s.name,): s.restarts for s in running},
            service,
        )

    return ask
