"""Visits of people: a landing page, a chain of pages with their assets, forms that are sent."""

# ruff: noqa: PLR2004  (chances and HTTP statuses are the substance here)

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from dozor.features.traffic.core.demo import tables
from dozor.features.traffic.core.demo.answers import Outage, answer, errors_of_pages
from dozor.features.traffic.core.demo.world import (
    SECOND,
    Ints,
    Window,
    World,
    constant,
    events,
    join_text,
    moments,
    popular,
    weighted,
)

_KINDS: Final = tuple(tables.PAGES)
_PAGES: Final = pl.Series([path for kind in _KINDS for path in tables.PAGES[kind]])
_SIZES: Final = np.asarray([len(tables.PAGES[kind]) for kind in _KINDS])
_FIRST: Final = np.concatenate(([0], np.cumsum(_SIZES)[:-1]))
_BYTES: Final = np.asarray([tables.PAGE_BYTES[kind] for kind in _KINDS])
_NEXT: Final = np.cumsum(
    [[tables.NEXT_KINDS[kind].get(other, 0) / 100 for other in _KINDS] for kind in _KINDS], axis=1
)
_ASSETS: Final = pl.Series([path for path, _ in tables.SHELL_ASSETS] + list(tables.IMAGES))
_SHELL: Final = len(tables.SHELL_ASSETS)
# an image keeps its size from day to day, so that equal paths have equal bytes
_ASSET_BYTES: Final = np.concatenate(
    (
        [size for _, size in tables.SHELL_ASSETS],
        np.random.default_rng(len(tables.IMAGES)).integers(9_000, 90_000, len(tables.IMAGES)),
    )
)
_ASSET_BYTES_MISSING: Final = 153
_MOST_PAGES: Final = 40
_IMAGES_OF_KIND: Final = {"home": 3.0, "category": 4.0, "product": 2.0, "search": 3.0, "article": 1.0}


@dataclass(frozen=True, slots=True)
class Visits:
    """Who comes when and how: row `i` of every column is one visit.

    Args:
        visitors: Row of the audience.
        starts: ms since 1970 UTC.
        landings: Kind of the first page, as position in the kinds of pages.
        referers: Referer of the first page (String).
    """

    visitors: Ints
    starts: Ints
    landings: Ints
    referers: pl.Series


@dataclass(frozen=True, slots=True)
class _Views:
    """Page views of visits; row `i` of every column is one view, in the order of the visit.

    Args:
        visitor: Row of the audience.
        visit: Row of the visits.
        step: 0 for the first view of its visit.
        kind: Position in the kinds of pages.
        path: The page (String).
        t: ms since 1970 UTC.
    """

    visitor: Ints
    visit: Ints
    step: Ints
    kind: Ints
    path: pl.Series
    t: Ints


def visits(rng: np.random.Generator, world: World, window: Window, count: int) -> Visits:
    """`count` visits over a window, each at its visitor's own time of day."""
    visitors = world.people.choose(rng, count)
    landings = weighted(rng, [tables.LANDING_KINDS.get(kind, 0) for kind in _KINDS], count)
    chosen = weighted(rng, [share for share, _ in tables.LANDINGS], count)
    return Visits(
        visitors=visitors,
        starts=moments(rng, window, world.people.offsets[visitors]),
        landings=landings,
        referers=pl.Series([referer for _, referer in tables.LANDINGS]).gather(chosen),
    )


def burst(rng: np.random.Generator, world: World, start: int, count: int) -> Visits:
    """`count` visits within some twenty minutes, all following the same link to an article."""
    return Visits(
        visitors=world.people.choose(rng, count),
        starts=start + (rng.gamma(2.0, 240.0, count) * SECOND).astype(np.int64),
        landings=np.full(count, _KINDS.index("article")),
        referers=constant("https://news.ycombinator.com/", count),
    )


def requests(rng: np.random.Generator, world: World, came: Visits, outage: Outage) -> pl.DataFrame:
    """All requests of the visits, not ordered by time."""
    views = _views(rng, came)
    found = pl.concat([_pages(rng, came, views, outage), _assets(rng, views), _posts(rng, views, outage)])
    visitor = found["visitor"]
    return found.with_columns(
        client=world.people.clients.gather(visitor), agent=world.people.agents.gather(visitor)
    ).drop("visitor")


def _views(rng: np.random.Generator, came: Visits) -> _Views:
    """Walk from page to page, all visits one step at a time."""
    count = len(came.visitors)
    lengths = np.clip(np.round(rng.lognormal(1.1, 0.8, count)), 1, _MOST_PAGES).astype(np.int64)
    longest = int(lengths.max(initial=1))
    kinds = np.zeros((count, longest), dtype=np.int64)
    kinds[:, 0] = came.landings
    for step in range(1, longest):
        going = np.flatnonzero(lengths > step)
        bounds = _NEXT[kinds[going, step - 1]]
        kinds[going, step] = np.minimum(
            (rng.random(len(going))[:, None] > bounds).sum(axis=1), len(_KINDS) - 1
        )
    visit, step_of = np.nonzero(np.arange(longest) < lengths[:, None])
    kind = kinds[visit, step_of]
    pauses = np.clip(rng.lognormal(np.log(22), 0.9, len(visit)), 2, 1500) * SECOND
    passed = np.cumsum(pauses)
    begins = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    return _Views(
        visitor=came.visitors[visit],
        visit=visit,
        step=step_of,
        kind=kind,
        path=_PAGES.gather(_FIRST[kind] + popular(rng, _SIZES[kind], len(kind))),
        t=(came.starts[visit] + passed - passed[begins][visit]).astype(np.int64),
    )


