"""Programs that mean no harm: crawlers, monitors and users of the API."""

# ruff: noqa: PLR2004  (chances and HTTP statuses are the substance here)

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from dozor.features.traffic.core.demo import tables
from dozor.features.traffic.core.demo.answers import Outage, answer
from dozor.features.traffic.core.demo.world import (
    MINUTE,
    SECOND,
    Ints,
    Window,
    World,
    addresses,
    events,
    join_text,
    moments,
    weighted,
)

_CRAWLABLE: Final = pl.Series(
    [
        *(
            path
            for kind in ("home", "category", "product", "article", "about")
            for path in tables.PAGES[kind]
        ),
        *tables.STALE_PAGES,
    ]
)
_HOSTS_PER_CRAWLER: Final = 6
_CALLS_PER_USE: Final = 6


def crawlers(
    rng: np.random.Generator, world: World, window: Window, count: int, outage: Outage
) -> pl.DataFrame:
    """`count` fetches of search engines and the like: all pages alike, and `robots.txt` time and again."""
    which = weighted(rng, [crawler.share for crawler in tables.CRAWLERS], count)
    hosts = _crawler_hosts(world.options.seed)
    host = which * _HOSTS_PER_CRAWLER + rng.integers(0, _HOSTS_PER_CRAWLER, count)
    t = moments(rng, window, np.zeros(count, dtype=np.int64))
    page = rng.integers(0, len(_CRAWLABLE), count)
    robots = rng.random(count) < 0.04
    gone = (page >= len(_CRAWLABLE) - len(tables.STALE_PAGES)) & ~robots
    unchanged = rng.random(count) < 0.18
    answered = answer(rng, t, outage, np.select([gone, unchanged & ~robots], [404, 304], 200))
    path = _CRAWLABLE.gather(page).set(pl.Series(robots), "/robots.txt")
    size = np.select([robots, answered.status == 304], [211, 0], rng.integers(9_000, 26_000, count))
    return events(
        t=t,
        client=hosts.gather(host),
        request=join_text("GET ", path, " HTTP/1.1"),
        agent=pl.Series([crawler.agent for crawler in tables.CRAWLERS]).gather(which),
        **answered.columns(size),
    )


def monitors(rng: np.random.Generator, window: Window, count: int, outage: Outage) -> pl.DataFrame:
    """About `count` probes of uptime monitors, at most one a minute from each."""
    interval = max(MINUTE, window.length * len(tables.MONITORS) // max(1, count))
    # aligned to the clock, so that windows join without a gap or a double probe
    ticks = np.arange(-(-window.start // interval) * interval, window.end, interval)
    return pl.concat(
        [
            _probes(rng, ticks + nth * 7 * SECOND, outage, monitor)
            for nth, monitor in enumerate(tables.MONITORS)
        ]
    )


def _probes(rng: np.random.Generator, ticks: Ints, outage: Outage, monitor: tables.Monitor) -> pl.DataFrame:
    t = ticks + rng.integers(0, 400, len(ticks))
    answered = answer(rng, t, outage, np.full(len(t), 200))
    made = events(
        t=t,
        client=monitor.client,
        request=monitor.request,
        agent=monitor.agent,
        **answered.columns(np.full(len(t), 15)),
    )
    return made.with_columns(bytes=pl.lit(0, pl.Int64)) if monitor.request.startswith("HEAD") else made


def api_calls(
    rng: np.random.Generator, world: World, window: Window, count: int, outage: Outage
) -> pl.DataFrame:
    """About `count` calls of apps and partners, some in a row each time."""
    uses = max(1, count // _CALLS_PER_USE)
    users = world.apps.choose(rng, uses)
    starts = moments(rng, window, world.apps.offsets[users])
    calls = rng.geometric(1 / _CALLS_PER_USE, uses)
    use = np.repeat(np.arange(uses), calls)
    t = starts[use] + (rng.gamma(3.0, 6.0, len(use)) * SECOND).astype(np.int64)
    usual, request = _calls(rng, len(use))
    answered = answer(rng, t, outage, usual)
    size = rng.integers(180, 9_000, len(use))
    return events(
        t=t,
        client=world.apps.clients.gather(users[use]),
        request=request,
        agent=world.apps.agents.gather(users[use]),
        **answered.columns(np.where(usual == 204, 0, size)),
    )


def _calls(rng: np.random.Generator, count: int) -> tuple[Ints, pl.Series]:
    """The usual status and the request line of `count` API calls."""
    numbers = rng.integers(1_000, 90_000, count).tolist()
    draws = rng.random(count)
    bounds = (0.34, 0.68, 0.80, 0.90, 0.95)
    kind = np.searchsorted(bounds, draws)
    forms = (
        "GET /api/v1/products?page={page}&per_page=20 HTTP/1.1",
        "GET /api/v1/products/{number} HTTP/1.1",
        "GET /api/v1/orders/{number} HTTP/1.1",
        "POST /api/v1/cart HTTP/1.1",
        "POST /api/v1/session HTTP/1.1",
        "PUT /api/v1/devices/{number} HTTP/1.1",
    )
    usual = np.asarray((200, 200, 200, 201, 201, 204))[kind]
    usual = np.where((kind == 1) & (rng.random(count) < 0.02), 404, usual)
    usual = np.where((kind == 2) & (rng.random(count) < 0.03), 401, usual)
    lines = [forms[k].format(page=n % 40 + 1, number=n) for k, n in zip(kind, numbers, strict=True)]
    return usual, pl.Series(lines, dtype=pl.String)


def _crawler_hosts(seed: int) -> pl.Series:
    rng = np.random.default_rng([seed, 1])
    blocks = [crawler.block for crawler in tables.CRAWLERS for _ in range(_HOSTS_PER_CRAWLER)]
    return pl.Series(addresses(rng, blocks), dtype=pl.String)
