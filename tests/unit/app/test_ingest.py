from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from dozor.app.ingest import Ingest, behind, build_sources, figures, pace_of, reasons
from dozor.features.traffic.model import SourceState, SourceStatus
from dozor.features.traffic.ports import LiveSource
from dozor.features.traffic.settings import TrafficSettings
from dozor.infra.metrics import Metrics
from dozor.infra.supervisor import State, Status
from dozor.kernel.errors import UsageError

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def status(name: str, state: SourceState = SourceState.FOLLOWING, **changed: Any) -> SourceStatus:
    facts = {"format": "main", "reason": "", "lag_bytes": 0, "lag_seconds": 0.0, "lines": 0, "rejected": 0}
    return SourceStatus(**{"name": name, "state": state, "last_event": None, **facts, **changed})


def names(folder: Path, **settings: Any) -> list[str]:
    return [source.name for source in build_sources(TrafficSettings(**settings), folder)]


def test_sources_are_logs_pipes_and_addresses(tmp_path: Path) -> None:
    assert names(tmp_path, logs=["a.log", "-", "*.log"], syslog_udp="5514", syslog_tcp="[::1]:601") == [
        "a.log",
        "-",
        "*.log",
        "syslog:udp:127.0.0.1:5514",
        "syslog:tcp:::1:601",
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"logs": ["a.log", "a.log"]}, r"The log a\.log is named twice\."),
        ({"logs": ["a.log", "./a.log"]}, r"The log a\.log is named twice\."),
        ({"logs": ["/tmp/"]}, r"'/tmp/' is a folder\. .* --log '/tmp/\*\.log'"),
        ({"syslog_udp": "host"}, r"The address 'host' of --syslog-udp cannot be used\."),
        ({"syslog_tcp": "host:70000"}, r"The address 'host:70000' of --syslog-tcp cannot be used\."),
    ],
)
def test_sources_that_cannot_be_meant_are_refused(
    tmp_path: Path, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        names(tmp_path, **settings)


def test_the_pace_is_that_of_the_settings() -> None:
    pace = pace_of(TrafficSettings(batch_mb=2, queue_mb=8, batch_delay_s=0.5, queue_batches=3, workers=5))
    assert (pace.chunk_bytes, pace.memory, pace.delay, pace.queue, pace.workers) == (
        2 << 20,
        8 << 20,
        0.5,
        3,
        5,
    )


def test_a_log_that_is_not_there_is_waited_for_and_one_that_cannot_be_read_is_not_ready(
    tmp_path: Path,
) -> None:
    there = tmp_path / "there.log"
    there.write_text("")
    waiting = SourceState.WAITING
    told = reasons(
        [
            status("a.log"),
            status("b.log", SourceState.BEHIND, reason="1 byte is not stored yet."),
            status(str(tmp_path / "gone.log"), waiting, reason="There is no file."),
            status(str(there), waiting, reason="May not be read."),
            status("syslog:udp:127.0.0.1:5514", waiting, reason="The address is in use."),
            status("c.log", SourceState.PAUSED, reason="The disk is full."),
            status("d.log", SourceState.STARTING, reason="It is not looked for yet."),
        ]
    )
    assert list(told.values()) == [
        *("", "", ""),
        "May not be read.",
        "The address is in use.",
        "The disk is full.",
        "It is not looked for yet.",
    ]


def test_progress_is_told_for_sources_that_are_behind() -> None:
    told = behind([status("a.log"), status("b.log", SourceState.BEHIND, lag_bytes=60, size=100)])
    assert told == ["b.log: read 40%."]


def test_figures_are_told_by_source_stage_and_service(tmp_path: Path) -> None:
    (source,) = build_sources(TrafficSettings(logs=["a.log"]), tmp_path)
    metrics = Metrics()
    service = Status("store", State.RESTARTING, NOON, "Away.", 3)
    metrics.ask(figures(idle(source), lambda: (service,)))
    text = metrics.text().decode()
    for line in (
        'dozor_ingest_lines_total{source="a.log"} 0.0',
        'dozor_ingest_followed{source="a.log"} 0.0',
        'dozor_service_running{service="store"} 0.0',
        'dozor_service_restarts_total{service="store"} 3.0',
    ):
        assert f"\n{line}\n" in text


def test_before_the_store_is_open_a_source_is_looked_for_by_nobody(tmp_path: Path) -> None:
    (source,) = build_sources(TrafficSettings(logs=["a.log"]), tmp_path)
    (told,) = idle(source).status()
    assert (told.name, told.state) == ("a.log", SourceState.STARTING)


def idle(source: LiveSource) -> Ingest:
    return Ingest(
        [source], lambda: cast("Any", None), cast("Any", None), asyncio.Event(), pace_of(TrafficSettings())
    )
