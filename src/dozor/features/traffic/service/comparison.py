"""Use case: a stretch of time against the one of the same length before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from dozor.features.traffic.core.comparison import Pair, moved, pair, ranked, stretches
from dozor.features.traffic.model import Change, Changes, Condition, Dimension, Filters
from dozor.features.traffic.ports import TrafficQueries, Watch

COMPARED = (Dimension.PATH, Dimension.CLIENT, Dimension.COUNTRY, Dimension.STATUS, Dimension.UA_FAMILY)
"""What changes are looked for in."""

_COMPARED_VALUES = 1_000  # by dimension; what is rarer moves little


@dataclass(frozen=True)
class Part:
    """A watch for one of several parts of a long question.

    Args:
        watch: The watch of the whole.
        begin: Share of the whole that is done before the part, 0 to 1.
        share: Share of the whole that the part is.
    """

    watch: Watch | None
    begin: float
    share: float

    def progress(self, done: float) -> None:
        """Note the share of the part that is done."""
        if self.watch is not None:
            self.watch.progress(self.begin + done * self.share)


def changes(
    queries: TrafficQueries, scope: Filters, *, now: datetime, limit: int, watch: Watch | None = None
) -> Changes:
    """What differs from the stretch before, the largest share of the change first.

    Raises:
        UsageError: The scope has no beginning, or no length.
    """
    this, before = stretches(scope, now=now)
    share = 1 / (2 * len(COMPARED) + 1)
    pairs: dict[Dimension, Pair] = {}
    requests = earlier = 0
    for place, dimension in enumerate(COMPARED):
        lists = [
            queries.top(
                stretch,
                dimension,
                limit=_COMPARED_VALUES,
                watch=Part(watch, (2 * place + second) * share, share),
            )
            for second, stretch in enumerate((this, before))
        ]
        requests, earlier = lists[0].requests, lists[1].requests
        pairs[dimension] = pair(dimension, *lists)
    first = ranked(change for found in pairs.values() for change in moved(found))[:limit]
    items = ranked(_exact(queries, change, this, before, pairs) for change in first)
    return Changes(
        since=_known(this.since), until=_known(this.until), requests=requests, before=earlier, items=items
    )


def _exact(
    queries: TrafficQueries,
    change: Change,
    this: Filters,
    before: Filters,
    pairs: Mapping[Dimension, Pair],
) -> Change:
    """Count a value that one of the lists left out; its share goes with its difference."""
    if change.value not in pairs[change.dimension].guessed:
        return change
    value = int(change.value) if change.dimension is Dimension.STATUS else change.value
    condition = Condition(change.dimension.value, "=", value)

    def count(stretch: Filters) -> int:
        only = replace(stretch, where=(*stretch.where, condition))
        return queries.top(only, change.dimension, limit=1).requests

    requests = change.requests or count(this)
    earlier = change.before or count(before)
    share = change.share * abs(requests - earlier) / abs(change.requests - change.before)
    return replace(change, requests=requests, before=earlier, share=share)


def _known(moment: datetime | None) -> datetime:
    if moment is None:
        raise ValueError("A stretch has both its ends.")
    return moment
