"""Parse: bytes of a log to records and rejects, a pure function of the bytes and the format.

    bytes > lines and quotes > fields as spans > columns
                 the few odd lines > regular expression > fields as spans > columns

A line is a request when its fields other than the quoted request parse; what a client sent as
request may be anything. Blank lines are ignored. Every other line is rejected with a reason.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from dozor.columns.batches import column_to_arrow, join_batches
from dozor.columns.record import PARSED, REJECT
from dozor.columns.spans import Bools, Buffer, Ints, Spans, as_integers, as_seconds, as_text
from dozor.features.traffic.core.cut import cut, find_lines
from dozor.features.traffic.core.formats import (
    ERROR_LOG,
    FORMAT_STRINGS,
    Format,
    Kind,
    compile_format,
    group_name,
    json_format,
)
from dozor.features.traffic.core.jsonlines import read_json_lines
from dozor.features.traffic.core.request import split_request, split_target, whole_requests
from dozor.features.traffic.core.times import parse_epoch, parse_iso8601, parse_time_local

REASONS = ("", "fields", "json", "time", "status", "bytes", "client")
"""Why a line is no record: its shape, broken JSON, or the one value that cannot be read."""

REJECTED_RAW_BYTES = 2_048
"""A rejected line is kept up to this length."""

_FIELDS, _JSON, _TIME, _STATUS, _BYTES, _CLIENT = range(1, 7)
_SAMPLE_LINES = 100
_ERROR_LINE = re.compile(rb"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[[a-z]+\] \d+#\d+: ", re.MULTILINE)


@dataclass(frozen=True)
class Parsed:
    """What became of some bytes.

    Args:
        records: Schema `columns.record.PARSED`, in the order of the lines.
        rejects: Schema `columns.record.REJECT`, in the order of the lines.
    """

    records: pa.RecordBatch
    rejects: pa.RecordBatch


def parse(
    data: bytes | bytearray | memoryview, format_: Format, *, offset: int = 0, first_line: int = 1
) -> Parsed:
    """Parse whole lines of one log.

    Args:
        data: Bytes that begin at the start of a line.
        format_: How the lines are written.
        offset: Byte offset of `data` in its source.
        first_line: Number of its first line in its source.
    """
    buffer = Buffer.of(_valid_text(data, format_.kind))
    lines = find_lines(buffer)
    if not offset and len(lines.start) and buffer.data[:3].tobytes() == codecs.BOM_UTF8:
        lines.start[0] = 3
    number = np.arange(first_line, first_line + len(lines.start), dtype=np.int64)
    place = offset + (lines.start if buffer.size == len(data) else _line_starts(data))
    if format_.kind is Kind.JSON:
        fields: dict[str, Spans] = {}
        chosen = np.zeros(len(number), np.bool_)
    else:
        fields, chosen = cut(lines, format_)
    raw = lines.spans
    columns, reason = _columns(fields, raw.take(chosen))
    chosen[chosen] = reason == 0
    quick = _batch(columns, number[chosen], place[chosen], keep=reason == 0)
    rest = ~chosen & ~_blank(raw)
    if not rest.any():
        return Parsed(quick, _rejects(raw, number, place, np.zeros(len(number), np.int64)))
    return _with_rest(quick, _Numbered(raw, number, place), rest, format_)


@dataclass(frozen=True)
class _Numbered:
    """All lines of the data with their numbers and places."""

    raw: Spans
    number: Ints
    place: Ints


def _with_rest(quick: pa.RecordBatch, lines: _Numbered, rest: Bools, format_: Format) -> Parsed:
    """Join the quickly cut records with those of the remaining lines, in the order of the lines."""
    spans = lines.raw.take(rest)
    fields, fits = _match(spans, format_)
    columns, reason = _columns({name: field.take(fits) for name, field in fields.items()}, spans.take(fits))
    broken = np.full(len(spans), _JSON if format_.kind is Kind.JSON else _FIELDS, np.int64)
    broken[fits] = reason
    reasons = np.zeros(len(rest), np.int64)
    reasons[rest] = broken
    good = broken == 0
    slow = _batch(columns, lines.number[rest][good], lines.place[rest][good], keep=reason == 0)
    records = join_batches([quick, slow], PARSED, order="line")
    return Parsed(records, _rejects(lines.raw, lines.number, lines.place, reasons))


def detect_format(
    data: bytes | bytearray | memoryview, json_fields: Mapping[str, str] | None = None
) -> Format:
    """The known format that most of the first lines and of lines spread over `data` fit.

    When none fits, `combined`: its rejects then say so line by line.
    """
    sample = _sample(bytes(data))
    candidates = [
        json_format(json_fields),
        *(compile_format(text, name) for name, text in FORMAT_STRINGS.items()),
    ]
    fitting = [len(parse(sample, candidate).records) for candidate in candidates]
    best = int(np.argmax(fitting))
    if fitting[best]:
        return candidates[best]
    return ERROR_LOG if _ERROR_LINE.search(sample) else compile_format(FORMAT_STRINGS["combined"], "combined")


def _sample(data: bytes) -> bytes:
    lines = [
        line for line in bytes(data).split(b"\n", 4 * _SAMPLE_LINES)[: 4 * _SAMPLE_LINES] if line.strip()
    ]
    for place in np.linspace(0, len(data), _SAMPLE_LINES, endpoint=False).astype(int):
        start = data.find(b"\n", int(place)) + 1
        end = data.find(b"\n", start)
        if start and end > start:
            lines.append(bytes(data[start:end]))
    return b"\n".join(lines)


def _valid_text(data: bytes | bytearray | memoryview, kind: Kind) -> bytes | bytearray | memoryview:
    r"""The same bytes, or, where they are no UTF-8, with the bad ones written as \xHH like nginx does."""
    held = data if isinstance(data, bytes | bytearray) else bytes(data)
    if held.isascii():
        return data
    try:
        held.decode()
    except UnicodeDecodeError:
        errors = "dozor-json" if kind is Kind.JSON else "backslashreplace"
        return held.decode("utf-8", errors).encode()
    return data


def _escape_for_json(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(f"\\\\x{byte:02x}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("dozor-json", _escape_for_json)


def _line_starts(data: bytes | bytearray | memoryview) -> Ints:
    """Line starts in bytes that were not valid text, and so moved when they were written anew."""
    held = np.frombuffer(data, np.uint8)
    starts = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(held == ord("\n")) + 1])
    return starts[starts < len(held)]


def _blank(raw: Spans) -> Bools:
    """Where a line holds nothing but white space."""
    blank: Bools = raw.length == 0
    head = raw.first_bytes(1)[:, 0]
    for row in np.flatnonzero(~blank & (head <= ord(" "))):
        start = raw.start[row]
        blank[row] = not bytes(raw.buffer.data[start : start + raw.length[row]]).strip()
    return blank


def _match(lines: Spans, format_: Format) -> tuple[dict[str, Spans], Bools]:
    """Fields of lines by the format's regular expressions or as JSON, and which lines fit."""
    text = pl.Series("line", as_text(lines))
    if format_.kind is Kind.JSON:
        frame, fits = read_json_lines(text, format_.keys)
        frame = whole_requests(frame)
    else:
        frame, fits = _match_text(text, format_)
    return {name: Spans.of(frame[name].to_arrow()) for name in frame.columns}, fits


