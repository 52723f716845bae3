"""The request line as method, target and protocol; what is no request line is junk, kept as it is.

Source: RFC 9112, section 3 (`method SP request-target SP HTTP-version`), RFC 9110, section 5.6.2
(a method is a token), RFC 1945, section 5.1 (`GET /path` without a version is HTTP/0.9).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from dozor.columns.spans import Bools, Ints, Spans

_METHOD_BYTES = 24  # longer than any registered method; a longer first word is junk
_PROTOCOL_BYTES = 10  # ` HTTP/1.1` with its space; ` HTTP/2` and such are found in it too
_SPACE = ord(" ")
_TOKEN = np.zeros(256, np.bool_)
_TOKEN[[ord(sign) for sign in "!#$%&'*+-.^_`|~"]] = True
for _low, _high in ("09", "AZ", "az"):
    _TOKEN[ord(_low) : ord(_high) + 1] = True


def split_request(fields: Mapping[str, Spans], n: int) -> tuple[Spans, Spans, Spans, Bools]:
    """Method, target, protocol and where the request is junk (its target then is the raw text).

    Takes `request`, or `request_method`, `request_uri` (or `uri` and `args`) and `server_protocol`.
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
    head = request.first_bytes(_METHOD_BYTES)
    is_space = head == _SPACE
    word = is_space.argmax(1)
    columns = np.arange(_METHOD_BYTES)
    is_token = (_TOKEN[head] | (columns >= word[:, None])).all(1)
    has_method = is_space[np.arange(len(request)), word] & (word > 0) & is_token
    version = _version_length(request)
    target_start = start + word + 1
    target_length = length - word - 1 - version
    old = (version == 0) & _starts_with_slash(request, target_start) & ~_has_space(request, target_start)
    good: Bools = has_method & (target_length > 0) & ((version > 0) | old)
    method = Spans(buffer, start, np.where(good, word, 0))
    target = Spans(buffer, np.where(good, target_start, start), np.where(good, target_length, length))
    has_version = good & (version > 0)
    protocol = Spans(
        buffer,
        np.where(has_version, start + length - version + 1, start),
        np.where(has_version, version - 1, 0),
    )
    return method, target, protocol, ~good


def _version_length(request: Spans) -> Ints:
    """Bytes of ` HTTP/d.d` or ` HTTP/d` at the end, with its space; 0 when there is none."""
    found = np.zeros(len(request), np.int64)
    for width, shape in ((9, " HTTP/0.0"), (7, " HTTP/0")):
        tail = request.buffer.windows(np.maximum(request.start + request.length - width, 0), _PROTOCOL_BYTES)
        fits = request.length >= width
        for place, sign in enumerate(shape):
            byte = tail[:, place]
            fits &= (byte >= ord("0")) & (byte <= ord("9")) if sign == "0" else byte == ord(sign)
        found = np.where((found == 0) & fits, width, found)
    return found


def _starts_with_slash(request: Spans, place: Ints) -> Bools:
    slash: Bools = request.buffer.data[np.minimum(place, request.buffer.size)] == ord("/")
    return slash


def _has_space(request: Spans, place: Ints) -> Bools:
    """Where a space stands between `place` and the end; only asked of the rare lines without a version."""
    has = np.zeros(len(request), np.bool_)
    for row in np.flatnonzero(_version_length(request) == 0):
        end = request.start[row] + request.length[row]
        has[row] = bool((request.buffer.data[place[row] : end] == _SPACE).any())
    return has


def _blank_where(spans: Spans, rows: Bools) -> Spans:
    return Spans(spans.buffer, spans.start, np.where(rows, 0, spans.length))


def split_target(target: Spans, junk: Bools) -> tuple[Spans, Spans]:
    """Path (up to the first `?`) and query (after it), as written; junk is all path."""
    buffer = target.buffer
    marks = np.flatnonzero(buffer.data[: buffer.size] == ord("?"))
    if not len(marks):
        return target, _blank_where(target, np.ones(len(target), np.bool_))
    nearest = marks[np.minimum(np.searchsorted(marks, target.start), len(marks) - 1)]
    end = target.start + target.length
    cut: Bools = (nearest >= target.start) & (nearest < end) & ~junk
    path = Spans(buffer, target.start, np.where(cut, nearest - target.start, target.length))
    query = Spans(buffer, np.where(cut, nearest + 1, target.start), np.where(cut, end - nearest - 1, 0))
    return path, query
