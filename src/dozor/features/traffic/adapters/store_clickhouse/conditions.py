r"""Filters as SQL: values are bound parameters, never parts of the text.

Means the same as `core.filters.expression`. One difference is left: RE2's `\w`, `\d` and `\b` know ASCII
alone, where Rust's know all letters.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from dozor.columns.record import ATTACK_SCORE
from dozor.features.traffic.core.filters import ATTACK, field_type
from dozor.features.traffic.core.steps import to_millis
from dozor.features.traffic.model import Condition, Filters

_OPERATORS: Final = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_TEXT_PATTERN: Final = "(?-s)"  # ClickHouse lets a dot match a line end, Rust does not


class Where:
    """Conditions of a WHERE clause and the values that they refer to.

    Args:
        filters: Which requests; None are all.
    """

    def __init__(self, filters: Filters | None = None) -> None:
        self.parameters: dict[str, Any] = {}
        self._parts: list[str] = []
        self._only_hits = filters is not None and any(_needs_hit(one) for one in filters.where)
        if filters is not None:
            self.between("ts", filters.since, filters.until)
            for condition in filters.where:
                self._parts.append(self._condition(condition))

    def __str__(self) -> str:
        return " AND ".join(f"({part})" for part in self._parts) or "1"

    @property
    def table(self) -> str:
        """Where the requests are: in `hits` alone when a condition holds for none but these."""
        return "hits" if self._only_hits else "requests"

    def of(self, table: str, also: str = "") -> str:
        """What to select from, named `r`: the table's rows for which all conditions hold.

        The conditions stand in a query of their own, where no alias of the question hides a column.

        Args:
            table: Its name; for `requests` it is `table`.
            also: One more condition, without values.
        """
        table = self.table if table == "requests" else table
        parts = [*self._parts, *([also] if also else [])]
        if not parts:
            return f"{table} AS r"
        return f"(SELECT * FROM {table} WHERE {' AND '.join(f'({part})' for part in parts)}) AS r"

    def bind(self, type_: str, value: Any) -> str:
        """A reference to a new parameter of this ClickHouse type."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{type_}}}"

    def moment(self, value: datetime) -> str:
        """A reference to a moment; what is finer than a millisecond is cut off."""
        return f"fromUnixTimestamp64Milli({self.bind('Int64', to_millis(value))}, 'UTC')"

    def between(self, column: str, since: datetime | None, until: datetime | None) -> None:
        """Keep what is not before `since` and before `until`."""
        if since is not None:
            self._parts.append(f"{column} >= {self.moment(since)}")
        if until is not None:
            self._parts.append(f"{column} < {self.moment(until)}")

    def add(self, part: str) -> None:
        """Keep what this holds for; its values are already bound."""
        self._parts.append(part)

    def _condition(self, condition: Condition) -> str:
        name, sign, value = condition.field, condition.operator, condition.value
        type_ = field_type(name)
        if pa.types.is_boolean(type_):
            column = f"score >= {ATTACK_SCORE}" if name == ATTACK else f"`{name}`"
            return f"({column}) = {self.bind('Bool', value == (sign == '='))}"
        if pa.types.is_list(type_):
            return self._list(name, sign, str(value))
        if isinstance(value, datetime):
            return f"`{name}` {_OPERATORS[sign]} {self.moment(value)}"
        if pa.types.is_integer(type_) or pa.types.is_floating(type_):
            return self._number(name, sign, value, whole=pa.types.is_integer(type_))
        if sign == "~":
            return f"match(`{name}`, {self._pattern(value)})"
        return f"`{name}` {_OPERATORS[sign]} {self.bind('String', str(value))}"

    def _number(self, name: str, sign: str, value: object, *, whole: bool) -> str:
        if sign == "~":
            return f"ifNull(match(toString(`{name}`), {self._pattern(value)}), 0)"
        bound = self.bind("Int64", value) if whole else f"toFloat32({self.bind('Float64', value)})"
        # An unknown number never matches.
        return f"ifNull(`{name}` {_OPERATORS[sign]} {bound}, 0)"

    def _list(self, name: str, sign: str, value: str) -> str:
        if sign == "~":
            return f"arrayExists(item -> match(item, {self._pattern(value)}), `{name}`)"
        holds = f"has(`{name}`, {self.bind('String', value)})"
        return holds if sign == "=" else f"NOT {holds}"

    def _pattern(self, value: object) -> str:
        return self.bind("String", f"{_TEXT_PATTERN}{value}")


def _needs_hit(condition: Condition) -> bool:
    """Whether it holds for none but requests that rules hit, which all have a class and a score above 0."""
    name, sign, value = condition.field, condition.operator, condition.value
    if name == ATTACK:
        return value == (sign == "=")
    if name in ("classes", "rules"):
        return sign in ("=", "~")
    if name == "score" and isinstance(value, int | float):
        return value >= 0 if sign == ">" else value > 0 and sign in ("=", ">=")
    return False