def _pages(rng: np.random.Generator, came: Visits, views: _Views, outage: Outage) -> pl.DataFrame:
    count = len(views.t)
    answered = answer(rng, views.t, outage, errors_of_pages(rng, count))
    stale = pl.Series(tables.STALE_PAGES).gather(popular(rng, len(tables.STALE_PAGES), count))
    path = join_text(views.path, _campaign_arguments(rng, views))
    size = _BYTES[views.kind] * rng.lognormal(0, 0.06, count)
    return events(
        t=views.t,
        client="",
        request=join_text("GET ", stale.zip_with(pl.Series(answered.status == 404), path), " HTTP/2.0"),
        referer=_came_from(came, views),
        agent="",
        **answered.columns(size.astype(np.int64)),
    ).with_columns(visitor=pl.Series(views.visitor))


def _came_from(came: Visits, views: _Views) -> pl.Series:
    """The referer of each view: the page before it, for the first one where the visit came from."""
    before = join_text(f"https://{tables.SITE}", views.path.shift(1, fill_value="/"))
    return before.zip_with(pl.Series(views.step > 0), came.referers.gather(views.visit))


def _campaign_arguments(rng: np.random.Generator, views: _Views) -> pl.Series:
    """What advertisers add to the address of the first page: every fifth one has it."""
    count = len(views.step)
    marked = (views.step == 0) & (rng.random(count) < 0.2)
    numbers = rng.integers(10**17, 10**18, count)
    added = [
        (f"yclid={number}" if number % 2 else f"utm_source=mail&utm_campaign=week-{number % 53}")
        if mark
        else ""
        for mark, number in zip(marked.tolist(), numbers.tolist(), strict=True)
    ]
    arguments = pl.Series(added, dtype=pl.String)
    join = constant("?", count).set(views.path.str.contains("?", literal=True), "&")
    return join_text(join, arguments).set(arguments == "", "")


def _assets(rng: np.random.Generator, views: _Views) -> pl.DataFrame:
    """Style sheets, scripts and images; who was here before asks whether they have changed (304)."""
    # two of five visitors hold the shell in their cache, for ever the same ones
    returning = views.visitor % 5 < 2
    shell = np.where(views.step == 0, np.where(returning, 3, _SHELL), 0)
    means = np.asarray([_IMAGES_OF_KIND.get(kind, 0.0) for kind in _KINDS])
    counts = shell + rng.poisson(means[views.kind])
    view = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(view)) - np.repeat(np.cumsum(counts) - counts, counts)
    image = _SHELL + popular(rng, len(tables.IMAGES), len(view))
    asset = np.where(nth < shell[view], nth, image)
    missing = rng.random(len(view)) < 0.004
    cached = returning[view] & (rng.random(len(view)) < 0.7) & ~missing
    absent = pl.Series(tables.MISSING_ASSETS).gather(rng.integers(0, len(tables.MISSING_ASSETS), len(view)))
    path = absent.zip_with(pl.Series(missing), _ASSETS.gather(asset))
    delay = (rng.gamma(2.0, 0.18, len(view)) * SECOND).astype(np.int64) + 60
    return events(
        t=views.t[view] + delay,
        client="",
        request=join_text("GET ", path, " HTTP/2.0"),
        status=np.select([missing, cached], [404, 304], 200),
        bytes=np.select([missing, cached], [_ASSET_BYTES_MISSING, 0], _ASSET_BYTES[asset]),
        referer=join_text(f"https://{tables.SITE}", views.path.gather(view)),
        agent="",
        rt=np.round(rng.exponential(0.002, len(view)), 3),
        fault=constant("", len(view)).set(pl.Series(missing), "open"),
    ).with_columns(visitor=pl.Series(views.visitor[view]))


def _posts(rng: np.random.Generator, views: _Views, outage: Outage) -> pl.DataFrame:
    """What is sent from the pages that hold a form."""
    return pl.concat([_sent(rng, form, views, outage) for form in tables.FORMS])


def _sent(rng: np.random.Generator, form: tables.Form, views: _Views, outage: Outage) -> pl.DataFrame:
    on_page = views.kind == _KINDS.index(form.kind)
    view = np.flatnonzero(on_page & (rng.random(len(views.kind)) < form.chance))
    t = views.t[view] + (rng.lognormal(np.log(8), 0.5, len(view)) * SECOND).astype(np.int64)
    status = np.where(rng.random(len(view)) < 0.08, form.slip, form.usual)
    answered = answer(rng, t, outage, status)
    return events(
        t=t,
        client="",
        request=f"POST {form.path} HTTP/2.0",
        referer=join_text(f"https://{tables.SITE}", views.path.gather(view)),
        agent="",
        **answered.columns(np.where(status == 302, 0, 212)),
    ).with_columns(visitor=pl.Series(views.visitor[view]))
