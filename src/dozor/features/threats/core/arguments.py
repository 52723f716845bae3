"""Cut a value into the parts that a server would look at one by one.

A target is split before it is decoded, as servers do: an encoded `&` does not start an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from dozor.features.threats.model import Place

MAX_ARGUMENTS = 200
"""Beyond this many arguments only the query as a whole is looked at."""

_NAME_LENGTH = 60
_TELLING_NAME = 9
"""A shorter name of letters and digits cannot be an attack."""


class Field(Enum):
    """The columns whose values are searched, with the places that each one has."""

    TARGET = frozenset({Place.TARGET, Place.PATH, Place.QUERY, Place.ARG})
    REFERER = frozenset({Place.REFERER})
    USER_AGENT = frozenset({Place.USER_AGENT})
    METHOD = frozenset({Place.METHOD})
    REQUEST = frozenset({Place.REQUEST})


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a value: the place for rules, the name for evidence, the bytes as sent.

    `+` has already become a space where a server would read it so. `repeats` marks a query whose
    one argument is a part already.
    """

    place: Place
    where: str
    text: bytes
    repeats: bool = False


def parts(field: Field, value: bytes) -> tuple[Part, ...]:
    """The parts of one value, the most telling first: arguments before the query as a whole."""
    match field:
        case Field.TARGET:
            return tuple(_target_parts(value))
        case Field.REFERER:
            return tuple(_header_parts(Place.REFERER, value))
        case Field.USER_AGENT:
            return tuple(_header_parts(Place.USER_AGENT, value))
        case Field.METHOD:
            return (Part(Place.METHOD, "method", value),)
        case Field.REQUEST:
            return (Part(Place.REQUEST, "request", value),)


def _target_parts(value: bytes) -> Iterator[Part]:
    path, question, query = value.partition(b"?")
    if question:
        arguments = query.split(b"&")
        if len(arguments) <= MAX_ARGUMENTS:
            yield from _argument_parts(arguments)
        yield Part(Place.QUERY, "query", query.replace(b"+", b" "), len(arguments) == 1)
    yield Part(Place.PATH, "path", path)
    yield Part(Place.TARGET, "target", value)


def _argument_parts(arguments: list[bytes]) -> Iterator[Part]:
    for argument in arguments:
        name, equals, text = argument.replace(b"+", b" ").partition(b"=")
        if text:
            yield Part(Place.ARG, "query:" + _shown(name), text)
        if name and not (equals and len(name) < _TELLING_NAME and name.isalnum()):
            yield Part(Place.ARG, "query", name)


def _header_parts(place: Place, value: bytes) -> Iterator[Part]:
    _, question, query = value.partition(b"?")
    if question and (place is Place.REFERER or b"=" in query):
        arguments = query.split(b"&")
        if 1 < len(arguments) <= MAX_ARGUMENTS:
            for argument in arguments:
                yield Part(place, place.value, argument.replace(b"+", b" ").partition(b"=")[2])
    if b"+" in value and b" " not in value:
        yield Part(place, place.value, value.replace(b"+", b" "))
    yield Part(place, place.value, value)


def _shown(name: bytes) -> str:
    return name[:_NAME_LENGTH].decode("utf-8", "replace")
