"""Summary: what a report says, from batches of records that come in any number and size.

    batch --partial_summary--> Partial (in a worker) --Summariser.add--> ... --result--> Summary

Counts are exact. Each batch is grouped by itself first, so that what is merged is small.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import randbits

import polars as pl
import pyarrow as pa

from dozor.columns.record import ATTACK_SCORE
from dozor.features.traffic.core.errorlog import MERGE_COUNTS, count_messages, top_messages
from dozor.features.traffic.core.groups import Groups
from dozor.features.traffic.core.steps import MINUTES, from_millis, round_width, step_starts
from dozor.features.traffic.model import (
    Attacker,
    AttackRow,
    Bucket,
    Reject,
    Source,
    Summary,
    TopRow,
)
from dozor.features.traffic.ports import Spill

TOP = 10
"""Rows of a top list."""

_MINUTE_MS = 60_000
_CLIENT_ERROR, _SERVER_ERROR = 400, 500  # RFC 9110, section 15: the first of their classes
MIN_TIMED = 10  # fewer requests say nothing of a page's usual time
EXAMPLE_CHARS = 1_000

_DIMENSIONS: Mapping[str, str] = {
    "paths": "path",
    "clients": "client",
    "referers": "referer",
    "hosts": "host",
    "agents": "ua_family",
    "countries": "country",
    "methods": "method",
}
_LONG_TEXTS = ("path", "referer")
_HASH_SEED = randbits(63)
_SHARES = {"paths": 4, "clients": 8, "referers": 8, "attackers": 8, "classes": 8}
"""The part (1/n) of the memory budget that the groups with unbounded keys may take; others are small."""

_BUCKET_COUNTS = ("requests", "bytes", "ok", "client_errors", "server_errors", "attacks")

_COUNTS = [pl.col("requests").sum(), pl.col("bytes").sum(), pl.col("errors").sum()]
_TIMED = [pl.col("seconds").sum(), pl.col("timed").sum()]
_ATTACKER_MERGE = [
    pl.col("country").first(),
    pl.col("attacks").sum(),
    pl.col("first").min(),
    pl.col("last").max(),
    pl.col("classes").explode().unique().sort(),
    *(
        # Of several that are equal the first of the log.
        pl.col(name).sort_by("score", descending=True, maintain_order=True).first()
        for name in ("example", "decoded", "matched", "rule")
    ),
    pl.col("score").max(),
]


@dataclass(frozen=True)
class Partial:
    """One batch, grouped: small frames that add up. Made by `partial_summary`."""

    source: str
    requests: int
    bytes: int
    bots: int
    first_ms: int | None
    last_ms: int | None
    groups: Mapping[str, pl.DataFrame]


def partial_summary(records: pa.RecordBatch, source: str) -> Partial:
    """Group one batch of records (schema `columns.record.RECORD`); pure."""
    frame = pl.DataFrame(records)
    if not len(frame):
        return Partial(source, 0, 0, 0, None, None, {})
    is_error = (pl.col("status") >= _CLIENT_ERROR).cast(pl.Int64)
    counts = [
        pl.len().cast(pl.Int64).alias("requests"),
        pl.col("bytes").sum(),
        is_error.sum().alias("errors"),
    ]
    timed = [
        pl.col("request_time").cast(pl.Float64).sum().alias("seconds"),
        pl.col("request_time").count().cast(pl.Int64).alias("timed"),
    ]
    groups = {
        name: _by_value(frame, column, counts + (timed if name == "paths" else []))
        for name, column in _DIMENSIONS.items()
    }
    groups["minutes"] = _minutes(frame)
    groups |= _attacks(frame)
    return Partial(
        source,
        len(frame),
        int(frame["bytes"].sum()),
        int(frame["is_bot"].sum()),
        *_ends(frame["ts"]),
        {name: _own_memory(group) for name, group in groups.items()},
    )


def _by_value(frame: pl.DataFrame, column: str, counts: Sequence[pl.Expr]) -> pl.DataFrame:
    """Count by the values of a column, which the result calls `value`.

    Long texts are told apart by a hash of 64 bits with a secret seed, in half the time: that two of
    100,000 values share one has a chance of three in ten thousand million.
    """
    value = pl.col(column)
    if column not in _LONG_TEXTS:
        return frame.group_by(value.alias("value")).agg(counts)
    by_hash = frame.group_by(value.hash(_HASH_SEED).alias("hash"))
    return by_hash.agg(value.first().alias("value"), *counts).drop("hash")


def _ends(moments: pl.Series) -> tuple[int, int]:
    millis = moments.to_physical()
    return int(millis.min()), int(millis.max())  # type: ignore[arg-type]  # never null by the schema


def _minutes(frame: pl.DataFrame) -> pl.DataFrame:
    """Requests by minute (its number since 1970) and status."""
    return frame.group_by(
        (pl.col("ts").to_physical() // _MINUTE_MS).alias("minute"),
        pl.col("status"),
    ).agg(
        pl.len().cast(pl.Int64).alias("requests"),
        pl.col("bytes").sum(),
        (pl.col("score") >= ATTACK_SCORE).sum().cast(pl.Int64).alias("attacks"),
    )


def _attacks(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Hits by class and client, and what the attackers did; from the few rows that rules hit."""
    needed = ["client", "country", "ts", "raw", "classes", "score", "evidence"]
    hits = frame.select(needed).filter(pl.col("classes").list.len() > 0)
    attack = (pl.col("score") >= ATTACK_SCORE).alias("attack")
    classes = (
        hits.select("client", attack, pl.col("classes").alias("class"))
        .explode("class")
        .group_by("class", "client", "attack")
        .agg(pl.len().cast(pl.Int64).alias("requests"))
    )
    best = pl.col("evidence").list.first().struct
    attackers = (
        hits.filter(attack)
        .select(
            "client",
            "country",
            pl.lit(1, pl.Int64).alias("attacks"),
            pl.col("ts").alias("first"),
            pl.col("ts").alias("last"),
            "classes",
            pl.col("raw").str.slice(0, EXAMPLE_CHARS).alias("example"),
            best.field("decoded").fill_null("").str.slice(0, EXAMPLE_CHARS),
            best.field("matched").fill_null("").str.slice(0, EXAMPLE_CHARS),
            best.field("rule").fill_null(""),
            "score",
        )
        .group_by("client")
        .agg(_ATTACKER_MERGE)
    )
    return {"classes": classes, "attackers": attackers}


