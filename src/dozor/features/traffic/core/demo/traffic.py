"""All demo traffic in the order of time: backfilled day by day, or as an endless stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from dozor.features.traffic.core.demo import machines, people
from dozor.features.traffic.core.demo.answers import Outage, plan_outage
from dozor.features.traffic.core.demo.attackers import attackers
from dozor.features.traffic.core.demo.world import (
    DAY,
    EVENTS,
    MINUTE,
    SECOND,
    Window,
    World,
    activity,
)

_CRAWLERS: Final = 0.09
_API: Final = 0.12
_MONITORS: Final = 0.02
_ATTACKERS: Final = 0.064
_PEOPLE: Final = 1 - _CRAWLERS - _API - _MONITORS - _ATTACKERS

_TRIAL_VISITS: Final = 2_000
_STREAM_STEP: Final = MINUTE
_WARM_UP: Final = 10 * MINUTE


def backfill(world: World, end: datetime, days: int) -> Iterator[pl.DataFrame]:
    """Events of `days` times 24 hours up to `end`, one table per day, ordered by time.

    A visit that lasts beyond its day goes on in the next one, so that days join without a seam.
    """
    finish = round(end.timestamp() * SECOND)
    windows = [Window(finish - day * DAY, DAY) for day in range(days, 0, -1)]
    return _joined(world, iter(windows), "backfill")


def stream(world: World, start: datetime, rate: float) -> Iterator[pl.DataFrame]:
    """Endless events from `start` on, about `rate` a second without a daily rhythm, a minute per table."""
    options = replace(world.options, requests_per_day=round(rate * DAY / SECOND))
    world = replace(world, options=options)
    begin = round(start.timestamp() * SECOND)
    steps = _steps(begin - _WARM_UP)
    for table in _joined(world, steps, "stream"):
        # the minutes before only serve to have visits under way when the stream starts
        started = table.filter(pl.col("t") >= begin)
        if len(started):
            yield started


def _steps(start: int) -> Iterator[Window]:
    while True:
        yield Window(start, _STREAM_STEP, rhythm=False)
        start += _STREAM_STEP


def _joined(world: World, windows: Iterator[Window], purpose: str) -> Iterator[pl.DataFrame]:
    per_visit = _requests_per_visit(world)
    late = pl.DataFrame(schema=EVENTS)
    for number, window in enumerate(windows):
        rng = np.random.default_rng([world.options.seed, *purpose.encode(), number])
        made = pl.concat([late, *_fill(rng, world, window, per_visit)])
        made = made.sort("t", maintain_order=True)
        yield made.filter(pl.col("t") < window.end)
        late = made.filter(pl.col("t") >= window.end)


def _fill(rng: np.random.Generator, world: World, window: Window, per_visit: float) -> Iterator[pl.DataFrame]:
    """Everything that starts in one window."""
    at = np.linspace(window.start, window.end, 97)[:-1]
    load = float(activity(window, at, 0).mean()) * window.length / DAY
    count = round(world.options.requests_per_day * load)
    outage = plan_outage(rng, window)
    came = people.visits(rng, world, window, round(count * _PEOPLE / per_visit))
    yield people.requests(rng, world, came, outage)
    yield machines.crawlers(rng, world, window, round(count * _CRAWLERS), outage)
    yield machines.api_calls(rng, world, window, round(count * _API), outage)
    yield machines.monitors(rng, window, round(count * _MONITORS), outage)
    yield attackers(rng, world, window, count)


def _requests_per_visit(world: World) -> float:
    """How many requests a visit makes on the mean, found by trial so that the tables may change freely."""
    rng = np.random.default_rng([world.options.seed, 3])
    came = people.visits(rng, world, Window(0, DAY), _TRIAL_VISITS)
    return len(people.requests(rng, world, came, Outage())) / _TRIAL_VISITS