def _match_text(text: pl.Series, format_: Format) -> tuple[pl.DataFrame, Bools]:
    names = format_.variables
    groups = [group_name(place) for place in range(len(names))]
    strict, lenient = (text.str.extract_groups(pattern).struct.unnest() for pattern in format_.patterns)
    missed = strict[groups[0]].is_null()
    frame = strict.select(
        pl.when(missed).then(lenient[group]).otherwise(pl.col(group)).alias(group) for group in groups
    )
    frame = frame.rename(dict(zip(groups, names, strict=True)))
    return frame, frame[names[0]].is_not_null().to_numpy()


def _columns(fields: dict[str, Spans], raw: Spans) -> tuple[dict[str, pa.Array], Ints]:
    """Arrow columns of `PARSED` but for place and number; and for each row 0 or why it is no record."""
    n = len(raw)
    reason = np.zeros(n, np.int64)

    def field(*names: str) -> Spans:
        found = next((fields[name] for name in names if name in fields), None)
        return Spans.empty(n) if found is None else found

    millis, time_good = _time(fields, n)
    status, status_good = as_integers(field("status"), width=3)
    sent = field("body_bytes_sent", "bytes_sent")
    size, size_good = as_integers(sent)
    size_missing = sent.is_dash() | (sent.length == 0)
    client = field("remote_addr").without_dashes()
    for code, good in (
        (_CLIENT, client.length > 0),
        (_BYTES, size_good | size_missing),
        (_STATUS, status_good),
        (_TIME, time_good),
    ):
        reason[~good] = code
    method, target, protocol, junk = split_request(fields, n)
    path, query = split_target(target, junk)
    text = {
        "raw": raw,
        "client": client,
        "user": field("remote_user").without_dashes(),
        "method": method,
        "target": target,
        "path": path,
        "query": query,
        "protocol": protocol,
        "referer": field("http_referer").without_dashes(),
        "user_agent": field("http_user_agent").without_dashes(),
        "host": field("host", "http_host", "server_name").without_dashes(),
        "forwarded_for": field("http_x_forwarded_for").without_dashes(),
    }
    columns = {name: as_text(spans) for name, spans in text.items()}
    columns["ts"] = pa.array(millis, pa.timestamp("ms", tz="UTC"))
    columns["status"] = pa.array(np.clip(status, 0, 999).astype(np.uint16))
    columns["bytes"] = pa.array(np.where(size_missing, 0, size))
    for name, variable in (("request_time", "request_time"), ("upstream_time", "upstream_response_time")):
        columns[name] = as_seconds(fields[variable]) if variable in fields else pa.nulls(n, pa.float32())
    return columns, reason


