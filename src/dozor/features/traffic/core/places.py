"""Where a stored row stands in the order of all rows, and the opaque text that names it."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import NamedTuple

from dozor.kernel.errors import UsageError
from dozor.kernel.i18n import _

_FORM = struct.Struct(">qqI")


class Place(NamedTuple):
    """Rows are ordered by these: time (ms since 1970), number of the insert, number of the row in it."""

    ms: int
    batch: int
    row: int

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(_FORM.pack(*self)).decode().rstrip("=")


def read_place(text: str) -> Place | None:
    """The place that a text names; None when it is none."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        place = Place(*_FORM.unpack(packed))
    except (binascii.Error, ValueError, struct.error):
        return None
    return place if str(place) == text else None


def read_cursor(text: str) -> Place:
    """The place behind which the next page begins.

    Raises:
        UsageError: The text is no cursor.
    """
    place = read_place(text)
    if place is None:
        raise UsageError(
            _("'{text}' is no cursor.").format(text=text[:80]),
            hint=_("Take it from 'next' of the page before, or leave it out for the first page."),
        )
    return place
