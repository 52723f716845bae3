"""Makes access logs of millions of lines for measuring, quickly and always the same ones.

The lines are nginx's `combined`. Addresses come back about thirty times each and keep their agent, of which
there are well over a thousand; one line in a hundred carries an attack text from the rules' own samples. A
chosen share of the targets is distinct, since this is what costs a log analyser most. No line holds a space
inside its target, so that awk can count the same figures by columns.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from dozor.columns.record import ATTACK_SCORE
from dozor.features.threats.core.rules import load_rules
from dozor.features.traffic.core.demo import tables
from dozor.features.traffic.core.demo.attackers import AGENT_CLASS, embed
from dozor.features.traffic.core.demo.render import escape
from dozor.features.traffic.core.demo.world import Ints, addresses, join_text, popular, weighted

_CHUNK: Final = 500_000
_REQUESTS_PER_CLIENT: Final = 30
_LINES_PER_SECOND: Final = 12
_START: Final = 1_795_305_600  # 2026-11-22 00:00 UTC
_ATTACKS: Final = 0.01
_ATTACK_TARGETS: Final = 5_000
_DEVICES: Final = 1_500
_REVISION: Final = 1
"""Goes up when equal parameters give other lines than before, so that cached logs are made anew."""

Samples = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class LogSpec:
    """Which log to make.

    Args:
        lines: Number of lines.
        distinct: Distinct targets as a share of the lines; 1 makes every target distinct.
        seed: Equal seeds give equal logs.
    """

    lines: int
    distinct: float
    seed: int = 1


@dataclass(frozen=True, slots=True)
class _Pools:
    """Values that lines draw from (String), the most frequent first; `agents` holds each client's own."""

    clients: pl.Series
    agents: pl.Series
    bad_agents: pl.Series
    referers: pl.Series
    targets: pl.Series
    attacks: pl.Series


def attack_samples() -> Samples:
    """Texts that the rules call attacks by themselves, by class."""
    samples: dict[str, list[str]] = {}
    for rule in load_rules().rules:
        if rule.score >= ATTACK_SCORE:
            samples.setdefault(rule.attack_class.value, []).extend(rule.positive)
    return samples


def access_log(spec: LogSpec, samples: Samples, folder: Path) -> Path:
    """The log of a spec: made in `folder` unless it stands there already.

    Args:
        spec: Which log.
        samples: Attack texts by class; agents for `bad_agent`.
        folder: Where made logs are kept; created if absent.
    """
    known = json.dumps([asdict(spec), _REVISION, {name: list(texts) for name, texts in samples.items()}])
    digest = hashlib.blake2b(known.encode(), digest_size=4).hexdigest()
    path = folder / f"access-{spec.lines}-{round(spec.distinct * 100)}-{digest}.log"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    # under another name until it is whole, so that an interrupted run leaves no short log behind
    unfinished = path.with_suffix(f".{os.getpid()}")
    try:
        _write(spec, samples, unfinished)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _write(spec: LogSpec, samples: Samples, path: Path) -> None:
    rng = np.random.default_rng(spec.seed)
    pools = _make_pools(rng, spec, samples)
    with path.open("wb") as file:
        for first in range(0, spec.lines, _CHUNK):
            number = np.arange(first, min(first + _CHUNK, spec.lines))
            lines = _lines(rng, spec, pools, number)
            lines.to_frame().write_csv(file, include_header=False, quote_style="never")


