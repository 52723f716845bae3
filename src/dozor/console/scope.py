"""What a page is about: a stretch of time and conditions, as the URL says them.

The URL holds filters only, in words that mean the same in every language and time zone:
`?range=6h&where=status+>=+500`, or `?from=2026-11-22T10:00:00Z&to=2026-11-22T12:00:00Z`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

RANGES = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
DEFAULT_RANGE = "24h"

AUDIENCES: dict[str, tuple[str, ...]] = {
    "all": (),
    "people": ("is_bot = false", "attack = false"),
    "bots": ("is_bot = true", "attack = false"),
    "attackers": ("attack = true",),
}
"""Who is looked at, and the conditions for it: who attacks is neither people nor bots."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The stretch of time and the conditions of a page.

    Args:
        since: First moment, inclusive, UTC.
        until: Moment after the last, exclusive, UTC.
        where: Conditions `FIELD OP VALUE` that must all hold.
        preset: The range that was chosen, a key of `RANGES`, also while `start` or `end` overrule it.
        start: First moment of a range of one's own; None with a preset.
        end: Moment after its last; None is now.
    """

    since: datetime
    until: datetime
    where: tuple[str, ...]
    preset: str
    start: datetime | None = None
    end: datetime | None = None

    @property
    def custom(self) -> bool:
        """Whether the range is one's own and no preset."""
        return self.start is not None or self.end is not None

    @property
    def moving(self) -> bool:
        """Whether the range ends now, so that it changes while somebody looks."""
        return self.end is None

    @property
    def length(self) -> timedelta:
        """How long the stretch is."""
        return self.until - self.since

    def narrowed(self, *conditions: str) -> Scope:
        """The same with more conditions; one that holds already is not said twice."""
        return replace(self, where=merge(self.where, conditions))

    def query(
        self,
        *,
        add: Iterable[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        **more: str,
    ) -> str:
        """The part of a link after `?` that keeps this scope, with conditions and parameters added."""
        start, end = since or self.start, until or self.end
        pairs: list[tuple[str, str]] = []
        if self.preset != DEFAULT_RANGE:
            pairs.append(("range", self.preset))
        if start is not None:
            pairs.append(("from", write_moment(start)))
        if end is not None:
            pairs.append(("to", write_moment(end)))
        pairs += [("where", condition) for condition in merge(self.where, add)]
        pairs += [(name, value) for name, value in more.items() if value]
        return urlencode(pairs)

    def href(self, page: str, **more: object) -> str:
        """A link to a page of the console with this scope: see `query`.

        Relative, so that it works below any path.
        """
        query = self.query(**more)  # type: ignore[arg-type]
        return f"{page or './'}?{query}" if query else page or "./"


def read_scope(parameters: Mapping[str, object], now: datetime) -> Scope:
    """The scope that the parameters of a URL describe; what cannot be read is left out.

    Args:
        parameters: `range`, `from` and `to` as text and `where` as a list of text.
        now: The end of a range without one.
    """
    preset = str(parameters.get("range") or DEFAULT_RANGE)
    preset = preset if preset in RANGES else DEFAULT_RANGE
    start = read_moment(str(parameters.get("from") or ""))
    end = read_moment(str(parameters.get("to") or ""))
    if start is not None and start >= (end or now):
        start = end = None
    where = parameters.get("where") or ()
    conditions = tuple(str(one) for one in where) if isinstance(where, Sequence) else ()
    until = end or now
    return Scope(start or until - RANGES[preset], until, conditions, preset, start, end)


def condition(field: str, sign: str, value: str) -> str:
    """A condition in the words of the API; a value that the API would trim or unquote is put in quotes."""
    plain = value == value.strip() and value[:1] not in {'"', "'", ""}
    return f"{field} {sign} {value}" if plain else f'{field} {sign} "{value}"'


def merge(conditions: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """Conditions and more of them, each once, in order."""
    return tuple(dict.fromkeys((*conditions, *more)))


def write_moment(moment: datetime) -> str:
    """A moment as the URL has it: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_moment(text: str) -> datetime | None:
    """A moment of the URL, without a zone UTC; None when it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return None
