"""What a page knows of its reader: scope, colours, zone, the moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from dozor.client import Scope as ApiScope
from dozor.client import Span
from dozor.console import words
from dozor.console.scope import Scope, write_moment
from dozor.console.theme import Theme
from dozor.kernel.i18n import format_duration


def asked(since: datetime, until: datetime, where: tuple[str, ...]) -> ApiScope:
    """A scope for the API."""
    return ApiScope.model_validate(
        {"since": write_moment(since), "until": write_moment(until), "where": where}
    )


@dataclass(frozen=True, slots=True)
class View:
    """One look at the console.

    Args:
        scope: The stretch of time and the conditions of the page.
        colours: Of the theme that is shown.
        zone: The reader's time zone.
        now: The moment, UTC.
    """

    scope: Scope
    colours: Theme
    zone: tzinfo
    now: datetime

    def asks(self, *conditions: str) -> ApiScope:
        """The scope for the API, with more conditions."""
        scope = self.scope.narrowed(*conditions)
        return asked(scope.since, scope.until, scope.where)

    def span(self) -> Span:
        """The stretch of time alone, for the API."""
        return Span(since=write_moment(self.scope.since), until=write_moment(self.scope.until))

    def length(self) -> str:
        """How long the stretch is, in words."""
        if not self.scope.custom:
            return words.range_name(self.scope.preset)
        return format_duration(self.scope.length.total_seconds())

    def local(self, moment: datetime) -> datetime:
        """A moment in the reader's zone."""
        return moment.astimezone(self.zone)

    def when(self, moment: datetime) -> str:
        """A moment as a list shows it."""
        return words.when(self.local(moment), self.local(self.now))

    def until(self, moment: datetime) -> str:
        """A moment to come: in how long up to a day, then its day."""
        local, now = self.local(moment), self.local(self.now)
        return words.ahead(local, now) or words.absolute(local, now).rpartition(" ")[0]

    def absolute(self, moment: datetime) -> str:
        """A moment to the second."""
        return words.absolute(self.local(moment), self.local(self.now))

    def stretch(self, first: datetime, last: datetime) -> str:
        """A stretch of time to the minute."""
        return words.stretch(self.local(first), self.local(last))
