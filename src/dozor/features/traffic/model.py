"""The words of traffic: bytes of a log, and what a report says of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of a log; only the last chunk of a log may end without a line end.

    Args:
        data: The bytes, after decompression.
        offset: Place of the first byte in the log, after decompression.
        first_line: Number of the first line in the log, from 1.
    """

    data: bytes | bytearray | memoryview
    offset: int
    first_line: int


@dataclass(frozen=True, slots=True)
class TopRow:
    """One row of a top list: how often a value was asked for and what it cost.

    Args:
        value: The value itself; empty means not known (shown as `-`).
        requests: Requests with it.
        bytes: Body bytes sent for them.
        errors: How many of them were answered 4xx or 5xx.
        seconds: Mean request time in seconds; None when the log has no times.
    """

    value: str
    requests: int
    bytes: int
    errors: int = 0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class AttackRow:
    """One attack class: requests that are attacks and the distinct clients behind them."""

    attack_class: str
    requests: int
    clients: int


@dataclass(frozen=True, slots=True)
class Attacker:
    """One client behind attacks, with one example of what it sent."""

    client: str
    country: str
    requests: int
    attacks: int
    classes: tuple[str, ...]
    score: float
    first: datetime
    last: datetime
    example: str
    decoded: str
    matched: str
    rule: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """One step of the time line. `ok` counts 1xx to 3xx; attacks are counted beside their status."""

    start: datetime
    requests: int
    bytes: int
    ok: int
    client_errors: int
    server_errors: int
    attacks: int


@dataclass(frozen=True, slots=True)
class Source:
    """One file that was read.

    Args:
        name: Its path, or `-`.
        format: Name of the format that its lines were parsed with.
        requests: Requests that passed the filters.
        rejected: Lines that could not be parsed.
        parsed: Lines that could, whether they passed the filters or not.
    """

    name: str
    format: str
    requests: int
    rejected: int
    parsed: int = 0


@dataclass(frozen=True, slots=True)
class Reject:
    """An example of a line that could not be parsed."""

    source: str
    line: int
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One message of nginx's error log, its numbers folded, with how often it stood there."""

    level: str
    message: str
    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """A report over one or several logs. Lists hold at most 10 rows, most requests first."""

    requests: int
    rejected: int
    unique_clients: int
    bytes: int
    first: datetime | None
    last: datetime | None
    status: dict[str, int]
    methods: dict[str, int]
    bots: int
    """Requests whose agent says that it is a program."""
    top_paths: tuple[TopRow, ...]
    top_clients: tuple[TopRow, ...]
    top_countries: tuple[TopRow, ...]
    top_agents: tuple[TopRow, ...]
    """By `ua_family`."""
    top_referers: tuple[TopRow, ...]
    top_hosts: tuple[TopRow, ...]
    error_paths: tuple[TopRow, ...]
    """Paths by the number of 4xx and 5xx answers (`errors`)."""
    slow_paths: tuple[TopRow, ...]
    """Paths by mean request time; empty when the log has no times."""
    attacks: tuple[AttackRow, ...]
    """Classes of the requests that are attacks (score >= 0.5)."""
    weak_signs: tuple[AttackRow, ...]
    """Classes of the requests that rules hit without making an attack of them, such as `scanner`."""
    attackers: tuple[Attacker, ...]
    attack_requests: int
    timeline: tuple[Bucket, ...]
    """Gapless, at most 120 steps."""
    step: timedelta
    """Width of a time-line step."""
    reject_reasons: dict[str, int]
    reject_examples: tuple[Reject, ...]
    sources: tuple[Source, ...]
    seconds: float = 0.0
    """How long the report took."""
    errors: tuple[ErrorRow, ...] = ()
    """Messages of nginx's error logs among the sources, at most 10, most frequent first."""
