"""Everything that a watch should notice: attacks of each class, guessing, scans, bursts, junk.

Each campaign has a label and an id, and keeps one address or a few. Labels of attacks are the names of
their classes; the others are `brute_force`, `page_scan`, `slow_scan`, `crawl_burst`, `traffic_burst`
(people, not an attack) and `junk`.
"""

# ruff: noqa: PLR2004  (chances and HTTP statuses are the substance here)

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import quote, quote_plus

import numpy as np
import polars as pl

from dozor.features.traffic.core.demo import people, tables
from dozor.features.traffic.core.demo.answers import Outage, faults, sized, upstream_times
from dozor.features.traffic.core.demo.world import (
    DAY,
    EVENTS,
    SECOND,
    Ints,
    Window,
    World,
    addresses,
    events,
    spread,
    weighted,
)

AGENT_CLASS: Final = "bad_agent"
"""The class whose samples are agents instead of targets."""

PROTOCOL_CLASS: Final = "protocol"
"""The class whose samples may be methods."""

# a path of the site, with arguments or without; `//host` and `/bin/id -a` are values of arguments
_TARGET: Final = re.compile(r"/(?!/)[^\s?]*(?:\?\S*|\?[^\s=]*=.*)?", re.DOTALL)

_ATTACK_SHARE: Final = 0.02
_ATTACK_SIZE: Final = 18
_LEAST_SIZE: Final = 6
_PAGES_PER_VISIT: Final = 25


@dataclass(frozen=True, slots=True)
class Campaign:
    """One stretch of unwanted traffic, to be built.

    Args:
        world: Where it happens.
        window: The window in which it starts.
        start: Its first moment, ms since 1970 UTC.
        size: About how many requests it has.
    """

    world: World
    window: Window
    start: int
    size: int