def _make_pools(rng: np.random.Generator, spec: LogSpec, samples: Samples) -> _Pools:
    places = weighted(
        rng, [place.audience for place in tables.PLACES], max(1, spec.lines // _REQUESTS_PER_CLIENT)
    )
    blocks = [tables.PLACES[place].blocks[place % len(tables.PLACES[place].blocks)] for place in places]
    pages = [path for kind in tables.PAGES.values() for path in kind]
    targets = [*(path for path, _ in tables.SHELL_ASSETS), *pages, *tables.IMAGES]
    agents = pl.Series(_agents(rng))
    embedded = [escape(embed(rng, sample.encode().decode("latin-1"))) for sample in _targets_of(samples, rng)]
    return _Pools(
        clients=pl.Series(addresses(rng, blocks)),
        agents=agents.gather(popular(rng, len(agents), len(blocks))),
        bad_agents=pl.Series([escape(text) for text in samples.get(AGENT_CLASS, ())], dtype=pl.String),
        referers=pl.Series(
            ["-", *(site for _, site in tables.LANDINGS[1:])] + [_site(page) for page in pages]
        ),
        targets=pl.Series(targets),
        attacks=pl.Series([target for target in embedded if " " not in target], dtype=pl.String),
    )


def _targets_of(samples: Samples, rng: np.random.Generator) -> list[str]:
    every = [text for name, texts in sorted(samples.items()) if name != AGENT_CLASS for text in texts]
    return [every[n] for n in rng.integers(0, len(every), _ATTACK_TARGETS)] if every else []


def _agents(rng: np.random.Generator) -> list[str]:
    """Browsers by version and phones by model, in the order of chance."""
    browsers = [family.template.format(v=v) for family in tables.BROWSERS for v in family.versions]
    phones = [
        f"Mozilla/5.0 (Linux; Android {9 + n % 8}; SM-{'AFGMS'[n % 5]}{100 + n}B) AppleWebKit/537.36 "
        f"(KHTML, like Gecko) Chrome/{100 + n % 55}.0.{4000 + n * 7 % 3000}.{n % 200} Mobile Safari/537.36"
        for n in range(_DEVICES)
    ]
    programs = [crawler.agent for crawler in tables.CRAWLERS] + [
        family.template.format(v=v) for family in tables.API_AGENTS for v in family.versions
    ]
    every = [*browsers, *programs]
    return [every[n] for n in rng.permutation(len(every))] + phones


def _site(page: str) -> str:
    return f"https://{tables.SITE}{page}"


def _lines(rng: np.random.Generator, spec: LogSpec, pools: _Pools, number: Ints) -> pl.Series:
    count = len(number)
    status = np.asarray((200, 304, 404, 301, 500))[weighted(rng, (86, 8, 4, 1.8, 0.2), count)]
    size = np.where(status == 304, 0, rng.lognormal(9, 1.2, count).astype(np.int64))
    client = popular(rng, len(pools.clients), count)
    target, agent = _asked(rng, spec, pools, number, client)
    return join_text(
        pools.clients.gather(client),
        " - - [",
        _stamps(number),
        '] "',
        _METHODS.gather(weighted(rng, (94, 5, 1), count)),
        target,
        ' HTTP/1.1" ',
        pl.Series(status).cast(pl.String),
        " ",
        pl.Series(size).cast(pl.String),
        ' "',
        pools.referers.gather(popular(rng, len(pools.referers), count)),
        '" "',
        agent,
        '"',
    )


_METHODS: Final = pl.Series(["GET ", "POST ", "HEAD "])


def _asked(
    rng: np.random.Generator, spec: LogSpec, pools: _Pools, number: Ints, client: Ints
) -> tuple[pl.Series, pl.Series]:
    """Target and agent of each line, attacks among them."""
    count = len(number)
    target = pools.targets.gather(popular(rng, len(pools.targets), count))
    agent = pools.agents.gather(client)
    draw = rng.random(count)
    if len(pools.attacks):
        attacks = pools.attacks.gather(rng.integers(0, len(pools.attacks), count))
        target = attacks.zip_with(pl.Series(draw < _ATTACKS * 0.9), target)
    if len(pools.bad_agents):
        bad = pools.bad_agents.gather(rng.integers(0, len(pools.bad_agents), count))
        agent = bad.zip_with(pl.Series(draw > 1 - _ATTACKS * 0.1), agent)
    # a number that no other line has makes its target distinct
    mark = pl.Series(["?"]).gather([0] * count).set(target.str.contains("?", literal=True), "&")
    alone = pl.Series(rng.random(count) < _share_alone(spec, pools))
    own = join_text(target, mark, "session=", _own_numbers(number, spec.seed))
    return own.zip_with(alone, target), agent


def _share_alone(spec: LogSpec, pools: _Pools) -> float:
    """How many lines need a target of their own, given that the others share what is in the pools."""
    if spec.distinct >= 1:
        return 1.0
    shared = len(pools.targets) + min(len(pools.attacks), spec.lines * _ATTACKS)
    return max(0.0, spec.distinct - shared / spec.lines)


def _own_numbers(number: Ints, seed: int) -> pl.Series:
    """A number for each line that no other line has and that looks like chance."""
    # an odd multiplier permutes the 64-bit numbers (Knuth, The Art of Computer Programming 6.4)
    mixed = (number.astype(np.uint64) + np.uint64(seed << 40)) * np.uint64(0x9E3779B97F4A7C15)
    return pl.Series(mixed).cast(pl.String)


def _stamps(number: Ints) -> pl.Series:
    """Times of the lines, so many in each second."""
    second = _START + number // _LINES_PER_SECOND
    seconds, place = np.unique(second, return_inverse=True)
    stamps = pl.Series(seconds * 1000).cast(pl.Datetime("ms")).dt.strftime("%d/%b/%Y:%H:%M:%S +0000")
    return stamps.gather(place)
