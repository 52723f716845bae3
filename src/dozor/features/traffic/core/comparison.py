"""Two stretches of time of one length, and what moved between them; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from dozor.features.traffic.model import Change, Dimension, Filters, TopList
from dozor.kernel.errors import UsageError
from dozor.kernel.i18n import _


@dataclass(frozen=True)
class Pair:
    """Lists of one dimension, of now and of before, and the values whose count one of them leaves out.

    Args:
        counts: Requests now and before by value; a count that its list leaves out is taken as 0.
        guessed: Values of which one count is such a 0, though their list is not whole.
        rest: Requests now and before of all values that stand in neither list.
    """

    dimension: Dimension
    counts: Mapping[str, tuple[int, int]]
    guessed: frozenset[str]
    rest: tuple[int, int]


def stretches(scope: Filters, *, now: datetime) -> tuple[Filters, Filters]:
    """The scope with both its ends, and the stretch of the same length right before it.

    Args:
        scope: Its `since` is needed; without `until` it ends `now`.
        now: This moment.

    Raises:
        UsageError: It has no beginning, or no length.
    """
    until = scope.until or now
    if scope.since is None:
        raise UsageError(
            _("Without a beginning there is no stretch before to compare with."),
            hint=_("Give since, such as 24h."),
        )
    if scope.since >= until:
        raise UsageError(
            _("The stretch of time ends before it begins."), hint=_("Give a since before until.")
        )
    try:
        earlier = scope.since - (until - scope.since)
    except OverflowError as error:
        raise UsageError(
            _("The stretch before would begin before year 1."), hint=_("Give a later since.")
        ) from error
    return replace(scope, until=until), replace(scope, since=earlier, until=scope.since)


def pair(dimension: Dimension, now: TopList, before: TopList) -> Pair:
    """Put two lists of a dimension side by side."""
    was = {row.value: row.requests for row in before.rows}
    counts = {row.value: (row.requests, was.get(row.value, 0)) for row in now.rows}
    is_now = set(counts)
    counts |= {value: (0, requests) for value, requests in was.items() if value not in is_now}
    guessed: set[str] = set()
    if before.distinct > len(before.rows):
        guessed |= is_now - was.keys()
    if now.distinct > len(now.rows):
        guessed |= was.keys() - is_now
    rest = tuple(max(0, whole.requests - sum(row.requests for row in whole.rows)) for whole in (now, before))
    return Pair(dimension, counts, frozenset(guessed), (rest[0], rest[1]))


def moved(pair: Pair) -> tuple[Change, ...]:
    """Values of a dimension by their share of what moved in it; none when it has but one value.

    Of the values that stand in neither list only the sum is compared.
    """
    if len(pair.counts) < 2 and not any(pair.rest):  # noqa: PLR2004 - one value alone explains nothing
        return ()
    total = sum(abs(now - before) for now, before in pair.counts.values())
    total += abs(pair.rest[0] - pair.rest[1])
    changes = (
        Change(pair.dimension, value, now, before, abs(now - before) / total)
        for value, (now, before) in pair.counts.items()
        if now != before
    )
    return ranked(changes)


def ranked(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The largest share first, then the largest difference, then by name."""
    return tuple(
        sorted(
            changes,
            key=lambda change: (
                -change.share,
                -abs(change.requests - change.before),
                change.dimension,
                change.value,
            ),
        )
    )
