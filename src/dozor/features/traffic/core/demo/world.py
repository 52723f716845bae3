"""The made-up world that all demo traffic shares: options, time windows, the audience, the event table.

Text columns of events hold one character per byte that the client sent (Latin-1), so that junk
and non-ASCII text reach the renderer unchanged; it escapes them as the format asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from dozor.features.traffic.core.demo import tables

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

EVENTS: Final = pl.Schema(
    {
        "t": pl.Int64(),
        "client": pl.String(),
        "request": pl.String(),
        "status": pl.Int64(),
        "bytes": pl.Int64(),
        "referer": pl.String(),
        "agent": pl.String(),
        "rt": pl.Float64(),
        "ut": pl.String(),
        "label": pl.String(),
        "campaign": pl.String(),
        "fault": pl.String(),
    }
)
"""One row is one request: `t` in ms since 1970 UTC, `rt` in seconds, `ut` as nginx writes it (`-` when no
upstream was asked), `label` empty for benign traffic, `fault` the kind of the error-log entry or empty."""

_MOST_PEOPLE: Final = 50_000
_DRAW: Final = 16  # bytes of an IPv6 address
_DEFAULTS: Final[Mapping[str, Any]] = {
    "bytes": 0,
    "referer": "-",
    "rt": 0.0,
    "ut": "-",
    "label": "",
    "campaign": "",
    "fault": "",
}


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to generate.

    Args:
        seed: Equal seeds and options give equal traffic.
        requests_per_day: Mean over a week; a day differs by weekday and by chance.
    """

    seed: int = 1
    requests_per_day: int = 100_000


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time to fill, in ms since 1970 UTC; `rhythm` follows the time of day and the weekday."""

    start: int
    length: int
    rhythm: bool = True

    @property
    def end(self) -> int:
        """First millisecond after the window."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Audience:
    """People who come back: row `i` of every column is one of them.

    Args:
        clients: Address (String).
        agents: User agent (String).
        offsets: Hours ahead of UTC (int64).
        cumulative: Running sum of how active each is, ending at 1 (float64).
    """

    clients: pl.Series
    agents: pl.Series
    offsets: Ints
    cumulative: Floats

    def choose(self, rng: np.random.Generator, count: int) -> Ints:
        """Rows of `count` visitors, the active ones more often."""
        return np.searchsorted(self.cumulative, rng.random(count)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class World:
    """What stays the same over all days.

    Args:
        options: What to generate.
        people: Visitors with browsers.
        apps: Users of the API.
        samples: Attack texts by class, one character per byte.
    """

    options: DemoOptions
    people: Audience
    apps: Audience
    samples: Mapping[str, tuple[str, ...]]


def build_world(options: DemoOptions, samples: Mapping[str, Sequence[str]]) -> World:
    """Make the audience of the site.

    Args:
        options: What to generate.
        samples: Class to attack texts: agents for the class `bad_agent`, else request targets (paths with or
            without arguments) or bare values, which get embedded into the site's own arguments; a bare word
            of the class `protocol` is a method.
    """
    rng = np.random.default_rng([options.seed, 0])
    size = min(_MOST_PEOPLE, max(60, options.requests_per_day // 8))
    return World(
        options=options,
        people=_audience(rng, size, tables.BROWSERS),
        apps=_audience(rng, max(20, size // 10), tables.API_AGENTS),
        samples={
            name: tuple(text.encode("utf-8", "surrogateescape").decode("latin-1") for text in texts if text)
            for name, texts in sorted(samples.items())
            if any(texts)
        },
    )


def addresses(rng: np.random.Generator, blocks: Sequence[str]) -> list[str]:
    """One random address of each block, IPv4 or IPv6."""
    networks = {block: ip_network(block) for block in set(blocks)}
    draws = rng.bytes(_DRAW * len(blocks))
    return [
        str(networks[block][int.from_bytes(draws[at : at + _DRAW]) % networks[block].num_addresses])
        for at, block in zip(range(0, len(draws), _DRAW), blocks, strict=True)
    ]


def weighted(rng: np.random.Generator, weights: Sequence[float], count: int) -> Ints:
    """`count` positions in `weights`, each as often as its weight says."""
    cumulative: Floats = np.cumsum(weights)
    draws: Floats = rng.random(count) * cumulative[-1]
    return np.searchsorted(cumulative, draws).astype(np.int64)


def popular(rng: np.random.Generator, size: int | Ints, count: int) -> Ints:
    """`count` positions below `size`, the first ones far more often (a power law)."""
    return np.asarray(size * rng.random(count) ** 2.5).astype(np.int64)


def spread(rng: np.random.Generator, start: int, count: int, gap: float) -> Ints:
    """Moments of `count` requests one after another from `start` on; `gap` is the median pause in seconds."""
    pauses = rng.lognormal(np.log(gap * SECOND), 0.6, count)
    return np.asarray(start + np.cumsum(pauses) - pauses[0], dtype=np.int64)


def moments(rng: np.random.Generator, window: Window, offsets: Ints) -> Ints:
    """One moment in the window for each row, denser where it is a busy hour `offset` hours ahead of UTC."""
    steps = max(1, window.length // (10 * MINUTE))
    edges = np.linspace(window.start, window.end, steps + 1)
    found = np.empty(len(offsets), dtype=np.int64)
    for offset in np.unique(offsets):
        rows = offsets == offset
        load = activity(window, (edges[:-1] + edges[1:]) / 2, int(offset))
        cumulative = np.concatenate(([0.0], np.cumsum(load)))
        chance = rng.random(int(rows.sum())) * cumulative[-1]
        found[rows] = np.interp(chance, cumulative, edges).astype(np.int64)
    return np.minimum(found, window.end - 1)


def activity(window: Window, at: Floats, offset: int) -> Floats:
    """Relative load at moments of a window, 1 on the mean of a week; always 1 without the rhythm."""
    if not window.rhythm:
        return np.ones(len(at))
    local = at + offset * HOUR
    hours = np.interp(local / HOUR % 24, np.arange(25), (*tables.HOURS, tables.HOURS[0]))
    # 1970-01-01 was a Thursday
    weekdays = np.asarray(tables.WEEKDAYS)[(local // DAY + 3).astype(np.int64) % 7]
    return np.asarray(hours / np.mean(tables.HOURS) * weekdays, dtype=np.float64)


def events(**columns: Any) -> pl.DataFrame:
    """A table of events from its columns; a scalar stands for every row, an absent column has its default."""
    filled = {**_DEFAULTS, **columns}
    long = {name: value for name, value in filled.items() if isinstance(value, pl.Series | np.ndarray | list)}
    same = {name: pl.lit(value, dtype=EVENTS[name]) for name, value in filled.items() if name not in long}
    table = pl.DataFrame([pl.Series(name, value, dtype=EVENTS[name]) for name, value in long.items()])
    return table.with_columns(**same).select(*EVENTS)


def constant(text: str, count: int) -> pl.Series:
    """The same text `count` times."""
    return pl.repeat(text, count, dtype=pl.String, eager=True)


def join_text(*parts: str | pl.Series) -> pl.Series:
    """Columns and constants glued together row by row."""
    return pl.select(pl.concat_str(*(pl.lit(part) for part in parts))).to_series()


def _audience(rng: np.random.Generator, size: int, families: Sequence[tables.AgentFamily]) -> Audience:
    places = weighted(rng, [place.audience for place in tables.PLACES], size)
    blocks = [
        tables.PLACES[place].blocks[int(draw * len(tables.PLACES[place].blocks))]
        for place, draw in zip(places, rng.random(size), strict=True)
    ]
    # a heavy tail: a few regulars, many who come once in a while
    habit = rng.pareto(1.2, size) + 0.1
    return Audience(
        clients=pl.Series(addresses(rng, blocks), dtype=pl.String),
        agents=pl.Series(_agents(rng, size, families), dtype=pl.String),
        offsets=np.asarray([place.offset for place in tables.PLACES], dtype=np.int64)[places],
        cumulative=np.cumsum(habit) / habit.sum(),
    )


def _agents(rng: np.random.Generator, size: int, families: Sequence[tables.AgentFamily]) -> list[str]:
    chosen = weighted(rng, [family.share for family in families], size)
    ages = rng.geometric(0.5, size) - 1
    return [
        families[family].template.format(v=families[family].versions[age % len(families[family].versions)])
        for family, age in zip(chosen, ages, strict=True)
    ]
