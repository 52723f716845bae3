"""The request line as method, target and protocol; what is no request line is junk, kept as it is.

Source: RFC 9112, section 3 (`method SP request-target SP HTTP-version`), RFC 9110, section 5.6.2
(a method is a token), RFC 1945, section 5.1 (`GET /path` without a version is HTTP/0.9).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from dozor.columns.spans import Bools, Ints, Spans, as_text

_METHOD_BYTES = 24  # longer than any registered method; a longer first word is junk
_VERSION_BYTES = 9  # ` HTTP/1.1` with its space
_VERSION = r" HTTP/[0-9](?:\.[0-9])?$"
_SPACE = ord(" ")
_TOKEN = np.zeros(256, np.bool_)
_TOKEN[[ord(sign) for sign in "!#$%&'*+-.^_`|~"]] = True
for _low, _high in ("09", "AZ", "az"):
    _TOKEN[ord(_low) : ord(_high) + 1] = True


def _word(text: bytes) -> np.uint64:
    """Up to 8 bytes as `Buffer.words` gives them."""
    return np.uint64(int.from_bytes(text, "little"))


_COMMON_VERSIONS = [_word(b"HTTP/" + number) for number in (b"1.1", b"2.0", b"1.0", b"3.0")]
_COMMON_METHODS = [
    (_word(b"\xff" * len(method)), _word(method), len(method) - 1)
    for method in (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ")
]
"""Mask and value of a method with its space in the first 8 bytes, and its length: nearly all lines."""


def split_request(fields: Mapping[str, Spans], n: int) -> tuple[Spans, Spans, Spans, Bools]:
    """Method, target, protocol and where the request is junk (its target then is the raw text).

    Takes `request`, or `request_method`, `request_uri` and `server_protocol`.
    """
    if "request" in fields:
        return _split_line(fields["request"])
    target = fields.get("request_uri", Spans.empty(n))
    method = fields.get("request_method", Spans.empty(n)).without_dashes()
    protocol = fields.get("server_protocol", Spans.empty(n)).without_dashes()
    junk: Bools = method.length == 0
    return method, target, _blank_where(protocol, junk), junk


def whole_requests(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of JSON lines with either `request` or its parts, never both.

    When lines of both kinds are mixed, the parts are put together to a request line.
    """
    if "request" not in frame.columns or "request_uri" not in frame.columns:
        return frame
    whole = frame["request"]
    if whole.null_count() == len(whole):
        return frame.drop("request")
    parts = [part for part in ("request_method", "request_uri", "server_protocol") if part in frame.columns]
    joined = pl.when(pl.col("request_uri").is_not_null()).then(
        pl.concat_str(parts, separator=" ", ignore_nulls=True)
    )
    return frame.with_columns(pl.coalesce("request", joined)).drop(parts)


def _split_line(request: Spans) -> tuple[Spans, Spans, Spans, Bools]:
    buffer, start, length = request.buffer, request.start, request.length
    word = _method_length(request)
    version = _version_length(request)
    target_start = start + word + 1
    target_length = length - word - 1 - version
    good: Bools = (word > 0) & (target_length > 0) & (version > 0)
    old = np.flatnonzero((word > 0) & (target_length > 0) & (version == 0))
    if len(old):
        text = pl.Series(as_text(Spans(buffer, target_start[old], target_length[old])))
        good[old] = (text.str.starts_with("/") & ~text.str.contains(" ", literal=True)).to_numpy()
    has_version = good & (version > 0)
    method = Spans(buffer, start, np.where(good, word, 0))
    target = Spans(buffer, np.where(good, target_start, start), np.where(good, target_length, length))
    protocol = Spans(
        buffer,
        np.where(has_version, start + length - version + 1, start),
        np.where(has_version, version - 1, 0),
    )
    return method, target, protocol, ~good


def _method_length(request: Spans) -> Ints:
    """Bytes of the first word, a token that a space ends; 0 where there is none."""
    head = request.buffer.words(request.start)
    found = np.zeros(len(request), np.int64)
    rest: Ints | slice = slice(None)
    for mask, word, size in _COMMON_METHODS:
        found[rest] = np.where((head[rest] & mask) == word, size, 0)
        rest = np.flatnonzero(found == 0)
        if not len(rest):
            break
    found[found >= request.length] = 0
    rest = np.flatnonzero(found == 0)
    if len(rest):
        window = request.take(rest).first_bytes(_METHOD_BYTES)
        is_space = window == _SPACE
        size = is_space.argmax(1)
        is_token = (_TOKEN[window] | (np.arange(_METHOD_BYTES) >= size[:, None])).all(1)
        found[rest] = np.where(is_space[np.arange(len(rest)), size] & is_token, size, 0)
    return found


def _version_length(request: Spans) -> Ints:
    """Bytes of ` HTTP/d.d` or ` HTTP/d` at the end, with its space; 0 when there is none."""
    end = request.start + request.length
    found = np.zeros(len(request), np.int64)
    tail = request.buffer.words(np.maximum(end - 8, 0))
    common: Bools = tail == _COMMON_VERSIONS[0]
    for version in _COMMON_VERSIONS[1:]:
        common |= tail == version
    common &= request.length > _VERSION_BYTES
    common &= request.buffer.data[np.maximum(end - _VERSION_BYTES, 0)] == _SPACE
    found[common] = _VERSION_BYTES
    rest = np.flatnonzero(~common)
    if len(rest):
        last = np.minimum(request.length[rest], _VERSION_BYTES)
        text = pl.Series(as_text(Spans(request.buffer, end[rest] - last, last)))
        found[rest] = text.str.extract(_VERSION, 0).str.len_bytes().fill_null(0).to_numpy()
    return found


def _blank_where(spans: Spans, rows: Bools) -> Spans:
    return Spans(spans.buffer, spans.start, np.where(rows, 0, spans.length))


def split_target(target: Spans, junk: Bools, questions: Ints | None = None) -> tuple[Spans, Spans]:
    """Path (up to the first `?`) and query (after it), as written; junk is all path.

    Args:
        target: The targets, places ascending.
        junk: Which of them are no targets.
        questions: Places of all `?` in the buffer, if known.
    """
    buffer = target.buffer
    marks = np.flatnonzero(buffer.data[: buffer.size] == ord("?")) if questions is None else questions
    if not len(marks):
        return target, _blank_where(target, np.ones(len(target), np.bool_))
    nearest = marks[np.minimum(np.searchsorted(marks, target.start), len(marks) - 1)]
    end = target.start + target.length
    cut: Bools = (nearest >= target.start) & (nearest < end) & ~junk
    path = Spans(buffer, target.start, np.where(cut, nearest - target.start, target.length))
    query = Spans(buffer, np.where(cut, nearest + 1, target.start), np.where(cut, end - nearest - 1, 0))
    return path, query
