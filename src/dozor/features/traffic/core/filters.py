"""Filters that a person types: `--where 'FIELD OP VALUE'`, `--since`, `--until`.

A filter is compiled once to a Polars expression over the record's columns.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

import polars as pl
import pyarrow as pa

from dozor.columns.record import ATTACK_SCORE, RECORD
from dozor.kernel.errors import UsageError
from dozor.kernel.i18n import _

_CONDITION = re.compile(r"\s*([A-Za-z_]\w*)\s*(!=|<=|>=|=|<|>|~)(?![=<>~!])\s*(.*?)\s*", re.DOTALL)
_QUOTED = re.compile(r"""(["'])(.*)\1""", re.DOTALL)
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_HIDDEN = ("evidence",)
_ALIASES = {"ip": "client", "agent": "user_agent", "class": "classes", "rule": "rules", "time": "ts"}
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")

_ORDER: dict[str, Callable[[Any, Any], pl.Expr]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Filters:
    """Which requests a question is about.

    Args:
        since: First moment, inclusive; None is the beginning.
        until: Moment after the last, exclusive; None is the end.
        where: Conditions that must all hold.
    """

    since: datetime | None = None
    until: datetime | None = None
    where: tuple[pl.Expr, ...] = ()

    def in_time(self) -> pl.Expr | None:
        """The condition on `ts` alone, or None when all times are wanted."""
        bounds = []
        if self.since is not None:
            bounds.append(pl.col("ts") >= pl.lit(self.since).cast(pl.Datetime("ms", "UTC")))
        if self.until is not None:
            bounds.append(pl.col("ts") < pl.lit(self.until).cast(pl.Datetime("ms", "UTC")))
        return pl.all_horizontal(bounds) if bounds else None


def read_filters(
    since: str | None = None, until: str | None = None, where: Iterable[str] = (), *, now: datetime
) -> Filters:
    """Compile what a person typed.

    Raises:
        UsageError: A time, field, operator or value that cannot be used.
    """
    return Filters(
        None if since is None else parse_moment(since, now=now),
        None if until is None else parse_moment(until, now=now),
        tuple(parse_condition(condition, now=now) for condition in where),
    )


def filter_fields() -> list[str]:
    """Names that a condition may use, in order."""
    return [name for name in RECORD.names if name not in _HIDDEN] + ["attack"]


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


def parse_condition(text: str, *, now: datetime) -> pl.Expr:
    """Compile `FIELD OP VALUE`, OP one of `= != < <= > >= ~` (`~` searches a regular expression).

    Lists (`classes`, `rules`) match when one of their items does. An unknown number never matches.

    Raises:
        UsageError: The form, the field, the operator for it or the value is wrong.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(
            _("Filter '{text}' is not of the form FIELD OP VALUE.").format(text=text),
            hint=_("Write for example 'status >= 500' or 'path ~ ^/admin'; OP is one of = != < <= > >= ~."),
        )
    name, sign, value = match[1], match[2], _unquote(match[3])
    name = _ALIASES.get(name, name)
    if name not in filter_fields():
        raise _unknown_field(name)
    if name == "attack":
        return _boolean(pl.col("score") >= ATTACK_SCORE, name, sign, value)
    return _compile(name, RECORD.field(name).type, sign, value, now)


def _compile(name: str, type_: pa.DataType, sign: str, value: str, now: datetime) -> pl.Expr:
    column = pl.col(name)
    if pa.types.is_boolean(type_):
        return _boolean(column, name, sign, value)
    if pa.types.is_list(type_):
        return _list(column, name, sign, value)
    if pa.types.is_timestamp(type_):
        if sign == "~":
            raise _wrong_operator(name, sign, "= != < <= > >=")
        moment = pl.lit(parse_moment(value, now=now)).cast(pl.Datetime("ms", "UTC"))
        return _ORDER[sign](column, moment)
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return _number(column, name, sign, value, whole=pa.types.is_integer(type_))
    return _text(column, name, sign, value)


def _text(column: pl.Expr, name: str, sign: str, value: str) -> pl.Expr:
    if sign == "~":
        return column.str.contains(_regex(name, value))
    if sign in ("=", "!="):
        return _ORDER[sign](column, pl.lit(value))
    raise _wrong_operator(name, sign, "= != ~")


def _list(column: pl.Expr, name: str, sign: str, value: str) -> pl.Expr:
    if sign == "~":
        pattern = _regex(name, value)
        return column.list.eval(pl.element().str.contains(pattern)).list.any()
    if sign in ("=", "!="):
        holds = column.list.contains(value)
        return holds if sign == "=" else ~holds
    raise _wrong_operator(name, sign, "= != ~")


def _boolean(column: pl.Expr, name: str, sign: str, value: str) -> pl.Expr:
    if sign not in ("=", "!="):
        raise _wrong_operator(name, sign, "= !=")
    if value.lower() not in _TRUE + _FALSE:
        raise _wrong_value(name, value, _("true or false"))
    wanted = (value.lower() in _TRUE) == (sign == "=")
    return column if wanted else ~column


def _number(column: pl.Expr, name: str, sign: str, value: str, *, whole: bool) -> pl.Expr:
    if sign == "~":
        return column.cast(pl.String).str.contains(_regex(name, value))
    try:
        number = int(value) if whole else float(value)
    except ValueError as error:
        raise _wrong_value(name, value, _("a whole number") if whole else _("a number")) from error
    if not abs(number) < 2**63:  # nan is not
        raise _wrong_value(name, value, _("a smaller number"))
    # In the column's own precision: 0.1 as float64 is not the 0.1 that a float32 holds.
    kind = pl.Int64 if whole else pl.Float32
    return _ORDER[sign](column.cast(kind), pl.lit(number, dtype=kind)).fill_null(value=False)


def _regex(name: str, pattern: str) -> str:
    """The pattern if Polars can compile it."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        raise UsageError(
            _("Filter on '{name}': '{pattern}' is not a regular expression.").format(
                name=name, pattern=pattern
            ),
            hint=_("Escape special signs with a backslash, or compare with = instead of ~."),
        ) from error
    return pattern


def _unquote(value: str) -> str:
    match = _QUOTED.fullmatch(value)
    return match[2] if match else value


def _unknown_field(name: str) -> UsageError:
    near = get_close_matches(name, [*filter_fields(), *_ALIASES], 1)
    fields = ", ".join(filter_fields())
    return UsageError(
        _("There is no field '{name}' to filter on.").format(name=name),
        hint=_("Did you mean '{near}'?").format(near=near[0])
        if near
        else _("Fields: {names}.").format(names=fields),
    )


def _wrong_operator(name: str, sign: str, usable: str) -> UsageError:
    return UsageError(
        _("Field '{name}' cannot be compared with '{operator}'.").format(name=name, operator=sign),
        hint=_("Use one of: {usable}.").format(usable=usable),
    )


def _wrong_value(name: str, value: str, wanted: str) -> UsageError:
    return UsageError(
        _("Field '{name}' cannot be compared with '{value}'.").format(name=name, value=value),
        hint=_("Give {wanted}.").format(wanted=wanted),
    )
