"""What several pages show: numbers of a summary, the time line, lists by a dimension."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import streamlit as st

from dozor.client import Client, CountedRow, Summary, Timeline, TopList
from dozor.console import charts, parts, words
from dozor.console.actions import add_filters, choose_stretch, go_to
from dozor.console.charts import Layer
from dozor.console.parts import Bar, Kpi
from dozor.console.scope import Scope, condition
from dozor.console.view import View, asked
from dozor.kernel.i18n import _, format_bytes, format_duration, ngettext

FIELDS = {"class": "classes", "rule": "rules"}
"""Dimensions whose field has another name."""

_REMEMBERED = 60.0  # s that a list of the stretch before is good for
_MOST_REMEMBERED = 200
_RANKED_BEFORE = 200


def numbers(view: View, summary: Summary, steps: Timeline | None = None) -> list[Kpi]:
    """The main numbers with what they were before.

    Args:
        view: The look at the console.
        summary: Asked for with `compare`.
        steps: A time line without a split, for sparklines; None leaves them out.
    """
    before = summary.previous
    by_class = errors_by_class(summary)
    caption = _("vs the {range} before").format(range=format_duration(view.scope.length.total_seconds()))

    def kpi(
        label: str, now: int, was: int | None, field: str = "", *, bad: bool = False, kind: str = ""
    ) -> Kpi:
        change = "" if was is None else words.change(now, was)
        worse = bad and was is not None and now != was
        return Kpi(
            label,
            words.count(now),
            change,
            ("bad" if now > (was or 0) else "good") if worse else "",
            caption if change else "",
            view.scope.href("lines", add=[field] if field else ()),
            kind=kind,
        )

    requests = kpi(_("Requests"), summary.requests, before.requests if before else None)
    visitors = kpi(_("Visitors"), summary.unique_clients, before.unique_clients if before else None)
    server = kpi(
        _("Server errors"),
        by_class["5xx"],
        before.server_errors if before else None,
        "status >= 500",
        bad=True,
    )
    attacks = kpi(
        _("Attacks"),
        summary.attack_requests,
        before.attack_requests if before else None,
        "attack = true",
        bad=True,
    )
    if steps is None or not steps.series:
        return [requests, visitors, server, attacks]
    (series,) = steps.series[:1]
    return [
        _with_spark(requests, series.requests),
        _with_spark(visitors, series.clients),
        _with_spark(server, [bucket.server_errors for bucket in summary.timeline], "errors"),
        _with_spark(attacks, [bucket.attacks for bucket in summary.timeline], "attack"),
    ]


def _with_spark(number: Kpi, steps: Sequence[int], kind: str = "") -> Kpi:
    return Kpi(
        number.label, number.value, number.change, number.tone, number.caption, number.href, steps, kind
    )


def errors_by_class(summary: Summary) -> dict[str, int]:
    """Answers 4xx and 5xx."""
    counts = {"4xx": 0, "5xx": 0}
    for code, number in summary.status.items():
        if (name := f"{code[:1]}xx") in counts:
            counts[name] += number
    return counts


def status_layers(view: View) -> list[Layer]:
    """The layers of a time line that is split by status."""
    colours = view.colours
    return [
        Layer(("ok",), _("ok"), colours.accent),
        Layer(("4xx",), "4xx", colours.warn),
        Layer(("5xx",), "5xx", colours.high),
        Layer(("attack",), _("attack"), colours.critical),
    ]


def audience_layers(view: View) -> list[Layer]:
    """The layers of a time line that is split by audience."""
    colours = view.colours
    return [
        Layer(("people",), _("people"), colours.accent),
        Layer(("bots",), _("bots"), colours.bots),
        Layer(("attackers",), _("attackers"), colours.critical),
    ]


def ranked_layers(view: View, line: Timeline, split: str) -> list[Layer]:
    """The series with the most as layers, the others together as one."""
    colours = view.colours
    hues = (
        (colours.critical, colours.high, colours.bots)
        if split == "class"
        else (colours.accent, colours.info, colours.bots)
    )
    ranked = sorted((one for one in line.series if one.name != "other"), key=lambda one: -sum(one.requests))
    layers = [
        Layer((one.name,), words.series_name(split, one.name), colour)
        for one, colour in zip(ranked, hues, strict=False)
    ]
    rest = (*(one.name for one in ranked[len(hues) :]), "other")
    if any(sum(one.requests) for one in line.series if one.name in rest):
        layers.append(Layer(rest, _("other"), colours.muted))
    return layers


def time_line(
    view: View,
    line: Timeline,
    layers: Sequence[Layer],
    *,
    title: str,
    key: str,
    height: int = 200,
    page: str = "lines",
    conditions: tuple[str, ...] = (),
) -> None:
    """The card of a time line: dragging chooses a range, a click shows the lines of a step.

    Args:
        view: The look at the console.
        line: The steps.
        layers: What to show of them, the lowest first.
        title: Heading.
        key: Names the chart.
        height: Of the chart, pixels.
        page: Where the lines stand.
        conditions: What the chart is narrowed by beside the filters.
    """
    with st.container(border=True, key=f"card-{key}"):
        step = format_duration(line.step_seconds)
        st.html(
            parts.heading(
                title,
                _("{time} a step; drag for a range, click for the lines").format(time=step),
                parts.link(view.scope.href(page, add=conditions), _("all lines"), style="link"),
            )
        )
        # A new range is a new chart, so that no old drag is left on it.
        widget = f"{key}-{view.scope.preset}-{view.scope.start}-{view.scope.end}"
        st.vega_lite_chart(
            charts.time_line(line, layers, view.colours, height=height),
            width="stretch",
            theme=None,
            key=widget,
            on_select=_on_time_line(widget, line.step_seconds, page, conditions),
            selection_mode=[charts.BRUSH, charts.PICK],
            alt=_("{title}: {count} steps").format(title=title, count=len(line.start)),
        )
        st.html(parts.legend((layer.label, layer.colour) for layer in layers))


def _on_time_line(widget: str, step: float, page: str, conditions: tuple[str, ...]) -> Callable[[], None]:
    def chosen() -> None:
        selection: Any = st.session_state[widget]["selection"]
        if brush := selection.get(charts.BRUSH, {}).get("t"):
            first, last = (datetime.fromtimestamp(edge / 1000, UTC) for edge in (min(brush), max(brush)))
            choose_stretch(first, max(last, first + timedelta(seconds=step)))
        elif picked := selection.get(charts.PICK):
            first = datetime.fromtimestamp(float(picked[0]["t"]) / 1000, UTC)
            choose_stretch(first, first + timedelta(seconds=step))
            add_filters(*conditions)
            go_to(page)

    return chosen


def measured(measure: str, row: CountedRow) -> str:
    """A measure of a row with its unit."""
    if measure == "bytes":
        return format_bytes(row.bytes)
    if measure == "seconds":
        return "" if row.seconds is None else format_duration(row.seconds)
    return words.count(getattr(row, measure))


def top_list(
    view: View,
    title: str,
    dimension: str,
    answer: TopList,
    *,
    measure: str = "requests",
    before: dict[str, int] | None = None,
    page: str = "",
    tone: str = "",
) -> str:
    """The card of a top list; names filter, numbers lead to lines, the last row to all of them.

    Args:
        view: The look at the console.
        title: Heading.
        dimension: What is counted by.
        answer: The rows.
        measure: What they are ordered by.
        before: Requests by value in the stretch before; None leaves changes out.
        page: The page that a click on a name filters; empty for the overview.
        tone: Colour of the bars.
    """
    field = FIELDS.get(dimension, dimension)
    rows = [row for row in answer.rows if getattr(row, measure)]
    weights = [float(getattr(row, measure) or 0) for row in rows]
    whole = float(answer.requests if measure == "requests" else sum(weights))
    longest = max(weights, default=0.0) or 1.0
    extra = ("status >= 400",) if measure == "errors" else ("attack = true",) if measure == "attacks" else ()
    bars = [
        Bar(
            name=value_name(dimension, row.value),
            code=row.value if dimension == "country" else "",
            number=measured(measure, row),
            weight=weight / longest,
            filter_href=view.scope.href(page, add=[condition(field, "=", row.value)]),
            lines_href=view.scope.href("lines", add=[condition(field, "=", row.value), *extra]),
            part=words.share(weight, whole) if measure in {"requests", "bytes"} and whole else "",
            change="" if before is None else words.change(row.requests, before.get(row.value, 0)),
            hint=_hint(dimension, row),
            mono=dimension in {"path", "client", "rule"},
            tone="bad" if dimension == "status" and row.value[:1] == "5" else "",
        )
        for row, weight in zip(rows, weights, strict=True)
    ]
    all_of_them = ""
    if answer.distinct > len(rows):
        label = ngettext("all {count}", "all {count}", answer.distinct).format(
            count=words.count(answer.distinct)
        )
        all_of_them = parts.link(view.scope.href("top", list=dimension, by=measure), label)
    return parts.bar_list(title, bars, more_html=all_of_them, tone=tone)


def value_name(dimension: str, value: str) -> str:
    """A value of a dimension as a list shows it."""
    if dimension == "country":
        return words.country_name(value)
    if dimension == "class":
        return words.attack_name(value)
    if dimension == "status":
        return f"{value} {words.status_name(value)}".strip()
    return words.shown(value)


def _hint(dimension: str, row: CountedRow) -> str:
    facts = [
        value_name(dimension, row.value),
        _("requests: {count}").format(count=words.count(row.requests)),
        _("clients: {count}").format(count=words.count(row.clients)),
        _("errors: {share}").format(share=words.share(row.errors, row.requests)),
        _("traffic: {size}").format(size=format_bytes(row.bytes)),
    ]
    if row.attacks:
        facts.append(_("attacks: {count}").format(count=words.count(row.attacks)))
    return " · ".join(facts)


def grid(*cards_html: str) -> None:
    """Cards side by side, as many as fit."""
    st.html(f'<div class="dz dz-grid">{"".join(cards_html)}</div>')


def top_before(client: Client, dimension: Any, scope: Scope) -> dict[str, int]:
    """Requests by value in the stretch of the same length before; remembered for a minute."""
    # Whole minutes, so that a page that moves on asks once a minute.
    end = scope.since.replace(second=0, microsecond=0)
    since = end - scope.length
    key = (dimension, since, end, scope.where)
    now = time.monotonic()
    with _lock:
        if key in _remembered and now - _remembered[key][0] < _REMEMBERED:
            return _remembered[key][1]
    before = asked(since, end, scope.where)
    answer = client.traffic.top(dimension, before, limit=_RANKED_BEFORE)
    counts = {row.value: row.requests for row in answer.rows}
    with _lock:
        _remembered[key] = (now, counts)
        while len(_remembered) > _MOST_REMEMBERED:
            _remembered.pop(next(iter(_remembered)))
    return counts


_remembered: dict[tuple[Any, ...], tuple[float, dict[str, int]]] = {}
_lock = Lock()


def is_empty(view: View, summary: Summary) -> bool:
    """Whether there is nothing to show; the page was told then what is missing and how to get it."""
    if summary.requests:
        return False
    if view.scope.where:
        st.html(
            parts.note(
                _("No request passes the filters in this range."),
                _("Take a filter away with its cross, or choose a longer range."),
            )
        )
        return True
    if view.scope.custom:
        st.html(parts.note(_("No requests in this range."), _("Choose a longer one, or another time.")))
        return True
    st.html(
        parts.note(
            _("No requests in the last {range}.").format(range=words.range_name(view.scope.preset)),
            _("Here stand visitors, pages, errors and attacks as soon as Dozor follows a log."),
            hint=_("Follow the log of a web server, or look around with made-up traffic:"),
        )
    )
    st.code("dozor up --log /var/log/nginx/access.log\ndozor up --demo", language=None)
    return True
