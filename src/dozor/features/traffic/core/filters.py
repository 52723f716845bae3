"""Filters that a person types: `--where 'FIELD OP VALUE'`, `--since`, `--until`.

What is typed becomes conditions that no backend owns (`model.Condition`), with values of the fields' types.
Here they become Polars expressions; a store has a compiler of its own and means the same by them:

- an unknown number never matches, whatever the operator but `!=` on a list;
- a list (`classes`, `rules`) matches when one of its items does, `!=` when none of them is equal;
- fractions are compared as float32, which is what the record holds;
- `~` searches anywhere; numbers are searched as they are written in decimals.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import polars as pl
import pyarrow as pa

from dozor.columns.record import ATTACK_SCORE, RECORD
from dozor.features.traffic.model import Condition, Filters
from dozor.kernel.errors import UsageError
from dozor.kernel.i18n import _
from dozor.kernel.moments import parse_moment

_CONDITION = re.compile(r"\s*([A-Za-z_]\w*)\s*(!=|<=|>=|=|<|>|~)(?![=<>~!])\s*(.*?)\s*", re.DOTALL)
_QUOTED = re.compile(r"""(["'])(.*)\1""", re.DOTALL)
_HIDDEN = ("evidence",)
_ALIASES = {"ip": "client", "agent": "user_agent", "class": "classes", "rule": "rules", "time": "ts"}
ATTACK, SOURCE = "attack", "source"
"""Fields beside the record's columns: whether the line is an attack, and the name of its log."""

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")

_ORDER: dict[str, Callable[[Any, Any], pl.Expr]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


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
    return [name for name in RECORD.names if name not in _HIDDEN] + [ATTACK, SOURCE]


def field_type(name: str) -> pa.DataType:
    """The type of a field that a condition may use."""
    if name == ATTACK:
        return pa.bool_()
    return pa.string() if name == SOURCE else RECORD.field(name).type


def parse_condition(text: str, *, now: datetime) -> Condition:
    """Read `FIELD OP VALUE`, OP one of `= != < <= > >= ~` (`~` searches a regular expression).

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
    return Condition(name, sign, _value(name, field_type(name), sign, value, now))


def _value(
    name: str, type_: pa.DataType, sign: str, value: str, now: datetime
) -> str | int | float | bool | datetime:
    if pa.types.is_boolean(type_):
        return _truth(name, sign, value)
    if pa.types.is_timestamp(type_):
        if sign == "~":
            raise _wrong_operator(name, sign, "= != < <= > >=")
        return parse_moment(value, now=now)
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return _number(name, sign, value, whole=pa.types.is_integer(type_))
    if sign == "~":
        return _regex(name, value)
    if sign in ("=", "!="):
        return value
    raise _wrong_operator(name, sign, "= != ~")


def _truth(name: str, sign: str, value: str) -> bool:
    if sign not in ("=", "!="):
        raise _wrong_operator(name, sign, "= !=")
    if value.lower() not in _TRUE + _FALSE:
        raise _wrong_value(name, value, _("true or false"))
    return value.lower() in _TRUE


def _number(name: str, sign: str, value: str, *, whole: bool) -> str | int | float:
    if sign == "~":
        return _regex(name, value)
    try:
        number = int(value) if whole else float(value)
    except ValueError as error:
        raise _wrong_value(name, value, _("a whole number") if whole else _("a number")) from error
    if not abs(number) < 2**63:  # nan is not
        raise _wrong_value(name, value, _("a smaller number"))
    return number


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


def time_bounds(filters: Filters) -> pl.Expr | None:
    """The condition on `ts` alone, or None when all times are wanted."""
    bounds = []
    if filters.since is not None:
        bounds.append(pl.col("ts") >= _moment(filters.since))
    if filters.until is not None:
        bounds.append(pl.col("ts") < _moment(filters.until))
    return pl.all_horizontal(bounds) if bounds else None


def expression(condition: Condition, *, source: str | None = None) -> pl.Expr:
    """The condition over the record's columns.

    Args:
        condition: What must hold.
        source: Name of the log that all rows are from; None reads the column `source`.
    """
    name, sign, value = condition.field, condition.operator, condition.value
    column, type_ = pl.col(name), field_type(name)
    if name == ATTACK:
        column = pl.col("score") >= ATTACK_SCORE
    elif name == SOURCE and source is not None:
        column = pl.lit(source)
    if pa.types.is_boolean(type_):
        return column if value == (sign == "=") else ~column
    if pa.types.is_list(type_):
        return _list_expression(column, sign, str(value))
    if sign == "~":
        return column.cast(pl.String).str.contains(str(value)).fill_null(value=False)
    if isinstance(value, datetime):
        return _ORDER[sign](column, _moment(value))
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        # In the column's own precision: 0.1 as float64 is not the 0.1 that a float32 holds.
        kind = pl.Int64 if pa.types.is_integer(type_) else pl.Float32
        return _ORDER[sign](column.cast(kind), pl.lit(value, dtype=kind)).fill_null(value=False)
    return _ORDER[sign](column, pl.lit(value))


def _list_expression(column: pl.Expr, sign: str, value: str) -> pl.Expr:
    if sign == "~":
        return column.list.eval(pl.element().str.contains(value)).list.any()
    holds = column.list.contains(value)
    return holds if sign == "=" else ~holds


def _moment(value: datetime) -> pl.Expr:
    return pl.lit(value).cast(pl.Datetime("ms", "UTC"))


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
