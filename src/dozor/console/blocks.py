"""What several pages show: numbers of a summary, the time line, lists by a dimension."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, TypeVar

import streamlit as st

from dozor.client import Calls, CountedRow, Timeline, TopList
from dozor.client import Scope as ApiScope
from dozor.console import charts, parts, words
from dozor.console.actions import add_filters, choose_stretch, go_to
from dozor.console.charts import Layer
from dozor.console.data import Answers, Question
from dozor.console.parts import Bar, Kpi
from dozor.console.scope import Scope, condition
from dozor.console.view import View, asked
from dozor.kernel.i18n import _, format_bytes, format_duration, ngettext

FIELDS = {"class": "classes", "rule": "rules"}
"""Dimensions whose field has another name."""

Remembered = TypeVar("Remembered")

_ALL_STATUSES = 1000
_STATUS_TONES = {"3": "quiet", "4": "warn", "5": "high"}
_REMEMBERED = 60.0  # s that a list of the stretch before is good for
_MOST_REMEMBERED = 200
_RANKED_BEFORE = 200


@dataclass(frozen=True, slots=True)
class Totals:
    """The main numbers of a stretch of time."""

    requests: int
    clients: int
    bytes: int
    client_errors: int
    server_errors: int
    attacks: int

    @classmethod
    def of(cls, statuses: TopList, clients: TopList) -> Totals:
        """From the list of all statuses and from one of clients, which cost a tenth of a summary."""

        def answered(digit: str) -> int:
            return sum(row.requests for row in statuses.rows if row.value[:1] == digit)

        return cls(
            statuses.requests,
            clients.distinct,
            sum(row.bytes for row in statuses.rows),
            answered("4"),
            answered("5"),
            sum(row.attacks for row in statuses.rows),
        )


def totals_questions(view: View) -> dict[str, Question]:
    """What is asked for `numbers`: to be answered as `statuses`, `clients` and `before`."""
    return {
        "statuses": lambda client, query: client.traffic.top(
            "status", view.asks(), limit=_ALL_STATUSES, query_id=query
        ),
        "clients": lambda client, query: client.traffic.top("client", view.asks(), limit=1, query_id=query),
        "before": lambda client, _query: _totals_before(client, view.scope),
    }


def _totals_before(client: Calls, scope: Scope) -> Totals:
    def ask(before: ApiScope) -> Totals:
        return Totals.of(
            client.traffic.top("status", before, limit=_ALL_STATUSES),
            client.traffic.top("client", before, limit=1),
        )

    return _remember("totals", scope, ask)


def numbers(view: View, answers: Answers, steps: Timeline | None = None) -> list[Kpi]:
    """The main numbers with what they were before, each leading to its lines.

    Args:
        view: The look at the console.
        answers: With those to `totals_questions`, and to `line` (a time line split by status) for sparklines.
        steps: A time line without a split, for sparklines; None leaves them out.
    """
    now, before = Totals.of(answers["statuses"], answers["clients"]), answers["before"]
    kpis = [
        kpi(view, _("Requests"), now.requests, before.requests),
        kpi(view, _("Visitors"), now.clients, before.clients),
        kpi(view, _("Server errors"), now.server_errors, before.server_errors, "status >= 500", bad=True),
        kpi(view, _("Attacks"), now.attacks, before.attacks, "attack = true", bad=True),
    ]
    if steps is None or not steps.series:
        return kpis
    by_name = {series.name: series.requests for series in answers["line"].series}
    (whole,) = steps.series[:1]
    curves = (
        (whole.requests, ""),
        (whole.clients, ""),
        (by_name.get("5xx", ()), "errors"),
        (by_name.get("attack", ()), "attack"),
    )
    return [replace(one, spark=curve, kind=kind) for one, (curve, kind) in zip(kpis, curves, strict=True)]


def kpi(
    view: View, label: str, now: int, before: int, *conditions: str, bad: bool = False, size: bool = False
) -> Kpi:
    """A number with what it was before.

    Args:
        view: The look at the console.
        label: What it counts.
        now: The number.
        before: The same in the stretch before.
        conditions: Which lines are behind it.
        bad: Whether more of it is bad.
        size: Whether it is a size in bytes.
    """
    change = words.change(now, before) if before or not now else ""
    worse = "bad" if now > before else "good"
    caption = _("vs the {range} before") if change else _("none in the {range} before")
    return Kpi(
        label,
        format_bytes(now) if size else words.count(now),
        change,
        worse if bad and change != words.UNCHANGED else "",
        caption.format(range=view.length()),
        view.scope.href("lines", add=conditions),
    )


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
        step = words.span(line.step_seconds)
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
            charts.time_line(line, layers, view.colours, view.scope.since, view.scope.until, height=height),
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
            first = datetime.fromtimestamp(float(picked[0]["step"]) / 1000, UTC)
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
            tone=_STATUS_TONES.get(row.value[:1], "") if dimension == "status" else "",
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


def top_before(client: Calls, dimension: Any, scope: Scope) -> dict[str, int]:
    """Requests by value in the stretch of the same length before."""

    def ask(before: ApiScope) -> dict[str, int]:
        answer = client.traffic.top(dimension, before, limit=_RANKED_BEFORE)
        return {row.value: row.requests for row in answer.rows}

    return _remember(dimension, scope, ask)


def _remember(name: str, scope: Scope, ask: Callable[[ApiScope], Remembered]) -> Remembered:
    """An answer about the stretch before, remembered for a minute."""
    # Whole minutes, so that a page that moves on asks once a minute.
    end = scope.since.replace(second=0, microsecond=0) if scope.moving else scope.since
    since = end - scope.length
    key = (name, since, end, scope.where)
    now = time.monotonic()
    with _lock:
        if key in _remembered and now - _remembered[key][0] < _REMEMBERED:
            known: Remembered = _remembered[key][1]
            return known
    answer = ask(asked(since, end, scope.where))
    with _lock:
        _remembered[key] = (now, answer)
        while len(_remembered) > _MOST_REMEMBERED:
            _remembered.pop(next(iter(_remembered)))
    return answer


_remembered: dict[tuple[Any, ...], tuple[float, Any]] = {}
_lock = Lock()


def open_first(open_row: Callable[[Any, Any, int], None], signature: object, rows: Sequence[object]) -> None:
    """A button that opens the first row: a table on a canvas cannot be used by everybody."""
    st.button(
        _("Open the first"),
        icon=":material/open_in_new:",
        type="tertiary",
        disabled=not rows,
        on_click=open_row,
        args=(signature, rows, 0),
        key="open-first",
    )


def is_empty(view: View, requests: int) -> bool:
    """Whether there is nothing to show; the page was told then what is missing and how to get it."""
    if requests:
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


def walk(place: int | None, count: int, open_row: Callable[[int], None], close: Callable[[], None]) -> None:
    """Buttons beside a table that open the row before, the row after, or none.

    The table is a canvas, which cannot be used by everybody.

    Args:
        place: Number of the open row; None when it is not in the table.
        count: Rows of the table.
        open_row: Opens the row of a number.
        close: Closes the open one.
    """
    with st.container(horizontal=True, horizontal_alignment="right", key="walk"):
        if place is not None:
            st.button(
                _("Previous"),
                icon=":material/keyboard_arrow_up:",
                type="tertiary",
                disabled=place == 0,
                on_click=open_row,
                args=(place - 1,),
            )
            st.button(
                _("Next"),
                icon=":material/keyboard_arrow_down:",
                type="tertiary",
                disabled=place + 1 >= count,
                on_click=open_row,
                args=(place + 1,),
            )
        st.button(_("Close"), icon=":material/close:", type="tertiary", on_click=close)
