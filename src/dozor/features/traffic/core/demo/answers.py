"""How the site's application answers: status, time taken and what nginx notes in its error log."""

# ruff: noqa: PLR2004  (chances and HTTP statuses are the substance here)

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dozor.features.traffic.core.demo.world import HOUR, MINUTE, Floats, Ints, Window

TIMEOUT: Final = 60.0
"""nginx's default `proxy_read_timeout`, seconds."""

FAULTS: Final = {502: "refused", 503: "limited", 504: "timeout", 413: "too_large"}
"""Status to the kind of the error-log entry that goes with it."""

_ERROR_BYTES: Final = {
    400: 157,
    401: 96,
    403: 153,
    404: 1_187,
    413: 183,
    500: 1_420,
    502: 157,
    503: 197,
    504: 167,
}


@dataclass(frozen=True, slots=True)
class Outage:
    """A few minutes in which the application answers hardly anyone, ms since 1970 UTC; empty when equal."""

    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Answers:
    """Row `i` of every column is the answer to one request; columns as in the event table."""

    status: Ints
    rt: Floats
    ut: pl.Series
    fault: pl.Series

    def columns(self, usual: Ints) -> dict[str, Any]:
        """These columns and `bytes` for the event table: `usual` bytes unless the answer is an error page."""
        return {
            "status": self.status,
            "bytes": sized(self.status, usual),
            "rt": self.rt,
            "ut": self.ut,
            "fault": self.fault,
        }


def plan_outage(rng: np.random.Generator, window: Window) -> Outage:
    """One outage of 3 to 10 minutes in a window of at least six hours."""
    if window.length < 6 * HOUR:
        return Outage()
    start = int(rng.integers(window.start + HOUR, window.end - HOUR))
    return Outage(start, start + int(rng.integers(3 * MINUTE, 10 * MINUTE)))


def errors_of_pages(rng: np.random.Generator, count: int) -> Ints:
    """Statuses of ordinary page views: nearly all 200, some 404, a few 5xx."""
    draw = rng.random(count)
    return np.select([draw < 0.010, draw < 0.0115, draw < 0.0122, draw < 0.0132], [404, 500, 502, 504], 200)


def answer(rng: np.random.Generator, t: Ints, outage: Outage, status: Ints) -> Answers:
    """Let the application answer requests at moments `t` with `status`, unless it is out."""
    count = len(t)
    out = (t >= outage.start) & (t < outage.end) & (rng.random(count) < 0.6)
    status = np.where(out, 502, status)
    # busy moments are slow for everyone: a shared wave of some minutes over each request's own time
    wave = 1 + 0.4 * np.sin(t / (23 * MINUTE)) ** 8
    took = rng.lognormal(np.log(0.085), 0.7, count) * wave
    # a refused connection fails at once, a time-out takes its full time, a crash comes late
    conditions = [status == 502, status == 504, status == 500]
    took = np.select(conditions, [took / 50, TIMEOUT + took / 50, took * 4], took)
    unasked = np.isin(status, (413, 503))
    took = np.asarray(np.where(unasked, 0.0, np.round(took, 3)), dtype=np.float64)
    return Answers(
        status=status,
        rt=np.asarray(np.round(took + (took > 0) * 0.001, 3), dtype=np.float64),
        ut=upstream_times(took, unasked),
        fault=faults(status),
    )


def sized(status: Ints, usual: Ints) -> Ints:
    """Body bytes: `usual`, or what the error page of the status has."""
    conditions = [status == code for code in _ERROR_BYTES]
    return np.select(conditions, list(_ERROR_BYTES.values()), usual)


def upstream_times(took: Floats, unasked: npt.NDArray[np.bool_]) -> pl.Series:
    """`took` seconds as nginx writes them; `-` where the application was not asked."""
    written = pl.Series([f"{seconds:.3f}" for seconds in took.tolist()], dtype=pl.String)
    return written.set(pl.Series(unasked), "-")


def faults(status: Ints) -> pl.Series:
    """The kind of error-log entry that goes with each status, empty for most."""
    return pl.Series(status).replace_strict(FAULTS, default="", return_dtype=pl.String)
