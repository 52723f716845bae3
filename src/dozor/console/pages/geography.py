"""Geography: where requests and errors come from, as maps and as a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from dozor.client import CountedRow, Geography
from dozor.console import blocks, charts, parts, words
from dozor.console.actions import add_filters
from dozor.console.data import ask
from dozor.console.parts import Bar
from dozor.console.scope import condition
from dozor.console.view import View
from dozor.kernel.i18n import _, ngettext

_LISTED = 24
_FEWEST_FOR_RATE = 20  # requests, below which an error rate says nothing


def draw(view: View) -> None:
    """Show the page."""
    answers = ask(
        view,
        "geography",
        640,
        geography=lambda client, query: client.traffic.geography(view.asks(), query_id=query),
    )
    if answers is None:
        return
    with answers.frame():
        if blocks.is_empty(view, answers["geography"].requests):
            return
        left, right = st.columns([5, 3], gap="small")
        with left:
            _maps(view, answers["geography"])
        with right:
            st.html(_list(view, answers["geography"]))


def _maps(view: View, geography: Geography) -> None:
    told = [row for row in geography.countries if row.requests >= _FEWEST_FOR_RATE]
    for field, title, rows, note in (
        ("requests", _("Requests by country"), geography.countries, ""),
        (
            "rate",
            _("Error rate by country"),
            told,
            _("countries with {count} requests and more").format(count=_FEWEST_FOR_RATE),
        ),
    ):
        with st.container(border=True, key=f"card-map-{field}"):
            st.html(parts.heading(title, note or _("click a country to filter by it")))
            widget = f"map-{field}-{len(view.scope.where)}"
            st.vega_lite_chart(
                charts.world(rows, field, _legend(field), view.colours),
                width="stretch",
                theme=None,
                key=widget,
                on_select=_on_map(widget),
                selection_mode=charts.PICK,
                alt=title,
            )
    unknown = geography.unknown.requests
    text = ngettext(
        "Of no country, since private or unknown: {count} request ({share}).",
        "Of no country, since private or unknown: {count} requests ({share}).",
        unknown,
    ).format(count=words.count(unknown), share=words.share(unknown, geography.requests))
    html = parts.text(text)
    if unknown:
        href = view.scope.href("lines", add=[condition("country", "=", "")])
        html += " " + parts.link(href, _("Show the lines"), style="link")
    small = len([row for row in geography.countries if row.value not in charts.countries_on_map()])
    if small:
        text = ngettext(
            "{count} country is too small for the map and stands in the list.",
            "{count} countries are too small for the map and stand in the list.",
            small,
        ).format(count=small)
        html += "<br>" + parts.text(text)
    source = _("Shapes: Natural Earth, public domain, joined by ISO codes.")
    st.html(f'<div class="dz cap">{html}<br>{parts.text(source)}</div>')


def _legend(field: str) -> str:
    return _("requests") if field == "requests" else _("answers 4xx and 5xx")


def _on_map(widget: str) -> Callable[[], None]:
    def chosen() -> None:
        picked: Any = st.session_state[widget]["selection"].get(charts.PICK)
        if picked and picked[0].get("code"):
            add_filters(condition("country", "=", picked[0]["code"]))

    return chosen


def _list(view: View, geography: Geography) -> str:
    rows = geography.countries[:_LISTED]
    most = max((row.requests for row in rows), default=0) or 1
    label = ngettext("all {count}", "all {count}", len(geography.countries)).format(
        count=len(geography.countries)
    )
    more = parts.link(view.scope.href("top", list="country"), label)
    return parts.bar_list(
        _("Countries"),
        [_bar(view, row, most, geography.requests) for row in rows],
        heads=(_("country"), _("requests"), _("errors")),
        more_html=more if len(geography.countries) > len(rows) else "",
    )


def _bar(view: View, row: CountedRow, most: int, total: int) -> Bar:
    wanted = condition("country", "=", row.value)
    return Bar(
        name=words.country_name(row.value),
        code=row.value,
        number=words.count(row.requests),
        weight=row.requests / most,
        filter_href=view.scope.href("geography", add=[wanted]),
        lines_href=view.scope.href("lines", add=[wanted]),
        part=words.share(row.errors, row.requests),
        hint=_("{country}: {share} of all requests").format(
            country=words.country_name(row.value), share=words.share(row.requests, total)
        ),
    )
