"""Charts as Vega-Lite dictionaries: they cost a thirtieth of Altair's objects, and no import.

Vega cannot be told a language, so axes carry expressions that write numbers and months themselves.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from babel.core import get_global

from dozor.client import CountedRow, Timeline
from dozor.console import words
from dozor.console.theme import SANS, Theme
from dozor.kernel.i18n import _, current_language

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a stacked time line.

    Args:
        keys: Names of the series that it sums up.
        label: What the legend calls it.
        colour: As `#RRGGBB`.
    """

    keys: tuple[str, ...]
    label: str
    colour: str


BRUSH, PICK = "brush", "pick"
"""Names of what can be done on a chart: drag a stretch of time, click a mark."""

AREAS, STEPS, COUNTRIES = "areas", "steps", "countries"
"""Names of data sets. What stands in one is renewed in the picture; all else draws it anew, which is seen."""

WORLD = "app/static/world-110m.json"
ANTARCTICA = "010"


def time_line(
    line: Timeline,
    layers: Sequence[Layer],
    colours: Theme,
    since: datetime,
    until: datetime,
    *,
    height: int = 200,
) -> Spec:
    """A stacked area over time with a column under the pointer; drag chooses, click picks a step.

    Args:
        line: The steps.
        layers: What to show, the lowest of the stack first.
        colours: The theme.
        since: First moment in question: what is known of the first step begins here.
        until: The moment after the last: a step under way ends here, so that it does not look like a fall.
        height: Of the whole chart, pixels.
    """
    by_name = {series.name: series.requests for series in line.series}
    width = int(line.step_seconds * 1000)
    first, last = (int(moment.timestamp() * 1000) for moment in (since, until))
    sums = [
        [sum(step) for step in zip(*(by_name[key] for key in layer.keys if key in by_name), strict=True)]
        or [0] * len(line.start)
        for layer in layers
    ]
    steps = [
        {
            "step": (at := int(start.timestamp() * 1000)),
            "t": max(at, min(first, at + width)),
            "u": min(at + width, max(last, at)),
            **{f"s{n}": counts[i] for n, counts in enumerate(sums)},
        }
        for i, start in enumerate(line.start)
    ]
    keys = [f"s{n}" for n in range(len(layers))]
    time = {"field": "t", "type": "temporal", "title": None, "scale": {"nice": False}, "axis": _time_axis()}
    area = {
        "transform": [{"fold": keys, "as": ["k", "n"]}],
        "mark": {"type": "area", "interpolate": "step-after", "fillOpacity": 0.72},
        "encoding": {
            "x": time,
            "y": {
                "field": "n",
                "type": "quantitative",
                "stack": "zero",
                "title": None,
                "axis": _number_axis(),
                "scale": {"nice": True},
            },
            "color": {
                "field": "k",
                "type": "nominal",
                "legend": None,
                "scale": {"domain": keys, "range": [layer.colour for layer in layers]},
            },
            # The first of the layers lies at the bottom.
            "order": {"field": "k", "sort": "ascending"},
        },
    }
    columns = {
        "params": [
            {"name": BRUSH, "select": {"type": "interval", "encodings": ["x"]}},
            {"name": PICK, "select": {"type": "point", "fields": ["step"], "on": "click", "toggle": False}},
            {
                "name": "hover",
                "select": {"type": "point", "fields": ["t"], "on": "pointerover", "clear": "pointerout"},
            },
        ],
        "mark": {"type": "rect", "cursor": "pointer"},
        "encoding": {
            "x": time,
            "x2": {"field": "u"},
            "color": {"value": colours.text},
            "opacity": {"condition": {"param": "hover", "empty": False, "value": 0.12}, "value": 0},
            "tooltip": [
                {"field": "t", "type": "temporal", "title": _("from"), "format": "%d.%m.%Y %H:%M:%S"},
                *(
                    {"field": key, "type": "quantitative", "title": layer.label, "format": ",d"}
                    for key, layer in reversed(list(zip(keys, layers, strict=True)))
                ),
            ],
        },
    }
    # An area ends at its last step; one more point carries it to the end of that step.
    closing = [{**steps[-1], "t": steps[-1]["u"]}] if steps else []
    area["data"], columns["data"] = {"name": AREAS}, {"name": STEPS}
    return {
        **_frame(colours, height),
        "layer": [area, columns],
        "datasets": {AREAS: [*steps, *closing], STEPS: steps},
    }


@cache
def countries_on_map() -> Mapping[str, str]:
    """ISO 3166-1 alpha-2 of the countries that the map has, to the three digits by which it knows them."""
    shapes = json.loads((Path(__file__).parent / "static" / "world-110m.json").read_text(encoding="utf-8"))
    known = {shape.get("id") for shape in shapes["objects"]["countries"]["geometries"]}
    aliases: Mapping[str, list[str]] = get_global("territory_aliases")
    return {codes[0]: digits for digits, codes in aliases.items() if digits in known}


