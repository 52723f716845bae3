"""Dynamics: numbers against before, the time line, and who and what makes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from dozor.client import Client, Timeline, TopList
from dozor.console import blocks, parts, words
from dozor.console.charts import Layer
from dozor.console.data import Answers, ask
from dozor.console.parts import Kpi
from dozor.console.scope import AUDIENCES
from dozor.console.view import View
from dozor.kernel.i18n import N_, _

_SPLITS = {
    "status": N_("answers"),
    "audience": N_("who asks"),
    "class": N_("attacks"),
    "country": N_("country"),
    "host": N_("host"),
    "source": N_("source"),
}
_SPLIT = "audience"
_LISTS: tuple[tuple[str, str], ...] = (
    ("path", N_("Pages")),
    ("client", N_("Addresses")),
    ("referer", N_("Referers")),
    ("ua_family", N_("Agents")),
    ("status", N_("Statuses")),
    ("host", N_("Hosts")),
)


def draw(view: View) -> None:
    """Show the page."""
    who, split = _choices()
    # Links from here carry the audience along as filters.
    view = replace(view, scope=view.scope.narrowed(*AUDIENCES[who]))
    lists: dict[str, Any] = {f"top_{name}": _top(view, name) for name, _title in _LISTS} | {
        f"before_{name}": lambda client, _query, name=name: blocks.top_before(client, name, view.scope)
        for name, _title in _LISTS
    }
    answers = ask(
        view,
        f"dynamics-{who}-{split}",
        700,
        **blocks.totals_questions(view),
        line=lambda client, query: client.traffic.timeseries(view.asks(), split=split, query_id=query),
        **lists,
    )
    if answers is None:
        return
    with answers.frame():
        if not blocks.is_empty(view, answers["statuses"].requests):
            _draw(view, answers, split)


def _top(view: View, dimension: Any) -> Any:
    def question(client: Client, query: Any) -> TopList:
        return client.traffic.top(dimension, view.asks(), limit=10, query_id=query)

    return question


def _choices() -> tuple[str, Any]:
    """Who is looked at and what the time line is divided by; both stand in the URL."""
    with st.container(key="hidden-dynamics"):
        for name in ("who", "by"):
            st.text_input(name, key=name, bind="query-params", label_visibility="collapsed")
    who = st.session_state["who"] if st.session_state["who"] in AUDIENCES else "all"
    split = st.session_state["by"] if st.session_state["by"] in _SPLITS else _SPLIT
    st.session_state["dz_who"], st.session_state["dz_by"] = who, split
    with st.container(horizontal=True, vertical_alignment="center", key="choices"):
        st.html(parts.caption(_("Whose requests")), width="content")
        st.segmented_control(
            _("Whose requests"),
            list(AUDIENCES),
            key="dz_who",
            format_func=words.audience_name,
            label_visibility="collapsed",
            required=True,
            on_change=_take,
            args=("who",),
        )
        st.html(parts.caption(_("Divide by")), width="content")
        st.segmented_control(
            _("Divide by"),
            list(_SPLITS),
            key="dz_by",
            format_func=lambda name: _(_SPLITS[name]),
            label_visibility="collapsed",
            required=True,
            on_change=_take,
            args=("by",),
        )
    return who, split


def _take(name: str) -> None:
    st.session_state[name] = st.session_state[f"dz_{name}"]


def _draw(view: View, answers: Answers, split: str) -> None:
    st.html(parts.kpi_row([*blocks.numbers(view, answers), *_more_numbers(view, answers)]))
    blocks.time_line(
        view,
        answers["line"],
        _layers(view, answers["line"], split),
        title=_("Requests"),
        key=f"dynamics-{split}",
        conditions=view.scope.where,
    )
    blocks.grid(
        *(
            blocks.top_list(
                view,
                _(title),
                name,
                answers[f"top_{name}"],
                before=answers[f"before_{name}"] or None,
                page="dynamics",
            )
            for name, title in _LISTS
        )
    )


def _more_numbers(view: View, answers: Answers) -> list[Kpi]:
    now = blocks.Totals.of(answers["statuses"], answers["clients"])
    before: blocks.Totals = answers["before"]
    return [
        blocks.kpi(
            view,
            _("Client errors"),
            now.client_errors,
            before.client_errors,
            "status >= 400",
            "status < 500",
        ),
        blocks.kpi(view, _("Traffic"), now.bytes, before.bytes, size=True),
    ]


def _layers(view: View, line: Timeline, split: str) -> list[Layer]:
    if split == "status":
        return blocks.status_layers(view)
    if split == "audience":
        return blocks.audience_layers(view)
    return blocks.ranked_layers(view, line, split)
