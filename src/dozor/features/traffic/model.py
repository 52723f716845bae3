"""The words of traffic: bytes of a log, what a report says of them, and what the store is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

import pyarrow as pa

from dozor.kernel.finding import Severity

Row = TypeVar("Row")

SPLITS = 8
"""Series of a divided time line at the most; what is left is the series `other`."""


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


@dataclass(frozen=True, slots=True)
class Totals:
    """The main numbers of a stretch of time, all exact.

    Args:
        requests: Requests.
        clients: Distinct clients behind them.
        bytes: Body bytes sent.
        client_errors: Answered 4xx.
        server_errors: Answered 5xx.
        attacks: Requests that are attacks.
        bots: Requests whose agent says that it is a program.
    """

    requests: int
    clients: int
    bytes: int
    client_errors: int
    server_errors: int
    attacks: int
    bots: int


class Dimension(StrEnum):
    """What requests can be counted by: a field of the record, `class` being each class of `classes`."""

    PATH = "path"
    CLIENT = "client"
    COUNTRY = "country"
    UA_FAMILY = "ua_family"
    USER_AGENT = "user_agent"
    REFERER = "referer"
    HOST = "host"
    METHOD = "method"
    STATUS = "status"
    PROTOCOL = "protocol"
    SOURCE = "source"
    CLASS = "class"
    RULE = "rule"


class Measure(StrEnum):
    """What a top list is ordered by; a name is a field of `TopRow`."""

    REQUESTS = "requests"
    BYTES = "bytes"
    ERRORS = "errors"
    ATTACKS = "attacks"
    SECONDS = "seconds"


class Split(StrEnum):
    """What a time line is divided by into at most `SPLITS` series and the rest."""

    NONE = "none"
    STATUS = "status"
    """The class of the answer: `ok` (1xx to 3xx), `4xx`, `5xx`, and before these `attack`."""
    AUDIENCE = "audience"
    """Who asked: `attackers` (the line is an attack), else `bots`, else `people`."""
    CLASS = "class"
    """Attack class; a request of several classes counts in each, one of none in no series."""
    COUNTRY = "country"
    HOST = "host"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Condition:
    """`FIELD OP VALUE` with a value of the field's type; what cannot be compared never becomes one.

    Args:
        field: A column of `columns.record.RECORD` but `evidence`, or `attack`, or `source`.
        operator: One of `= != < <= > >= ~`.
        value: Text for text and lists, a number, a truth value or a moment (UTC); a pattern for `~`.
    """

    field: str
    operator: str
    value: str | int | float | bool | datetime


@dataclass(frozen=True)
class Filters:
    """Which requests a question is about.

    Args:
        since: First moment, inclusive; None is the beginning.
        until: Moment after the last, exclusive; None is the end.
        where: Conditions that must all hold.
    """

    since: datetime | None = None
    until: datetime | None = None
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one byte range of one source gave, to be stored once.

    Args:
        source: Name of the source, as people call it.
        token: Names source, file and byte range; the same token with the same content again changes
            nothing, however often it comes and whatever was killed in between.
        records: Schema `columns.record.RECORD`, or None.
        errors: Schema `core.errorlog.ERROR_RECORD`, or None.
        rejects: Schema `columns.record.REJECT`, or None.
        format: Name of the format that the lines were parsed with.
        again: Whether a process that was killed may have sent it before, wholly, partly or not at all.
    """

    source: str
    token: str
    records: pa.RecordBatch | None = None
    errors: pa.RecordBatch | None = None
    rejects: pa.RecordBatch | None = None
    format: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class TopList:
    """The first rows by a measure, and what they leave out.

    Args:
        rows: At most as many as were asked for, equal ones by value.
        distinct: How many values there are in all (of clients by errors or attacks within 1 %).
        requests: All requests that the question is about, those of other values included.
    """

    rows: tuple[CountedRow, ...]
    distinct: int
    requests: int