def world(rows: Sequence[CountedRow], field: str, title: str, colours: Theme, *, height: int = 300) -> Spec:
    """A map of the world, one hue; click picks a country.

    Args:
        rows: Countries.
        field: `requests` (shaded by the logarithm) or `rate`, errors by requests.
        title: What is shown, for the legend and the tooltip.
        colours: The theme.
        height: Of the whole chart, pixels.
    """
    digits = countries_on_map()
    values: list[dict[str, Any]] = [
        {
            "id": digits[row.value],
            "code": row.value,
            "name": words.country_name(row.value),
            "requests": row.requests,
            "rate": row.errors / row.requests,
            "shown": words.count(row.requests),
            "errors": words.share(row.errors, row.requests),
        }
        for row in rows
        if row.value in digits and row.requests
    ]
    shades = [value[field] for value in values] or [1]
    logarithmic = field == "requests"
    # Round ends, so that they stay while the numbers grow. One country alone is the one with the most.
    lowest = _round_down(min(shades)) if logarithmic and len(shades) > 1 else int(logarithmic)
    highest = _round_up(max(*shades, 10 * lowest if logarithmic else 0.01))
    scale: dict[str, Any] = {
        "type": "log" if logarithmic else "linear",
        "domain": [lowest, highest],
        "range": list(colours.map if logarithmic else colours.map_errors),
        "interpolate": "lab",
    }
    shapes = {"url": WORLD, "format": {"type": "topojson", "feature": "countries"}}
    land = {
        "data": shapes,
        "transform": [{"filter": f"datum.id !== '{ANTARCTICA}'"}],
        "mark": {"type": "geoshape", "fill": colours.land, "stroke": colours.bg, "strokeWidth": 0.5},
    }
    countries = {
        "data": shapes,
        "transform": [
            {
                "lookup": "id",
                "from": {
                    "data": {"name": COUNTRIES},
                    "key": "id",
                    "fields": ["code", "name", "requests", "rate", "shown", "errors"],
                },
            },
            {"filter": "isValid(datum.code)"},
        ],
        "params": [
            {"name": PICK, "select": {"type": "point", "fields": ["code"], "on": "click", "toggle": False}}
        ],
        "mark": {"type": "geoshape", "stroke": colours.bg, "strokeWidth": 0.5, "cursor": "pointer"},
        "encoding": {
            "color": {
                "field": field,
                "type": "quantitative",
                "scale": scale,
                "legend": {
                    "title": title,
                    "orient": "bottom-left",
                    "direction": "horizontal",
                    "gradientLength": 120,
                    "gradientThickness": 8,
                    "titleFontSize": 12,
                    "titleFontWeight": "normal",
                    "labelExpr": _expression() if logarithmic else _percent(),
                    "values": [lowest, highest],
                    "offset": 0,
                },
            },
            "tooltip": [
                {"field": "name", "type": "nominal", "title": _("country")},
                {"field": "shown", "type": "nominal", "title": _("requests")},
                {"field": "errors", "type": "nominal", "title": _("errors")},
            ],
        },
    }
    nothing = {"id": "", "code": "", "name": "", "requests": 0, "rate": 0.0, "shown": "", "errors": ""}
    return {
        **_frame(colours, height),
        "projection": {"type": "naturalEarth1"},
        "layer": [land, countries],
        "datasets": {COUNTRIES: values or [nothing]},
    }


def _round_up(number: float) -> float:
    """The next number with one digit that is not zero."""
    power: float = 10.0 ** math.floor(math.log10(number))
    return math.ceil(number / power) * power


def _round_down(number: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(number))
    return math.floor(number / power) * power


def _frame(colours: Theme, height: int) -> Spec:
    words_of_axis = {"labelColor": colours.muted, "titleColor": colours.muted, "labelFontSize": 12}
    return {
        "height": height,
        "background": colours.bg,
        "padding": {"left": 4, "right": 8, "top": 6, "bottom": 2},
        "config": {
            "font": SANS,
            "view": {"stroke": None},
            "axis": {
                **words_of_axis,
                "gridColor": colours.grid,
                "domainColor": colours.line,
                "tickColor": colours.line,
                "labelFont": SANS,
            },
            "legend": {**words_of_axis, "labelFont": SANS, "titleFont": SANS},
        },
    }


_NUMBER = (
    "datum.value >= 1e6 ? replace(format(datum.value / 1e6, '.3~r'), '.', '{point}') + '{million}'"
    " : datum.value >= 1e4 ? replace(format(datum.value / 1e3, '.3~r'), '.', '{point}') + '{thousand}'"
    " : replace(format(datum.value, ',~f'), ',', '{space}')"
)


def _expression() -> str:
    russian = current_language() == "ru"
    return (
        _NUMBER.replace("{point}", _point())
        .replace("{million}", _("M"))
        .replace("{thousand}", _("K"))
        .replace("{space}", "\N{NO-BREAK SPACE}" if russian else ",")
    )


def _point() -> str:
    return "," if current_language() == "ru" else "."


def _percent() -> str:
    space = "\N{NO-BREAK SPACE}" if current_language() == "ru" else ""
    return f"replace(format(100 * datum.value, '.2~f'), '.', '{_point()}') + '{space}%'"


def _number_axis() -> Mapping[str, Any]:
    return {"labelExpr": _expression(), "tickCount": 4, "domain": False, "ticks": False, "format": "d"}


def _time_axis() -> Mapping[str, Any]:
    names = json.dumps(list(words.months()), ensure_ascii=False)
    date = f"date(datum.value) + ' ' + {names}[month(datum.value)]"
    midnight = "hours(datum.value) === 0 && minutes(datum.value) === 0 && seconds(datum.value) === 0"
    time = "timeFormat(datum.value, seconds(datum.value) === 0 ? '%H:%M' : '%H:%M:%S')"
    return {
        "labelExpr": f"{midnight} ? {date} : {time}",
        "grid": False,
        "labelOverlap": "greedy",
        "tickCount": 10,
    }
