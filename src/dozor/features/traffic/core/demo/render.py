"""Events as text: lines of nginx's access log, of its error log, and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

import polars as pl

from dozor.features.traffic.core.demo import tables

_PID: Final = "1187#1187"
_CONNECTION: Final = 4_000_000


class DemoFormat(StrEnum):
    """Formats of the access log: nginx's own `combined`, with times (`main`), or JSON."""

    COMBINED = "combined"
    MAIN = "main"
    JSON = "json"


def access_lines(events: pl.DataFrame, log_format: DemoFormat) -> pl.Series:
    """One line of the access log for each event, without line ends."""
    return _ACCESS[log_format](events)


def error_lines(events: pl.DataFrame, first_line: int) -> list[str]:
    """Lines of the error log for the events that have a fault.

    Args:
        events: Ordered by time.
        first_line: Line number of the first event in the access log; connection numbers follow from it.
    """
    faulty = events.with_row_index("line", offset=first_line).filter(pl.col("fault") != "")
    stamp = faulty["t"].cast(pl.Datetime("ms")).dt.strftime("%Y/%m/%d %H:%M:%S").to_list()
    return [_error_line(at, row) for at, row in zip(stamp, faulty.iter_rows(named=True), strict=True)]


def label_lines(events: pl.DataFrame, first_line: int) -> list[str]:
    """One JSON object for each labelled event: `line` (from 1), `label` and `campaign`.

    Args:
        events: In the order of the access log.
        first_line: Line number of the first event in the access log.
    """
    labelled = events.with_row_index("line", offset=first_line).filter(pl.col("label") != "")
    return [json.dumps(row) for row in labelled.select("line", "label", "campaign").iter_rows(named=True)]


def _combined(events: pl.DataFrame) -> pl.Series:
    stamp = pl.col("t").cast(pl.Datetime("ms")).dt.strftime("%d/%b/%Y:%H:%M:%S +0000")
    return (
        _escaped(events)
        .select(
            pl.format(
                '{} - - [{}] "{}" {} {} "{}" "{}"',
                "client",
                stamp,
                "request",
                "status",
                "bytes",
                "referer",
                "agent",
            )
        )
        .to_series()
    )


def _main(events: pl.DataFrame) -> pl.Series:
    times = events.select(pl.format(' "-" rt={} ut="{}"', _seconds(), "ut")).to_series()
    return pl.select(pl.concat_str(_combined(events), times)).to_series()


def _json(events: pl.DataFrame) -> pl.Series:
    stamp = pl.col("t").cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%dT%H:%M:%S+00:00")
    # with escape=json nginx writes an absent value as an empty string
    present = {name: pl.col(name).replace("-", "") for name in ("referer", "agent", "ut")}
    return events.select(
        pl.struct(
            time_iso8601=stamp,
            remote_addr=pl.col("client"),
            remote_user=pl.lit(""),
            request=pl.col("request"),
            status=pl.col("status"),
            body_bytes_sent=pl.col("bytes"),
            http_referer=present["referer"],
            http_user_agent=present["agent"],
            http_x_forwarded_for=pl.lit(""),
            host=pl.lit(tables.SITE),
            request_time=pl.col("rt"),
            upstream_response_time=present["ut"],
        ).struct.json_encode()
    ).to_series()


def _seconds() -> pl.Expr:
    """Seconds with exactly three decimals."""
    thousandths = (pl.col("rt") * 1000).round().cast(pl.Int64)
    return pl.format("{}.{}", thousandths // 1000, (thousandths % 1000).cast(pl.String).str.zfill(3))


def _escaped(events: pl.DataFrame) -> pl.DataFrame:
    r"""Quotes, backslashes and bytes that do not print, as `\xHH` where a client chose the text."""
    return events.with_columns(
        pl.when(pl.col(name).str.contains(_UNSAFE.pattern))
        .then(pl.col(name).map_elements(escape, return_dtype=pl.String))
        .otherwise(name)
        if events[name].str.contains(_UNSAFE.pattern).any()
        else pl.col(name)
        for name in ("request", "referer", "agent")
    )


_UNSAFE: Final = re.compile(r'["\\\x00-\x1f\x7f-\xff]')


def escape(text: str) -> str:
    r"""The text as nginx writes it into a log: quotes, backslashes and what does not print as `\xHH`."""
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02X}", text)


_ACCESS: Final[Mapping[DemoFormat, Callable[[pl.DataFrame], pl.Series]]] = {
    DemoFormat.COMBINED: _combined,
    DemoFormat.MAIN: _main,
    DemoFormat.JSON: _json,
}

# level, message, whether the application had been asked
_FAULTS: Final = {
    "timeout": (
        "error",
        "upstream timed out (110: Connection timed out) while reading response header from upstream",
        True,
    ),
    "refused": ("error", "connect() failed (111: Connection refused) while connecting to upstream", True),
    "open": ("error", 'open() "{file}" failed (2: No such file or directory)', False),
    "too_large": ("error", "client intended to send too large body: {size} bytes", False),
    "limited": ("error", 'limiting requests, excess: {excess} by zone "per_client"', False),
    "invalid": ("info", "client sent invalid request while reading client request line", False),
}


def _error_line(stamp: str, row: Mapping[str, str | int | float]) -> str:
    line, request = int(row["line"]), escape(str(row["request"]))
    level, message, asked = _FAULTS[str(row["fault"])]
    path = request.split(" ")[1] if " " in request else ""
    # figures that differ from line to line yet follow from it
    said = message.format(
        file=f"{tables.ROOT}{path.partition('?')[0]}",
        size=10_485_760 + line * 7919 % 50_000_000,
        excess=f"{20 + line * 31 % 4000 / 1000:.3f}",
    )
    parts = [
        f"{stamp} [{level}] {_PID}: *{_CONNECTION + line} {said}",
        f"client: {row['client']}",
        f"server: {tables.SITE}",
        f'request: "{request}"',
        *([f'upstream: "http://{tables.UPSTREAM}{path}"'] if asked else []),
        f'host: "{tables.SITE}"',
        *([f'referrer: "{row["referer"]}"'] if row["referer"] != "-" else []),
    ]
    return ", ".join(parts)