def _own_memory(frame: pl.DataFrame) -> pl.DataFrame:
    """Copy texts out of the batch, whose whole buffer their views would else keep alive."""
    copied = {
        name: pl.Series(name, series.to_arrow(compat_level=pl.CompatLevel.oldest()))
        for name, series in zip(frame.columns, frame.get_columns(), strict=True)
        if series.dtype == pl.String
    }
    return frame.with_columns(**copied)


@dataclass
class _SourceCount:
    format: str
    requests: int = 0
    rejected: int = 0
    parsed: int = 0


@dataclass
class _Rejects:
    reasons: dict[str, int] = field(default_factory=dict)
    examples: list[Reject] = field(default_factory=list)


class Summariser:
    """Adds partial summaries up; not for several threads at once.

    Args:
        spill: Where counts go that pass the budget.
        budget: Bytes of memory for counts of distinct values.
        top: Rows of each top list at the most.
    """

    def __init__(self, spill: Spill, budget: int, *, top: int = TOP) -> None:
        def groups(name: str, keys: Sequence[str], merge: Sequence[pl.Expr]) -> Groups:
            return Groups(name, keys, merge, spill, budget // _SHARES.get(name, 16))

        self._groups = {
            name: groups(name, ["value"], _COUNTS + (_TIMED if name == "paths" else []))
            for name in _DIMENSIONS
        }
        self._groups["minutes"] = groups(
            "minutes", ["minute", "status"], [pl.col("requests", "bytes", "attacks").sum()]
        )
        self._groups["classes"] = groups("classes", ["class", "client", "attack"], [pl.col("requests").sum()])
        self._groups["attackers"] = groups("attackers", ["client"], _ATTACKER_MERGE)
        self._groups["errors"] = groups("errors", ["level", "message"], MERGE_COUNTS)
        self._top = top
        self._requests = self._bytes = self._bots = 0
        self._first: int | None = None
        self._last: int | None = None
        self._sources: dict[str, _SourceCount] = {}
        self._rejects = _Rejects()

    def add_source(self, name: str, format_name: str) -> None:
        """Name a source before its batches come, so that an empty one is told too."""
        self._sources.setdefault(name, _SourceCount(format_name))

    def add(self, partial: Partial, *, parsed: int | None = None) -> None:
        """Add one batch; `parsed` is how many requests it had before filters, if there were any."""
        source = self._sources[partial.source]
        source.requests += partial.requests
        source.parsed += partial.requests if parsed is None else parsed
        self._requests += partial.requests
        self._bytes += partial.bytes
        self._bots += partial.bots
        self._first = min((ms for ms in (self._first, partial.first_ms) if ms is not None), default=None)
        self._last = max((ms for ms in (self._last, partial.last_ms) if ms is not None), default=None)
        for name, group in partial.groups.items():
            self._groups[name].add(group)

    def add_rejects(self, rejects: pa.RecordBatch, source: str) -> None:
        """Count rejected lines (schema `columns.record.REJECT`) and keep the first few as examples."""
        if not len(rejects):
            return
        self._sources[source].rejected += len(rejects)
        counts = rejects.column("reason").value_counts()
        for counted in counts.to_pylist():
            reason = counted["values"]
            self._rejects.reasons[reason] = self._rejects.reasons.get(reason, 0) + counted["counts"]
        for row in rejects.slice(0, max(0, TOP - len(self._rejects.examples))).to_pylist():
            self._rejects.examples.append(Reject(source, row["line"], row["reason"], row["raw"]))

    def add_errors(self, records: pa.RecordBatch, source: str, *, parsed: int | None = None) -> None:
        """Count messages of an error log (schema `core.errorlog.ERROR_RECORD`); `parsed` is as in `add`."""
        self._sources[source].parsed += len(records) if parsed is None else parsed
        if len(records):
            self._groups["errors"].add(count_messages(records))

    def result(self, *, seconds: float = 0.0) -> Summary:
        """Everything that was added, as one summary. Call it once, at the end."""
        paths = _Tops(
            self._groups["paths"].complete(), dict.fromkeys(("requests", "errors", "mean"), self._top)
        )
        attackers = _top(self._groups["attackers"].complete(), ["attacks", "score"], "client", self._top)
        wanted = attackers["client"].to_list() if attackers is not None else []
        clients = _Tops(self._groups["clients"].complete(), {"requests": self._top}, keep=wanted)
        steps = _merged(self._groups["minutes"])
        step, timeline = _timeline(steps)
        return Summary(
            requests=self._requests,
            rejected=sum(self._rejects.reasons.values()),
            unique_clients=clients.distinct,
            bytes=self._bytes,
            first=_moment(self._first),
            last=_moment(self._last),
            status=_by_status(steps),
            methods={row.value: row.requests for row in self._small("methods")},
            bots=self._bots,
            top_paths=paths.rows("requests"),
            top_clients=clients.rows("requests"),
            top_countries=self._small("countries"),
            top_agents=self._small("agents"),
            top_referers=_Tops(self._groups["referers"].complete(), {"requests": self._top}).rows("requests"),
            top_hosts=self._small("hosts"),
            error_paths=paths.rows("errors"),
            slow_paths=paths.rows("mean"),
            attacks=(classes := _classes(self._groups["classes"].complete()))[0],
            weak_signs=classes[1],
            attackers=_attackers(attackers, clients.kept),
            attack_requests=0 if steps is None else int(steps["attacks"].sum()),
            timeline=timeline,
            step=step,
            reject_reasons=dict(sorted(self._rejects.reasons.items(), key=lambda item: (-item[1], item[0]))),
            reject_examples=tuple(self._rejects.examples),
            sources=tuple(
                Source(name, count.format, count.requests, count.rejected, count.parsed)
                for name, count in self._sources.items()
            ),
            seconds=seconds,
            errors=top_messages(self._groups["errors"].complete(), most=self._top),
        )

    def _small(self, name: str) -> tuple[TopRow, ...]:
        return _Tops(self._groups[name].complete(), {"requests": self._top}).rows("requests")


class _Tops:
    """The top rows by several measures in one walk over complete groups, and how many groups there are."""

    def __init__(
        self, frames: Iterable[pl.DataFrame], tops: Mapping[str, int], keep: Sequence[str] = ()
    ) -> None:
        self.distinct = 0
        self.kept: dict[str, int] = {}
        self._best: dict[str, pl.DataFrame] = {}
        for frame in frames:
            self.distinct += len(frame)
            if keep:
                rows = frame.filter(pl.col("value").is_in(keep))
                self.kept |= dict(zip(rows["value"].to_list(), rows["requests"].to_list(), strict=True))
            measured = _with_mean(frame)
            for measure, count in tops.items():
                if measure not in measured.columns:
                    continue
                chosen = measured.filter(pl.col(measure) > 0) if measure != "requests" else measured
                if measure == "mean":
                    chosen = chosen.filter(pl.col("timed") >= MIN_TIMED)
                best = pl.concat([self._best[measure], chosen]) if measure in self._best else chosen
                self._best[measure] = _first_rows(best, [measure], "value", count)

    def rows(self, measure: str) -> tuple[TopRow, ...]:
        """Rows of the top list by this measure."""
        if measure not in self._best:
            return ()
        return tuple(
            TopRow(row["value"], row["requests"], row["bytes"], row["errors"], row.get("mean"))
            for row in self._best[measure].to_dicts()
        )


def _with_mean(frame: pl.DataFrame) -> pl.DataFrame:
    if "timed" not in frame.columns:
        return frame
    return frame.with_columns(mean=pl.when(pl.col("timed") > 0).then(pl.col("seconds") / pl.col("timed")))


def _first_rows(frame: pl.DataFrame, measures: Sequence[str], value: str, count: int) -> pl.DataFrame:
    """The highest rows, equal ones by value in ascending order."""
    by = [*measures, value]
    return frame.top_k(count, by=by, reverse=[False] * len(measures) + [True]).sort(
        by, descending=[True] * len(measures) + [False]
    )


def _top(
    frames: Iterable[pl.DataFrame], measures: Sequence[str], value: str, count: int
) -> pl.DataFrame | None:
    best: pl.DataFrame | None = None
    for frame in frames:
        joined = frame if best is None else pl.concat([best, frame])
        best = _first_rows(joined, measures, value, count)
    return best


def _merged(groups: Groups) -> pl.DataFrame | None:
    frames = list(groups.complete())
    return pl.concat(frames) if frames else None


def _by_status(steps: pl.DataFrame | None) -> dict[str, int]:
    if steps is None:
        return {}
    counted = steps.group_by("status").agg(pl.col("requests").sum()).sort("status")
    return {f"{status:03d}": requests for status, requests in counted.iter_rows()}


def _classes(frames: Iterable[pl.DataFrame]) -> tuple[tuple[AttackRow, ...], tuple[AttackRow, ...]]:
    """Rows of the attacks and of the weak signs; a client is counted once in each class."""
    parts = [
        frame.group_by("class", "attack").agg(pl.col("requests").sum(), pl.len().alias("groups"))
        for frame in frames
    ]
    if not parts:
        return (), ()
    # The groups are by class, client and attack: each is one client of that class.
    counted = pl.concat(parts).group_by("class", "attack").agg(pl.col("requests", "groups").sum())
    ordered = counted.sort(["requests", "class"], descending=[True, False])

    def rows(*, attack: bool) -> tuple[AttackRow, ...]:
        chosen = ordered.filter(pl.col("attack") == attack)
        return tuple(AttackRow(row["class"], row["requests"], row["groups"]) for row in chosen.to_dicts())

    return rows(attack=True), rows(attack=False)


def _attackers(frame: pl.DataFrame | None, requests: Mapping[str, int]) -> tuple[Attacker, ...]:
    if frame is None:
        return ()
    return tuple(
        Attacker(
            **{**row, "classes": tuple(row["classes"]), "score": float(row["score"])},
            requests=requests.get(row["client"], row["attacks"]),
        )
        for row in frame.to_dicts()
    )


def _timeline(minutes: pl.DataFrame | None) -> tuple[timedelta, tuple[Bucket, ...]]:
    """Requests by steps of a round width, gapless from the first to the last."""
    if minutes is None:
        return MINUTES[0], ()
    first, last = int(minutes["minute"].min()), int(minutes["minute"].max())  # type: ignore[arg-type]  # not empty
    step = round_width(first * _MINUTE_MS, last * _MINUTE_MS, MINUTES)
    width = int(step.total_seconds() // 60)
    status = pl.col("status")

    def requests_where(chosen: pl.Expr, name: str) -> pl.Expr:
        return pl.col("requests").filter(chosen).sum().alias(name)

    counted = minutes.group_by((pl.col("minute") // width).alias("step")).agg(
        pl.col("requests", "bytes", "attacks").sum(),
        requests_where(status < _CLIENT_ERROR, "ok"),
        requests_where((status >= _CLIENT_ERROR) & (status < _SERVER_ERROR), "client_errors"),
        requests_where(status >= _SERVER_ERROR, "server_errors"),
    )
    return step, gapless(counted.with_columns(pl.col("step") * width * _MINUTE_MS), step)


def gapless(counted: pl.DataFrame, step: timedelta) -> tuple[Bucket, ...]:
    """Steps of a time line without gaps.

    Args:
        counted: At least one row with step (ms since 1970) and `Bucket`'s counts, each step at most once.
        step: Width of a step.
    """
    rows = {row["step"]: row for row in counted.to_dicts()}
    empty = dict.fromkeys(_BUCKET_COUNTS, 0)
    return tuple(
        Bucket(from_millis(start), *(rows.get(start, empty)[name] for name in _BUCKET_COUNTS))
        for start in step_starts(min(rows), max(rows), step)
    )


def _moment(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)
