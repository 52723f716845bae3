"""nginx's error log: bytes to rows, and rows to the messages that stand behind them.

A line begins with local time, level, process and thread, then `*` and the connection's number if
there is one, the message, and facts about the request (client, server, request, upstream, host,
referrer). Lines that do not begin so continue the message before them: applications behind nginx
write stack traces.

nginx escapes nothing here, so a request can put facts of its own into a message. Counts and
messages are for reading; nobody should be blocked for what this log alone says.

| column of ERROR_RECORD | type | meaning |
|---|---|---|
| line | int64 | number of the first line, from 1 |
| line_offset | int64 | byte offset of the first line in its source |
| ts | timestamp[ms, UTC] | when it was logged |
| level | string | `debug`, `info`, `notice`, `warn`, `error`, `crit`, `alert` or `emerg` |
| pid | int64 | process |
| tid | int64 | thread |
| connection | int64 | number of the connection; null outside of one |
| message | string | what happened, continuation lines included |
| client | string | address, as all columns below empty when not logged |
| server | string | name of the server block |
| request | string | request line |
| upstream | string | address and path at the upstream |
| host | string | Host header |
| referrer | string | Referer header |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from dozor.columns.batches import to_batch
from dozor.columns.record import REJECT
from dozor.features.traffic.model import ErrorRow

_TEXT_COLUMNS = ("client", "server", "request", "upstream", "host", "referrer")

ERROR_RECORD = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        pa.field("line_offset", pa.int64(), nullable=False),
        pa.field("ts", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("pid", pa.int64(), nullable=False),
        pa.field("tid", pa.int64(), nullable=False),
        pa.field("connection", pa.int64()),
        pa.field("message", pa.string(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in _TEXT_COLUMNS),
    ]
)

MOST_ERRORS = 10
"""Messages of a summary."""

MERGE_COUNTS = [pl.col("count").sum(), pl.col("first").min(), pl.col("last").max()]
"""How counts of the same message are joined."""

_ENTRY = re.compile(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] \d")
_BEGINNING = r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] \d"
_HEAD = (
    r"^(?<ts>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?<level>debug|info|notice|warn|error|crit|alert|emerg)\] "
    r"(?<pid>\d{1,18})#(?<tid>\d{1,18}): (?:\*(?<connection>\d{1,18}) )?(?<text>(?s:.*))$"
)
_TIME = "%Y/%m/%d %H:%M:%S"
_FIRST_YEAR = 1900  # what is earlier is no time of a log; Python knows no year 0

# Facts stand at the end and in this order. nginx cuts a long line, so a closing quote may lack.
_QUOTED = r'(?s), {}: "(.*?)(?:", (?:request|subrequest|upstream|host|referrer): "|"?$)'
_FACTS = {
    "client": r"^([^,\s]*)",
    "server": r"^[^,\s]*, server: ([^,]*)",
    **{name: _QUOTED.format(name) for name in ("request", "upstream", "host", "referrer")},
}

_FOLDED = (
    # What an application says through FastCGI is the message itself, though nginx quotes it.
    (r'^FastCGI sent in stderr: "', "FastCGI: "),
    (r'"[^"]*(?:"|$)', '"N"'),
    (r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b", "N"),
    (r"\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\](?::\d+)?|\b[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f.:]*", "N"),
    (r"\b0x[0-9A-Fa-f]+\b", "N"),
    (r"\b\d+(?:\.\d+)*\b", "N"),
)


@dataclass(frozen=True, slots=True)
class ParsedErrors:
    """What became of some bytes.

    Args:
        records: Schema `ERROR_RECORD`, in the order of the lines.
        rejects: Schema `columns.record.REJECT`, in the order of the lines.
    """

    records: pa.RecordBatch
    rejects: pa.RecordBatch


def parse_errorlog(
    data: bytes | bytearray | memoryview, *, offset: int = 0, first_line: int = 1, zone: str = "UTC"
) -> ParsedErrors:
    """Parse lines of an nginx error log.

    Bytes that are no UTF-8 are shown as U+FFFD. Blank lines are ignored.

    Args:
        data: Whole lines.
        offset: Place of the first byte in the source.
        first_line: Number of the first line in the source.
        zone: IANA name of the server's time zone, which the log does not tell. A time that the end
            of summer time repeats is taken as its first occurrence.

    Returns:
        Rows, and rejects with the reasons `head` (the first lines of a log continue nothing) and
        `time` (a date or time that does not exist).
    """
    entries = _join(_lines(bytes(data), offset, first_line))
    entries = entries.with_columns(pl.col("raw").str.extract_groups(_HEAD).alias("head")).unnest("head")
    entries = entries.with_columns(
        ts=_utc(pl.col("ts"), zone),
        headless=pl.col("level").is_null(),
        parts=pl.col("text").str.splitn(", client: ", 2).struct.rename_fields(["message", "facts"]),
    ).unnest("parts")
    records = entries.filter(pl.col("ts").is_not_null()).with_columns(
        pl.col("pid", "tid", "connection").cast(pl.Int64),
        *(pl.col("facts").str.extract(fact).fill_null("").alias(name) for name, fact in _FACTS.items()),
    )
    # What a chunk begins with may continue the last message of the chunk before it.
    continues = ~pl.col("raw").str.contains(_BEGINNING) & (offset > 0)
    rejects = entries.filter(pl.col("ts").is_null() & ~continues).with_columns(
        reason=pl.when("headless").then(pl.lit("head")).otherwise(pl.lit("time"))
    )
    return ParsedErrors(to_batch(records, ERROR_RECORD), to_batch(rejects, REJECT))


def _lines(data: bytes, offset: int, first_line: int) -> pl.DataFrame:
    """Number, byte offset and text of each line that is not blank."""
    # Decoding with replacement keeps every line end, so that texts and offsets go together.
    texts = pl.Series([data.decode("utf-8", "replace")]).str.split("\n").explode()
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    starts = np.concatenate([[0], ends + 1]) + offset
    lines = pl.DataFrame(
        {
            "line": np.arange(first_line, first_line + len(texts)),
            "line_offset": starts,
            "raw": texts.str.strip_chars_end("\r"),
        }
    )
    return lines.filter(pl.col("raw").str.contains(r"\S"))


def _join(lines: pl.DataFrame) -> pl.DataFrame:
    """Join each line without a head to the entry before it; lines before any entry stay alone."""
    entry = pl.col("raw").str.contains(_BEGINNING).cast(pl.Int64).cum_sum()
    key = pl.when(entry > 0).then(entry).otherwise(-pl.col("line")).alias("entry")
    return (
        lines.group_by(key, maintain_order=True)
        .agg(pl.col("line", "line_offset").first(), pl.col("raw").str.join("\n"))
        .select("line", "line_offset", "raw")
    )


def _utc(local: pl.Expr, zone: str) -> pl.Expr:
    times = local.str.to_datetime(_TIME, time_unit="ms", strict=False)
    times = pl.when(times.dt.year() >= _FIRST_YEAR).then(times).otherwise(None)
    return times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone(
        "UTC"
    )


def whole_entries(data: bytes) -> int:
    """How many bytes of an error log's lines hold whole entries, if more follow.

    The last entry may go on in what follows. Bytes that do not begin as an error log are whole as they are.
    """
    if _ENTRY.match(data) is None:
        return len(data)
    place = len(data)
    while (place := data.rfind(b"\n", 0, place - 1) + 1) > 0:
        if _ENTRY.match(data, place):
            return place
    return len(data)


def fold_messages(messages: pl.Series) -> pl.Series:
    """Replace quoted text, addresses and numbers by `N`, so that messages of one kind are equal.

    Only the first line is kept: a stack trace below it differs with every program version.

    Args:
        messages: String series.
    """
    folded = messages.str.extract(r"^([^\n]*)")
    for pattern, replacement in _FOLDED:
        folded = folded.str.replace_all(pattern, replacement)
    return folded


def write_line(row: Mapping[str, Any]) -> str:
    """One row of `ERROR_RECORD` as nginx writes it."""
    head = f"{row['ts']:{_TIME}} [{row['level']}] {row['pid']}#{row['tid']}: "
    connection = "" if row["connection"] is None else f"*{row['connection']} "
    quoted = [f'{name}: "{row[name]}"' for name in _TEXT_COLUMNS[2:] if row[name]]
    plain = [f"{name}: {row[name]}" for name in _TEXT_COLUMNS[:2] if row[name]]
    return head + connection + ", ".join([row["message"], *plain, *quoted])


def count_messages(records: pa.RecordBatch) -> pl.DataFrame:
    """Count the messages of an error log by level and kind.

    Args:
        records: Rows of `ERROR_RECORD`.

    Returns:
        Columns level, message, count, first and last; `MERGE_COUNTS` joins the counts of several batches.
    """
    rows = pl.DataFrame(records.select(["ts", "level", "message"]))
    return (
        rows.with_columns(fold_messages(rows["message"]))
        .group_by("level", "message")
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            pl.col("ts").min().alias("first"),
            pl.col("ts").max().alias("last"),
        )
    )


def top_messages(counts: Iterable[pl.DataFrame], *, most: int = MOST_ERRORS) -> tuple[ErrorRow, ...]:
    """The most frequent messages.

    Args:
        counts: Frames of `count_messages` that share no message.
        most: How many rows to return.
    """
    frames = list(counts)
    if not frames:
        return ()
    ordered = pl.concat(frames).sort("count", "level", "message", descending=[True, False, False])
    return tuple(ErrorRow(**row) for row in ordered.head(most).iter_rows(named=True))