@dataclass(frozen=True, slots=True)
class CountedRow:
    """One value and what was counted of it.

    Args:
        value: The value; empty means not known.
        requests: Requests with it.
        bytes: Body bytes sent for them.
        errors: How many of them were answered 4xx or 5xx.
        attacks: How many of them are attacks.
        clients: Distinct clients behind them (exact for some hundreds, then within 2 %).
        seconds: Mean request time in seconds; None when the log has no times.
    """

    value: str
    requests: int
    bytes: int
    errors: int
    attacks: int
    clients: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a time line: requests, bytes and distinct clients of each step, shape (n,).

    Clients are exact for some hundreds in a step, then within 2 %.
    """

    name: str
    requests: tuple[int, ...]
    bytes: tuple[int, ...]
    clients: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Gapless steps from `start` on, `step` wide, and a series for each part of the split."""

    start: tuple[datetime, ...]
    step: timedelta
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """What traffic needs to know of a rule of threats: the class it is a sign of, and how bad that is."""

    attack_class: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One client and one attack class over a stretch of time, with the strongest example.

    Args:
        fingerprint: As `kernel.finding.Finding.fingerprint`, kind `threats.<class>`.
        severity: `info` to `critical`.
        status: Requests by status code: an attack answered 200 deserves a closer look than one with 404.
    """

    fingerprint: str
    attack_class: str
    client: str
    country: str
    severity: str
    score: float
    requests: int
    first: datetime
    last: datetime
    status: dict[str, int]
    rules: tuple[str, ...]
    example: str
    where: str
    decoded: str
    matched: str
    rule: str


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows, and the cursor of the rows after them; None when there are none."""

    rows: tuple[Row, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """One message of nginx's error logs, numbers folded, in a stretch of time.

    Args:
        hosts: Virtual hosts that it names, at most 5, most frequent first.
        steps: How often it stood in each of 24 equal steps of that stretch.
        example: One of its lines as written.
    """

    level: str
    message: str
    count: int
    first: datetime
    last: datetime
    hosts: tuple[str, ...]
    steps: tuple[int, ...]
    example: str


@dataclass(frozen=True, slots=True)
class Change:
    """A value that is asked for more or less than in the stretch before.

    Args:
        dimension: What it is a value of.
        value: The value; empty means not known.
        requests: Requests with it now.
        before: Requests with it in the stretch before.
        share: Its part of all that moved in its dimension, 0 to 1.
    """

    dimension: Dimension
    value: str
    requests: int
    before: int
    share: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between a stretch of time and the one of the same length before.

    Args:
        since: First moment of the stretch.
        until: The moment after its last.
        requests: Requests of the stretch.
        before: Requests of the stretch before.
        items: The largest share first.
    """

    since: datetime
    until: datetime
    requests: int
    before: int
    items: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the store holds.

    Args:
        requests: Rows of requests.
        first: Time of the earliest; None when there are none.
        last: Time of the latest.
        rejected: Lines that were no requests.
        errors: Lines of error logs.
    """

    requests: int
    first: datetime | None
    last: datetime | None
    rejected: int
    errors: int


class SourceState(StrEnum):
    """How a followed log is; only `following` needs no reason."""

    STARTING = "starting"
    """Looked for, not read yet."""
    FOLLOWING = "following"
    """Read to its end as it grows."""
    BEHIND = "behind"
    """Read, but more is written than was stored so far."""
    WAITING = "waiting"
    """Not there or not readable for now."""
    PAUSED = "paused"
    """There, but the store takes nothing for now."""
    FAILED = "failed"
    """Given up until someone acts."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A log that is followed, and how it is at this moment.

    Args:
        name: What people call it.
        format: Format that its lines are parsed with; empty when not known yet.
        state: How it is.
        reason: Why it is not following, in words of the reader's language; empty when it is.
        lag_bytes: Bytes written to the log and not stored yet.
        lag_seconds: Age of the oldest line not stored yet; 0 when there is none, None when not known.
        lines: Lines stored since the start of the process.
        rejected: Lines that were no requests, since then.
        last_event: Time of the latest line stored (UTC); None before the first.
        offset: Read up to here, in the file that is written at present.
        size: Size of that file.
    """

    name: str
    format: str
    state: SourceState
    reason: str
    lag_bytes: int
    lag_seconds: float | None
    lines: int
    rejected: int
    last_event: datetime | None
    offset: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one file of a log is stored, and what is being stored at this moment.

    A file lives from its first byte until it is truncated or deleted, under whatever names; offsets
    are after unpacking, so that they stay right when a rotated file is packed.

    Args:
        log: The log that it is a file of, whatever words it was asked for by: an absolute path.
        file: Identifies this life of the file; never used again.
        name: What people call the log, whatever the file is called after rotation.
        device: Device of the file, as last seen.
        inode: Its inode, as last seen.
        head_size: How many first bytes `head` was made of, at most 1,024.
        head: Digest of its first bytes, by which it is found under another inode.
        modified: Its time of change in nanoseconds, as last seen; compared with that of other files only.
        offset: Everything before is stored.
        line: Number of the first line that is not stored, from 1.
        end: End of the byte range that is being stored (the intent); None when there is none.
        format: Name of the format of that range; empty when not known.
        finished: Whether all of it is stored and no more is expected.
    """

    log: str
    file: str
    name: str
    device: int = 0
    inode: int = 0
    head_size: int = 0
    head: str = ""
    modified: int = 0
    offset: int = 0
    line: int = 1
    end: int | None = None
    format: str = ""
    finished: bool = False

    @property
    def token(self) -> str:
        """Names the file and the byte range that is being stored."""
        return f"{self.file}:{self.offset}-{self.end}"


@dataclass(frozen=True, slots=True)
class Arrival(Chunk):
    """Lines that arrived at a source.

    Args:
        mark: To be written down before they are stored (the intent).
        after: To be written down once they are; an arrival without data only moves the mark.
        again: Whether an earlier process began to store them.
    """

    mark: Mark
    after: Mark
    again: bool = False


@dataclass(frozen=True, slots=True)
class Followed:
    """One log that a source follows, as the source sees it.

    Args:
        name: What people call it.
        offset: Read up to here, in the file that is written at present.
        size: Size of that file.
        unread: Bytes that are there and not read yet, those of rotated files included.
        reason: Why it cannot be read; empty while it can.
        waiting: Whether there is no file of it at present.
    """

    name: str
    offset: int = 0
    size: int = 0
    unread: int = 0
    reason: str = ""
    waiting: bool = False
