from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from dozor.client import CountedRow, Series, Timeline
from dozor.console import charts
from dozor.console.charts import Layer
from dozor.console.theme import DARK, LIGHT
from dozor.kernel.i18n import use_language

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
LINE = Timeline(
    start=tuple(START + timedelta(minutes=5 * n) for n in range(3)),
    step_seconds=300,
    series=(
        Series(name="ok", requests=(5, 6, 7), bytes=(0, 0, 0), clients=(1, 1, 1)),
        Series(name="4xx", requests=(1, 0, 2), bytes=(0, 0, 0), clients=(1, 0, 1)),
        Series(name="5xx", requests=(0, 1, 0), bytes=(0, 0, 0), clients=(0, 1, 0)),
    ),
)
LAYERS = [Layer(("ok",), "ok", "#000001"), Layer(("4xx", "5xx", "none"), "failed", "#000002")]


def steps(spec: dict[str, Any]) -> list[dict[str, int]]:
    values: list[dict[str, int]] = spec["datasets"][charts.STEPS]
    return values


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_layers_sum_up_their_series() -> None:
    spec = charts.time_line(LINE, LAYERS, LIGHT, START, START + timedelta(minutes=15))
    assert [(step["s0"], step["s1"]) for step in steps(spec)] == [(5, 1), (6, 1), (7, 2)]
    json.dumps(spec)


def test_steps_end_where_the_range_ends() -> None:
    since, until = START + timedelta(minutes=1), START + timedelta(minutes=12)
    told = steps(charts.time_line(LINE, LAYERS, LIGHT, since, until))
    assert (told[0]["t"], told[0]["step"]) == (milliseconds(since), milliseconds(START))
    assert told[-1]["u"] == milliseconds(until)
    assert all(step["t"] < step["u"] for step in told)


def test_a_layer_without_a_series_is_flat() -> None:
    spec = charts.time_line(LINE, [Layer(("gone",), "x", "#000001")], DARK, START, START)
    assert [step["s0"] for step in steps(spec)] == [0, 0, 0]


def test_an_empty_line_is_a_chart_without_marks() -> None:
    empty = Timeline(start=(), step_seconds=60, series=())
    assert steps(charts.time_line(empty, LAYERS, LIGHT, START, START)) == []


def row(value: str, requests: int, errors: int = 0) -> CountedRow:
    return CountedRow(
        value=value, requests=requests, bytes=0, errors=errors, attacks=0, clients=1, seconds=None
    )


def shapes(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {value["code"]: value for value in spec["datasets"][charts.COUNTRIES]}


def test_countries_are_joined_by_the_digits_of_iso() -> None:
    spec = charts.world([row("RU", 900), row("FR", 30, 3), row("ZZ", 5)], "requests", "x", LIGHT)
    assert {code: shape["id"] for code, shape in shapes(spec).items()} == {"RU": "643", "FR": "250"}
    assert shapes(spec)["FR"]["rate"] == 0.1
    assert spec["layer"][1]["encoding"]["color"]["scale"]["domain"] == [30, 900]


def test_what_moves_stands_in_data_sets_so_that_a_refresh_draws_nothing_anew() -> None:
    def drawing(line: Timeline, rows: list[CountedRow]) -> list[Any]:
        specs = [
            charts.time_line(line, LAYERS, LIGHT, START, START + timedelta(minutes=15)),
            charts.world(rows, "requests", "x", LIGHT),
        ]
        return [{key: value for key, value in spec.items() if key != "datasets"} for spec in specs]

    more = Series(name="ok", requests=(6, 7, 8), bytes=(0, 0, 0), clients=(1, 1, 1))
    later = LINE.model_copy(update={"series": (more, *LINE.series[1:])})
    before, after = [row("RU", 941), row("FR", 31)], [row("RU", 957), row("FR", 32)]
    assert drawing(LINE, before) == drawing(later, after)


def test_the_map_has_nearly_every_country_and_the_rest_are_in_the_list() -> None:
    assert len(charts.countries_on_map()) > 170
    assert {"DE", "GB", "US", "CN", "BR"} <= set(charts.countries_on_map())


def test_a_map_of_nothing_is_a_map() -> None:
    json.dumps(charts.world([], "rate", "x", DARK))


def test_axes_write_numbers_and_months_in_the_language() -> None:
    with use_language("ru"):
        spec = charts.time_line(LINE, LAYERS, LIGHT, START, START)
    axis = spec["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]
    assert "'.', ','" in axis
    assert "\u00a0" in axis
