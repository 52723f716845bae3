"""Parse: bytes of a log to records and rejects, a pure function of the bytes and the format.

    bytes > lines and quotes > fields as spans > columns
                 the few odd lines > regular expression > fields as spans > columns

A line is a request when its fields other than the quoted request parse; what a client sent as
request may be anything. Blank lines are ignored. Every other line is rejected with a reason.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from dozor.columns.batches import join_batches
from dozor.columns.record import PARSED, REJECT
from dozor.columns.spans import (
    Bools,
    Buffer,
    Ints,
    Spans,
    as_integers,
    as_seconds,
    as_text,
    as_views,
    from_views,
)
from dozor.features.traffic.core.cut import Lines, cut, find_lines
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

_BLOCK_LINES = 16_384
"""Lines that are cut and read at a time."""

_Column: TypeAlias = NDArray[Any]

_FIELDS, _JSON, _TIME, _STATUS, _BYTES, _CLIENT = range(1, 7)
_SAMPLE_LINES = 100
_ASCII_END = 0x80
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
    chosen = np.zeros(len(number), np.bool_)
    quick = _quick(lines, format_, number, place, chosen)
    rest = np.flatnonzero(~chosen)
    left = _Numbered(lines.spans.take(rest), number[rest], place[rest])
    left = left.take(~_blank(left.text))
    if not len(left.number):
        return Parsed(quick, _rejects(left, np.zeros(0, np.int64)))
    slow, reasons = _slow(left, format_)
    return Parsed(join_batches([quick, slow], PARSED, order="line"), _rejects(left, reasons))


@dataclass(frozen=True)
class _Numbered:
    """Lines with their numbers and places in the source."""

    text: Spans
    number: Ints
    place: Ints

    def take(self, rows: Ints | Bools) -> _Numbered:
        return _Numbered(self.text.take(rows), self.number[rows], self.place[rows])


def _quick(lines: Lines, format_: Format, number: Ints, place: Ints, chosen: Bools) -> pa.RecordBatch:
    """Records of the lines that can be cut and read, which are marked in `chosen`.

    Some thousand lines at a time: what is computed of them stays in the processor's cache.
    """
    if format_.kind is Kind.JSON or not len(number):
        return pa.RecordBatch.from_pylist([], PARSED)
    columns: dict[str, list[_Column]] = {}
    for rows, block in lines.blocks(_BLOCK_LINES):
        fields, fits = cut(block, format_)
        values = _values(fields, block.spans.take(fits), block.questions)
        good = values.reason == 0
        fits[fits] = good
        chosen[rows] = fits
        for name, column in values.columns().items():
            columns.setdefault(name, []).append(column if good.all() else column[good])
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    return _batch(joined, dict.fromkeys(joined, lines.buffer), number[chosen], place[chosen])


def _slow(lines: _Numbered, format_: Format) -> tuple[pa.RecordBatch, Ints]:
    """Records of lines that were not cut, by expression or as JSON; and why each other one is none."""
    fields, fits = _match(lines.text, format_)
    values = _values({name: field.take(fits) for name, field in fields.items()}, lines.text.take(fits))
    reasons = np.full(len(fits), _JSON if format_.kind is Kind.JSON else _FIELDS, np.int64)
    reasons[fits] = values.reason
    good = lines.take(reasons == 0)
    columns = {name: column[values.reason == 0] for name, column in values.columns().items()}
    buffers = {name: spans.buffer for name, spans in values.text.items()}
    return _batch(columns, buffers, good.number, good.place), reasons


def detect_format(
    data: bytes | bytearray | memoryview, json_fields: Mapping[str, str] | None = None
) -> Format:
    """The known format that most of the first lines and of lines spread over `data` fit.

    When none fits, `combined`: its rejects then say so line by line.
    """
    lines = _sample(data)
    sample = b"\n".join(lines)
    best, most = None, 0
    for candidate in _candidates(lines, json_fields):
        fitting = len(parse(sample, candidate).records)
        if fitting > most:
            best, most = candidate, fitting
        if most == len(lines):
            break
    if best is not None:
        return best
    return ERROR_LOG if _ERROR_LINE.search(sample) else compile_format(FORMAT_STRINGS["combined"], "combined")


def _candidates(lines: Sequence[bytes], json_fields: Mapping[str, str] | None) -> Iterator[Format]:
    """The formats that lines may have, the likeliest first."""
    if any(line.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{") for line in lines):
        yield json_format(json_fields)
    for name, text in FORMAT_STRINGS.items():
        yield compile_format(text, name)


def _sample(data: bytes | bytearray | memoryview) -> list[bytes]:
    """Some lines from the start of the log and some from all over it, none of them blank."""
    held = data if isinstance(data, bytes | bytearray) else bytes(data)
    lines: list[bytes | bytearray] = [*held.split(b"\n", 4 * _SAMPLE_LINES)[: 4 * _SAMPLE_LINES]]
    for place in np.linspace(0, len(held), _SAMPLE_LINES, endpoint=False).astype(int):
        start = held.find(b"\n", int(place)) + 1
        end = held.find(b"\n", start)
        if start and end > start:
            lines.append(held[start:end])
    return [bytes(line) for line in lines if line.strip()]


def _valid_text(data: bytes | bytearray | memoryview, kind: Kind) -> bytes | bytearray | memoryview:
    r"""The same bytes, or, where they are no UTF-8, with the bad ones written as \xHH like nginx does."""
    if not len(data) or int(np.frombuffer(data, np.uint8).max()) < _ASCII_END:
        return data
    held = data if isinstance(data, bytes | bytearray) else bytes(data)
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


@dataclass(frozen=True)
class _Values:
    """What stands in lines, shape (n,) each, but for number and place.

    Args:
        text: Text columns of `PARSED`.
        numbers: Its other columns; a missing time of a request is not a number.
        reason: int64: 0 or why the line is no record.
    """

    text: dict[str, Spans]
    numbers: dict[str, _Column]
    reason: Ints

    def columns(self) -> dict[str, _Column]:
        """All columns; of text its views, shape (n, 2)."""
        return {**{name: as_views(spans) for name, spans in self.text.items()}, **self.numbers}


def _values(fields: dict[str, Spans], raw: Spans, questions: Ints | None = None) -> _Values:
    """Read the fields of lines; `questions` are the places of all `?` in their buffer, if known."""
    n = len(raw)
    reason = np.zeros(n, np.int64)

    def field(*names: str) -> Spans:
        found = next((fields[name] for name in names if name in fields), None)
        return Spans.empty(n) if found is None else found

    millis, time_good = _time(fields, n)
    status, status_good = as_integers(field("status"), width=3)
    size, size_good = _size(field("body_bytes_sent", "bytes_sent"))
    client = field("remote_addr").without_dashes()
    for code, good in (
        (_CLIENT, client.length > 0),
        (_BYTES, size_good),
        (_STATUS, status_good),
        (_TIME, time_good),
    ):
        reason[~good] = code
    method, target, protocol, junk = split_request(fields, n)
    path, query = split_target(target, junk, questions)
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
    numbers: dict[str, _Column] = {
        "ts": millis,
        "status": np.clip(status, 0, 999).astype(np.uint16),
        "bytes": size,
        "request_time": _seconds(fields.get("request_time"), n),
        "upstream_time": _seconds(fields.get("upstream_response_time"), n),
    }
    return _Values(text, numbers, reason)


def _size(sent: Spans) -> tuple[Ints, Bools]:
    """Bytes sent, and where they can be read; missing ones are none."""
    size, good = as_integers(sent)
    missing = np.flatnonzero(~good)
    missing = missing[sent.take(missing).without_dashes().length == 0]
    size[missing], good[missing] = 0, True
    return size, good


def _seconds(spans: Spans | None, n: int) -> _Column:
    if spans is None:
        return np.full(n, np.nan, np.float32)
    seconds, known = as_seconds(spans)
    seconds[~known] = np.nan
    return seconds


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


def _batch(
    columns: Mapping[str, _Column], buffers: Mapping[str, Buffer], number: Ints, place: Ints
) -> pa.RecordBatch:
    """A `PARSED` batch of the columns of `_Values`; the text of each is in its buffer."""
    known = {"line": number, "line_offset": place, **columns}
    arrays = [
        from_views(known[field.name], buffers[field.name])
        if field.type == pa.string_view()
        else pa.array(known[field.name], field.type, from_pandas=True)  # not a number becomes null
        for field in PARSED
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=PARSED)


def _rejects(lines: _Numbered, reasons: Ints) -> pa.RecordBatch:
    rows = np.flatnonzero(reasons)
    broken = lines.take(rows)
    length = np.minimum(broken.text.length, REJECTED_RAW_BYTES)
    text = [
        bytes(broken.text.buffer.data[start : start + size]).decode("utf-8", "ignore")
        for start, size in zip(broken.text.start, length, strict=True)
    ]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(broken.number),
            pa.array(broken.place),
            pa.array([REASONS[code] for code in reasons[rows]], pa.string()),
            pa.array(text, pa.string()),
        ],
        schema=REJECT,
    )
