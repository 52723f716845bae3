"""Requests that carry a text at a place, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from dozor.features.threats.model import Place, Rule


@dataclass(frozen=True)
class Line:
    """The fields of a request that detection reads."""

    method: str = "GET"
    target: str = "/"
    referer: str = ""
    user_agent: str = ""


def line_for(place: Place, text: str) -> Line:
    """A request that carries the text at a place, written as a client would send it."""
    match place:
        case Place.ARG:
            return Line(target="/search?q=" + quote(text, safe=""))
        case Place.PATH:
            return Line(target="/" + quote(text.removeprefix("/"), safe="/;"))
        case Place.QUERY:
            return Line(target="/search?" + quote(text, safe="=&"))
        case Place.TARGET:
            return Line(target=text)
        case Place.REFERER:
            return Line(referer=text)
        case Place.USER_AGENT:
            return Line(user_agent=text)
        case Place.METHOD:
            return Line(method=text)
        case Place.REQUEST:
            return Line(method="", target=text)


def place_of(rule: Rule) -> Place:
    """Where a rule's samples stand: in an argument when it looks there."""
    order: list[Place] = [Place.ARG, *Place]
    return next(place for place in order if place in rule.places)


def batch_of(lines: Iterable[Line], kind: pa.DataType | None = None) -> pa.RecordBatch:
    """The lines as a batch of text columns."""
    rows = list(lines)
    names = ("method", "target", "referer", "user_agent")
    return pa.record_batch(
        {name: pa.array([getattr(row, name) for row in rows], kind or pa.string_view()) for name in names}
    )


Annotate = Callable[[Iterable[Line]], list[dict[str, Any]]]