def _time(fields: dict[str, Spans], n: int) -> tuple[Ints, Bools]:
    """Milliseconds of the first time variable that reads, the most precise kind first."""
    millis, good = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    for name, read in (
        ("msec", parse_epoch),
        ("time_iso8601", parse_iso8601),
        ("time_local", parse_time_local),
    ):
        if name in fields and not good.all():
            value, valid = read(fields[name])
            millis = np.where(~good & valid, value, millis)
            good |= valid
    return millis, good


def _batch(columns: dict[str, pa.Array], number: Ints, place: Ints, *, keep: Bools) -> pa.RecordBatch:
    """A `PARSED` batch of the kept rows; `number` and `place` are of these rows already."""
    known = dict(columns)
    if not keep.all():
        kept = pl.DataFrame(columns).filter(pl.Series(keep))
        known = {name: column_to_arrow(kept[name], PARSED.field(name).type) for name in columns}
    known |= {"line": pa.array(number), "line_offset": pa.array(place)}
    return pa.RecordBatch.from_arrays([known[name] for name in PARSED.names], schema=PARSED)


def _rejects(raw: Spans, number: Ints, place: Ints, reasons: Ints) -> pa.RecordBatch:
    rows = np.flatnonzero(reasons)
    spans = raw.take(rows)
    held = Spans(spans.buffer, spans.start, np.minimum(spans.length, REJECTED_RAW_BYTES))
    text = [
        bytes(held.buffer.data[start : start + length]).decode("utf-8", "ignore")
        for start, length in zip(held.start, held.length, strict=True)
    ]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(number[rows]),
            pa.array(place[rows]),
            pa.array([REASONS[code] for code in reasons[rows]], pa.string()),
            pa.array(text, pa.string()),
        ],
        schema=REJECT,
    )