Build = Callable[[np.random.Generator, Campaign], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of campaign: its label, its share of all requests, the usual size of one, how it is made."""

    label: str
    share: float
    size: int
    build: Build


def attackers(rng: np.random.Generator, world: World, window: Window, count: int) -> pl.DataFrame:
    """All campaigns that start in a window of about `count` requests; some run on after its end."""
    made = [
        _named(kind.build(rng, campaign), kind.label, campaign, number)
        for kind in _kinds(world)
        for number, campaign in enumerate(_planned(rng, world, kind, window, count))
    ]
    return pl.concat([pl.DataFrame(schema=EVENTS), *made])


def _kinds(world: World) -> Iterator[Kind]:
    for name in world.samples:
        build = _bad_agent if name == AGENT_CLASS else partial(_attack, name=name)
        yield Kind(name, _ATTACK_SHARE / len(world.samples), _ATTACK_SIZE, build)
    yield from _BEHAVIOURS


def _planned(
    rng: np.random.Generator, world: World, kind: Kind, window: Window, count: int
) -> Iterator[Campaign]:
    """A whole day has each kind at least once; short windows have it as often on the mean."""
    budget = kind.share * count
    whole = window.length >= DAY
    number = max(1, round(budget / kind.size)) if whole else int(budget / kind.size + rng.random())
    usual = min(kind.size, budget) if whole else kind.size
    for _ in range(number):
        size = max(_LEAST_SIZE, int(usual * rng.lognormal(0, 0.3)))
        yield Campaign(world, window, int(rng.integers(window.start, window.end)), size)


def _named(made: pl.DataFrame, label: str, campaign: Campaign, number: int) -> pl.DataFrame:
    start = datetime.fromtimestamp(campaign.start / SECOND, tz=UTC)
    name = f"{label}-{start:%Y%m%dT%H%M%S}-{number}"
    return made.with_columns(label=pl.lit(label), campaign=pl.lit(name))


def _sources(rng: np.random.Generator, count: int = 1) -> list[str]:
    places = weighted(rng, [place.attackers for place in tables.PLACES], count)
    return addresses(rng, [tables.PLACES[place].blocks[0] for place in places])


def _tool(rng: np.random.Generator) -> str:
    return tables.TOOL_AGENTS[int(rng.integers(0, len(tables.TOOL_AGENTS)))]


def _answered(
    rng: np.random.Generator,
    t: Ints,
    requests: Sequence[str],
    status: Ints,
    *,
    client: str | list[str],
    agent: str | list[str],
) -> pl.DataFrame:
    """Requests of a campaign with the times and sizes that go with their statuses."""
    took = np.round(rng.lognormal(np.log(0.05), 0.6, len(t)), 3)
    unasked = np.isin(status, (400, 403, 503))
    return events(
        t=t,
        client=client,
        request=list(requests),
        status=status,
        bytes=sized(status, np.where(status == 302, 0, rng.integers(900, 16_000, len(t)))),
        agent=agent,
        rt=np.where(unasked, 0.0, took),
        ut=upstream_times(took, unasked),
        fault=faults(status),
    )


def _attack(rng: np.random.Generator, campaign: Campaign, name: str) -> pl.DataFrame:
    samples = campaign.world.samples[name]
    chosen = rng.integers(0, len(samples), campaign.size)
    requests = [_request(rng, name, samples[number]) for number in chosen]
    status = np.asarray((404, 403, 400, 200, 500))[weighted(rng, (50, 14, 6, 22, 8), campaign.size)]
    t = spread(rng, campaign.start, campaign.size, gap=1.5)
    return _answered(rng, t, requests, status, client=_sources(rng)[0], agent=_tool(rng))


def _request(rng: np.random.Generator, name: str, sample: str) -> str:
    """The request line of an attack; a bare word of the class `protocol` is a method."""
    if name == PROTOCOL_CLASS and sample.isalpha():
        return f"{sample} / HTTP/1.1"
    return f"GET {embed(rng, sample)} HTTP/1.1"


def embed(rng: np.random.Generator, sample: str) -> str:
    """A request target that carries the sample: as it is, moved to a page of the site, or as an argument."""
    if not _TARGET.fullmatch(sample):
        encode = quote if rng.random() < 0.5 else quote_plus
        template = tables.EMBEDDINGS[int(rng.integers(0, len(tables.EMBEDDINGS)))]
        return template.format(value=encode(sample.encode("latin-1"), safe=""))
    target = re.sub(r"[\x00-\x20]", lambda found: f"%{ord(found[0]):02X}", sample)
    _, mark, query = target.partition("?")
    if "=" not in query or not mark or rng.random() < 0.5:
        return target
    page = tables.CATEGORIES[int(rng.integers(0, len(tables.CATEGORIES)))]
    return f"{page}?page={rng.integers(1, 9)}&{query}"


def _bad_agent(rng: np.random.Generator, campaign: Campaign) -> pl.DataFrame:
    samples = campaign.world.samples[AGENT_CLASS]
    agent = samples[int(rng.integers(0, len(samples)))]
    pages = [tables.PRODUCTS[int(n)] for n in rng.integers(0, len(tables.PRODUCTS), campaign.size)]
    requests = [f"GET {page} HTTP/1.1" for page in pages]
    t = spread(rng, campaign.start, campaign.size, gap=0.8)
    return _answered(rng, t, requests, np.full(campaign.size, 200), client=_sources(rng)[0], agent=agent)


def _brute_force(rng: np.random.Generator, campaign: Campaign) -> pl.DataFrame:
    """Passwords tried on the login form, from one address or from a dozen; one in three finds one."""
    sources = _sources(rng, int(rng.choice((1, 1, 12))))
    limited = rng.random(campaign.size) < 0.2
    status = np.where(limited, 503, 401)
    if rng.random() < 1 / 3:
        status[-1] = 302
    client = [sources[n] for n in rng.integers(0, len(sources), campaign.size)]
    t = spread(rng, campaign.start, campaign.size, gap=0.6)
    return _answered(
        rng, t, ["POST /login HTTP/1.1"] * campaign.size, status, client=client, agent=_tool(rng)
    )


def _page_scan(rng: np.random.Generator, campaign: Campaign) -> pl.DataFrame:
    """One address asks quickly for paths that do not exist."""
    t = spread(rng, campaign.start, campaign.size, gap=0.15)
    return _scan(rng, t)


def _slow_scan(rng: np.random.Generator, campaign: Campaign) -> pl.DataFrame:
    """The same as a page scan, but with minutes between two requests."""
    start = campaign.window.start + (campaign.start - campaign.window.start) // 4
    t = spread(rng, start, campaign.size, gap=DAY / 2 / SECOND / campaign.size)
    return _scan(rng, t)


def _scan(rng: np.random.Generator, t: Ints) -> pl.DataFrame:
    targets = _probes(rng, len(t))
    status = np.where(rng.random(len(t)) < 0.06, 403, 404)
    requests = [f"GET {target} HTTP/1.1" for target in targets]
    made = _answered(rng, t, requests, status, client=_sources(rng)[0], agent=_tool(rng))
    # nginx looks for files itself, and says so when there is none
    file = pl.col("request").str.contains(r"\.(?:bak|zip|sql|old|txt) ") & (pl.col("status") == 404)
    return made.with_columns(
        fault=pl.when(file).then(pl.lit("open")).otherwise("fault"),
        ut=pl.when(file).then(pl.lit("-")).otherwise("ut"),
        rt=pl.when(file).then(0.0).otherwise("rt"),
        bytes=pl.when(file).then(153).otherwise("bytes"),
    )


def _probes(rng: np.random.Generator, count: int) -> list[str]:
    """Distinct made-up paths as long as there are some."""
    folders, names, endings = tables.PROBE_FOLDERS, tables.PROBE_NAMES, tables.PROBE_ENDINGS
    every = len(folders) * len(names) * len(endings)
    chosen = rng.permutation(every)[np.arange(count) % every]
    return [
        f"{'/' if folder else ''}{folder}/{name}{ending}"
        for folder, name, ending in (
            (
                folders[n % len(folders)],
                names[n // len(folders) % len(names)],
                endings[n // len(folders) // len(names)],
            )
            for n in chosen.tolist()
        )
    ]


def _crawl_burst(rng: np.random.Generator, campaign: Campaign) -> pl.DataFrame:
    """One address with a browser's name fetches page after page and no asset."""
    every = (*tables.PAGES["category"], *tables.PRODUCTS, *tables.ARTICLES)
    chosen = rng.permutation(len(every))[np.arange(campaign.size) % len(every)]
    status = np.where(rng.random(campaign.size) < 0.08, 503, 200)
    t = spread(rng, campaign.start, campaign.size, gap=0.12)
    requests = [f"GET {every[n]} HTTP/1.1" for n in chosen.tolist()]
    return _answered(rng, t, requests, status, client=_sources(rng)[0], agent=tables.TOOL_AGENTS[0])


def _traffic_burst(rng: np.random.Generator, campaign: Campaign) -> pl.DataFrame:
    """An article is linked from a popular place: many people at once."""
    count = max(2, campaign.size // _PAGES_PER_VISIT)
    came = people.burst(rng, campaign.world, campaign.start, count)
    return people.requests(rng, campaign.world, came, Outage())


def _junk(rng: np.random.Generator, campaign: Campaign) -> pl.DataFrame:
    """What is no HTTP at all, here and there over the window."""
    chosen = weighted(rng, [share for share, _ in tables.JUNK], campaign.size)
    return events(
        t=rng.integers(campaign.window.start, campaign.window.end, campaign.size),
        client=_sources(rng, campaign.size),
        request=[tables.JUNK[n][1] for n in chosen],
        status=400,
        bytes=157,
        agent="-",
        rt=np.round(rng.exponential(0.2, campaign.size), 3),
        fault="invalid",
    )


_BEHAVIOURS: Final = (
    Kind("brute_force", 0.008, 140, _brute_force),
    Kind("page_scan", 0.006, 120, _page_scan),
    Kind("slow_scan", 0.001, 60, _slow_scan),
    Kind("crawl_burst", 0.008, 300, _crawl_burst),
    Kind("traffic_burst", 0.020, 800, _traffic_burst),
    Kind("junk", 0.001, 40, _junk),
)
