"""Times as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from dozor.kernel.errors import UsageError
from dozor.kernel.i18n import _

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def parse_moment(text: str, *, now: datetime) -> datetime:
    """ISO 8601 (without a zone UTC) or `30m`, `24h`, `7d` before `now`, in UTC, to the millisecond.

    Raises:
        UsageError: It is neither, or the time is out of range.
    """
    if match := _AGO.fullmatch(text.strip()):
        try:
            return now - timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
        except OverflowError as error:
            raise _bad_moment(text) from error
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _bad_moment(text) from error
    return moment


def _bad_moment(text: str) -> UsageError:
    return UsageError(
        _("Time '{text}' cannot be read.").format(text=text),
        hint=_("Write ISO 8601, such as 2026-11-22T10:00 (UTC), or a span before now, such as 30m, 24h, 7d."),
    )
