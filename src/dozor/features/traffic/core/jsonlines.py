"""JSON lines to text columns, one per nginx variable; broken lines are told apart, not fatal."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import orjson
import polars as pl

from dozor.columns.spans import Bools

_BY_LINE = 8  # ranges of this many lines with a broken one among them are read line by line


def read_json_lines(lines: pl.Series, keys: Mapping[str, str]) -> tuple[pl.DataFrame, Bools]:
    """Read one JSON object a line.

    Args:
        lines: String, shape (n,): the lines.
        keys: JSON key to nginx variable; of several keys for one variable the first that is set counts.

    Returns:
        String columns named by variable, shape (n,), null where absent; numbers as JSON writes them;
        and bool, shape (n,): where the line was an object.
    """
    trimmed = lines.str.strip_chars()
    likely = (trimmed.str.starts_with("{") & trimmed.str.ends_with("}")).to_numpy()
    frame, good = _read_range(trimmed.filter(pl.Series(likely)), keys)
    valid = likely.copy()
    valid[likely] = good
    places = np.full(len(lines), -1, np.int64)
    places[likely] = np.arange(int(likely.sum()))
    none = pl.DataFrame({key: [None] for key in keys}, schema=dict.fromkeys(keys, pl.String))
    rows = pl.Series(np.where(valid, places, len(frame)), dtype=pl.UInt32)
    spread = pl.concat([frame, none]).select(pl.all().gather(rows))
    variables = dict.fromkeys(keys.values())
    merged = spread.select(
        pl.coalesce([pl.col(key) for key, name in keys.items() if name == variable]).alias(variable)
        for variable in variables
    )
    return merged, valid


def _read_range(lines: pl.Series, keys: Mapping[str, str]) -> tuple[pl.DataFrame, Bools]:
    """Read all at once; when a line breaks that, halve until it is found."""
    schema = dict.fromkeys(keys, pl.String)
    if not len(lines):
        return pl.DataFrame(schema=schema), np.zeros(0, np.bool_)
    try:
        text = "\n".join(lines.to_list()).encode()
        frame = pl.read_ndjson(io.BytesIO(text), schema=schema)
    except pl.exceptions.PolarsError:
        frame = None
    if frame is not None and len(frame) == len(lines):
        return frame, np.ones(len(lines), np.bool_)
    if len(lines) <= _BY_LINE:
        return _read_each(lines.to_list(), keys)
    half = len(lines) // 2
    first, first_good = _read_range(lines[:half], keys)
    second, second_good = _read_range(lines[half:], keys)
    return pl.concat([first, second]), np.concatenate([first_good, second_good])


def _read_each(lines: Sequence[str], keys: Mapping[str, str]) -> tuple[pl.DataFrame, Bools]:
    rows: list[dict[str, str | None]] = []
    good = np.zeros(len(lines), np.bool_)
    for place, line in enumerate(lines):
        found = _object(line)
        good[place] = found is not None
        rows.append({key: _text((found or {}).get(key)) for key in keys})
    return pl.DataFrame(rows, schema=dict.fromkeys(keys, pl.String)), good


def _object(line: str) -> dict[str, object] | None:
    r"""The line's object; nginx without `escape=json` writes \xHH, which JSON does not know."""
    for text in (line, line.replace("\\x", "\\\\x")):
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        return value if isinstance(value, dict) else None
    return None


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
