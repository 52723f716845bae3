"""What all models of the wire share: they are frozen, and say times and durations in one way.

| type | in JSON | in Python |
|---|---|---|
| `Moment` | `2026-11-22T09:30:00Z` | aware datetime, UTC |
| `Instant` | `2026-11-22T09:30:00.123Z` | aware datetime, UTC |
| `Seconds` | number of seconds, at most 6 decimals | float |
| `Fraction` | number, at most 6 decimals | float |
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import UUID4, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

_DECIMALS = 6


class Wire(BaseModel):
    """A frozen model, read from JSON or from an object with attributes of the same names.

    A client skips fields that it does not know, so that a newer server may say more.
    """

    model_config = ConfigDict(
        frozen=True, from_attributes=True, validate_by_name=True, serialize_by_alias=True, extra="ignore"
    )


class Request(BaseModel):
    """The parameters of a call; a name that is not among them is refused, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _to_second(moment: datetime) -> str:
    return _utc(moment).strftime("%Y-%m-%dT%H:%M:%SZ")


def _to_millisecond(moment: datetime) -> str:
    return _utc(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _rounded(value: float) -> float:
    return round(value, _DECIMALS)


def _text(value: Any) -> Any:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case datetime():
            return value.isoformat()
        case _:
            return value


Text = Annotated[str, BeforeValidator(_text)]
"""A parameter as it is typed; numbers, truth values and moments are written out."""

RandomId = Annotated[
    UUID4,
    WithJsonSchema(
        {
            "type": "string",
            "format": "uuid",
            "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        }
    ),
]
"""A random UUID (version 4)."""

Moment = Annotated[datetime, PlainSerializer(_to_second, return_type=str, when_used="json")]
"""A time of which the second is enough."""

Instant = Annotated[datetime, PlainSerializer(_to_millisecond, return_type=str, when_used="json")]
"""A time to the millisecond, as the store keeps it."""

Fraction = Annotated[float, PlainSerializer(_rounded, return_type=float, when_used="json")]
"""A number that was computed; more than 6 decimals say nothing."""

Seconds = Annotated[
    float, BeforeValidator(_seconds), PlainSerializer(_rounded, return_type=float, when_used="json")
]
"""A length of time in seconds."""
