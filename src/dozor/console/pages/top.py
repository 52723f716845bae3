"""Top lists and statuses: what is asked for, by whom, and how it is answered; each list also in full."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from dozor.client import Client, CountedRow, TopList
from dozor.console import blocks, parts, words
from dozor.console.data import Answers, ask
from dozor.console.scope import condition
from dozor.console.view import View
from dozor.kernel.i18n import N_, _, format_bytes, format_duration, ngettext

_MOST = 500


class _List(NamedTuple):
    dimension: str
    measure: str
    title: str
    tone: str = ""


_LISTS = (
    _List("path", "requests", N_("Pages")),
    _List("client", "bytes", N_("Addresses by traffic")),
    _List("client", "errors", N_("Addresses by errors"), "high"),
    _List("status", "requests", N_("Statuses")),
    _List("path", "errors", N_("Pages by errors"), "high"),
    _List("path", "seconds", N_("Slow pages")),
    _List("client", "requests", N_("Addresses by requests")),
    _List("ua_family", "requests", N_("Agents")),
    _List("referer", "requests", N_("Referers")),
    _List("host", "requests", N_("Hosts")),
    _List("method", "requests", N_("Methods")),
    _List("class", "attacks", N_("Attacks by class"), "bad"),
)
_TITLES = {
    "path": N_("Pages"),
    "client": N_("Addresses"),
    "country": N_("Countries"),
    "ua_family": N_("Agents"),
    "user_agent": N_("Agents in full"),
    "referer": N_("Referers"),
    "host": N_("Hosts"),
    "method": N_("Methods"),
    "status": N_("Statuses"),
    "protocol": N_("Protocols"),
    "source": N_("Sources"),
    "class": N_("Attack classes"),
    "rule": N_("Rules"),
}
_MEASURES = {
    "requests": N_("requests"),
    "bytes": N_("traffic"),
    "errors": N_("errors"),
    "attacks": N_("attacks"),
    "seconds": N_("mean time"),
}


def draw(view: View) -> None:
    """Show the page: cards, or one list in full."""
    with st.container(key="hidden-top"):
        for name in ("list", "by"):
            st.text_input(name, key=name, bind="query-params", label_visibility="collapsed")
    chosen, measure = st.session_state["list"], st.session_state["by"]
    if chosen in _TITLES:
        _draw_in_full(view, chosen, measure if measure in _MEASURES else "requests")
        return
    answers = ask(
        view,
        "top",
        700,
        **{
            f"{one.dimension}-{one.measure}": _question(view, one.dimension, one.measure, 10)
            for one in _LISTS
        },
    )
    if answers is None:
        return
    with answers.frame():
        if not blocks.is_empty(view, answers["status-requests"].requests):
            _draw_cards(view, answers)


def _question(view: View, dimension: Any, measure: Any, limit: int) -> Any:
    def question(client: Client, query: Any) -> TopList:
        return client.traffic.top(dimension, view.asks(), measure=measure, limit=limit, query_id=query)

    return question


def _draw_cards(view: View, answers: Answers) -> None:
    cards = []
    for one in _LISTS:
        answer: TopList = answers[f"{one.dimension}-{one.measure}"]
        cards.append(
            blocks.top_list(
                view, _(one.title), one.dimension, answer, measure=one.measure, page="top", tone=one.tone
            )
        )
    blocks.grid(*cards)


def _draw_in_full(view: View, dimension: str, measure: str) -> None:
    answers = ask(view, f"top-{dimension}-{measure}", 600, rows=_question(view, dimension, measure, _MOST))
    if answers is None:
        return
    answer: TopList = answers["rows"]
    with answers.frame():
        caption = ngettext("{shown} of {count}", "{shown} of {count}", answer.distinct).format(
            shown=words.count(len(answer.rows)), count=words.count(answer.distinct)
        )
        back = parts.link(view.scope.href("top"), _("All lists"), style="dz-btn")
        orders = " ".join(
            parts.link(
                view.scope.href("top", list=dimension, by=name),
                _(label),
                style="dz-btn primary" if name == measure else "dz-btn",
            )
            for name, label in _MEASURES.items()
        )
        st.html(
            parts.heading(_(_TITLES[dimension]), caption)
            + f'<div class="dz dz-ways">{back} {parts.text(_("order by"))} {orders}</div>'
            + _table(view, dimension, answer)
        )


def _table(view: View, dimension: str, answer: TopList) -> str:
    heads = [
        (_(_TITLES[dimension]), "msg mono"),
        (_("requests"), "r"),
        (_("share"), "r"),
        (_("clients"), "r"),
        (_("traffic"), "r"),
        (_("errors"), "r"),
        (_("attacks"), "r"),
        (_("mean time"), "r"),
    ]
    return parts.table(heads, (_row(view, dimension, row, answer.requests) for row in answer.rows))


def _row(view: View, dimension: str, row: CountedRow, whole: int) -> list[str]:
    wanted = condition(blocks.FIELDS.get(dimension, dimension), "=", row.value)

    def number(count: int, *more: str) -> str:
        return parts.link(view.scope.href("lines", add=[wanted, *more]) if count else "", words.count(count))

    return [
        parts.link(view.scope.href("top", add=[wanted]), blocks.value_name(dimension, row.value)),
        number(row.requests),
        parts.text(words.share(row.requests, whole)),
        parts.text(words.count(row.clients)),
        parts.text(format_bytes(row.bytes)),
        number(row.errors, "status >= 400"),
        number(row.attacks, "attack = true"),
        parts.text("" if row.seconds is None else format_duration(row.seconds)),
    ]
