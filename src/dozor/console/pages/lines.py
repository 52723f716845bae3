"""Lines: the requests themselves, page by page, and each in every detail."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from dozor.client import ApiError, Line, Lines, Timeline
from dozor.console import blocks, parts, words
from dozor.console.account import client
from dozor.console.charts import Layer
from dozor.console.data import ask
from dozor.console.evidence import show_line
from dozor.console.view import View
from dozor.kernel.i18n import _, format_number, ngettext

_PAGE = 100
_HEIGHT = 560
_SHOWN, _FROZEN, _PAGES = "dz_lines_shown", "dz_lines_frozen", "dz_lines_pages"


def draw(view: View) -> None:
    """Show the page."""
    with st.container(key="hidden-lines"):
        st.text_input("line", key="line", bind="query-params", label_visibility="collapsed")
    signature = (view.scope.preset, view.scope.start, view.scope.end, view.scope.where)
    cursors = _cursors(signature)
    answers = ask(
        view,
        f"lines-{cursors[-1]}",
        _HEIGHT,
        page=lambda client, query: client.traffic.lines(
            view.asks(), limit=_PAGE, cursor=cursors[-1] or None, query_id=query
        ),
        steps=lambda client, query: client.traffic.timeseries(view.asks(), query_id=query),
    )
    if answers is None:
        return
    steps: Timeline = answers["steps"]
    whole = sum(sum(series.requests) for series in steps.series)
    with answers.frame():
        if not whole and not answers["page"].items:
            _nothing(view)
            return
        blocks.time_line(
            view,
            steps,
            [Layer(tuple(series.name for series in steps.series), _("requests"), view.colours.accent)],
            title=_("Requests"),
            key="lines-steps",
            height=90,
        )
        _rows(view, answers["page"], signature, cursors, whole)


def _nothing(view: View) -> None:
    hint = _("Take a filter away with its cross, or choose a longer range.")
    if view.scope.where:
        st.html(parts.note(_("No line passes the filters in this range."), hint))
    else:
        st.html(parts.note(_("No lines in this range."), _("Choose a longer one, or follow a log:")))
        st.code("dozor up --log /var/log/nginx/access.log\ndozor up --demo", language=None)


def _cursors(signature: object) -> list[str]:
    """Cursors of the pages from the first to the one that is shown; another range begins anew."""
    known = st.session_state.get(_PAGES)
    if known is None or known[0] != signature:
        known = (signature, [""])
        st.session_state[_PAGES] = known
    cursors: list[str] = known[1]
    return cursors


def _rows(view: View, page: Lines, signature: Any, cursors: list[str], whole: int) -> None:
    frozen = st.session_state.get(_FROZEN)
    wanted = st.session_state["line"]
    # While a line is open the table stays as it is, so that none slips away under the pointer.
    rows: Sequence[Line] = frozen[1] if wanted and frozen and frozen[0] == signature else page.items
    chosen = next((row for row in rows if row.id == wanted), None) or _by_link(wanted)
    st.session_state[_SHOWN] = (signature, rows)
    left, right = st.columns([3, 2], gap="small") if chosen else (st.container(), None)
    with left, st.container(border=True, key="card-lines"):
        _head(page, cursors, len(rows), whole, None if chosen else (signature, rows))
        key = f"lines-{hash(signature)}-{len(cursors)}"
        st.dataframe(
            _columns(view, rows),
            key=key,
            height=min(_HEIGHT, 36 + 26 * max(len(rows), 1)),
            row_height=26,
            hide_index=True,
            on_select=lambda: _choose(key),
            selection_mode="single-row",
            column_config=_widths(),
            alt=_("Lines"),
        )
    if chosen is not None and right is not None:
        with right, st.container(border=True, key="card-line"):
            _walk(rows, chosen)
            show_line(view, chosen, "lines")


def _by_link(wanted: str) -> Line | None:
    """The line that the URL names, though it is not on this page of the table."""
    if not wanted:
        return None
    try:
        return client().traffic.line(wanted)
    except ApiError as error:
        st.html(parts.note(error.message, hint=error.hint))
        return None


def _head(
    page: Lines, cursors: list[str], number: int, whole: int, closed: tuple[Any, Sequence[Line]] | None
) -> None:
    """What the table shows, and the ways to other pages; while no line is open, to the first."""
    first = (len(cursors) - 1) * _PAGE + 1
    caption = ngettext("{first}-{last} of {count}", "{first}-{last} of {count}", whole).format(
        first=format_number(first), last=format_number(first + number - 1), count=words.count(whole)
    )
    with st.container(horizontal=True, vertical_alignment="center", key="lines-head"):
        st.html(parts.heading(_("Lines"), caption), width="content")
        st.button(
            _("Newer"),
            icon=":material/chevron_left:",
            type="tertiary",
            disabled=len(cursors) == 1,
            on_click=_newer,
            args=(cursors,),
        )
        st.button(
            _("Older"),
            icon=":material/chevron_right:",
            icon_position="right",
            type="tertiary",
            disabled=page.next is None,
            on_click=_older,
            args=(cursors, page.next),
        )
        if closed is not None:
            blocks.open_first(_open, *closed)


def _newer(cursors: list[str]) -> None:
    if len(cursors) > 1:
        cursors.pop()
    _close()


def _older(cursors: list[str], cursor: str | None) -> None:
    if cursor:
        cursors.append(cursor)
    _close()


def _choose(key: str) -> None:
    selected: list[int] = st.session_state[key]["selection"]["rows"]
    signature, rows = st.session_state[_SHOWN]
    if selected and selected[0] < len(rows):
        _open(signature, rows, selected[0])
    else:
        _close()


def _open(signature: Any, rows: Sequence[Line], place: int) -> None:
    st.session_state[_FROZEN] = (signature, rows)
    st.session_state["line"] = rows[place].id


def _close() -> None:
    st.session_state["line"] = ""
    st.session_state.pop(_FROZEN, None)


def _walk(rows: Sequence[Line], chosen: Line) -> None:
    """Buttons beside the table, since a canvas cannot be used by everybody."""
    place = next((place for place, row in enumerate(rows) if row.id == chosen.id), None)
    signature = st.session_state[_SHOWN][0]
    blocks.walk(place, len(rows), partial(_open, signature, rows), _close)


def _columns(view: View, rows: Sequence[Line]) -> dict[str, list[Any]]:
    return {
        "time": [view.absolute(row.ts) for row in rows],
        "client": [words.shown(row.client) for row in rows],
        "country": [row.country or "-" for row in rows],
        "method": [words.shown(row.method) for row in rows],
        "status": [row.status for row in rows],
        "target": [words.shown(row.target)[:500] for row in rows],
        "bytes": [row.bytes for row in rows],
        "ms": [
            "-" if row.request_time is None else words.count(round(1000 * row.request_time)) for row in rows
        ],
        "agent": [words.shown(row.ua_family) for row in rows],
        "attack": [", ".join(words.attack_name(name) for name in row.classes) for row in rows],
        "score": [row.score or None for row in rows],
    }


def _widths() -> dict[str, Any]:
    column = st.column_config
    return {
        "time": column.TextColumn(_("time"), width=110),
        "client": column.TextColumn(_("client"), width=130),
        "country": column.TextColumn(_("country"), width=60),
        "method": column.TextColumn(_("method"), width=70),
        "target": column.TextColumn(_("target")),
        "status": column.NumberColumn(_("status"), width=70, format="%d"),
        "bytes": column.NumberColumn(_("bytes"), width=80, format="localized"),
        "ms": column.TextColumn(_("ms"), width=70, alignment="right"),
        "agent": column.TextColumn(_("agent"), width=100),
        "attack": column.TextColumn(_("signs of an attack"), width=150),
        "score": column.ProgressColumn(_("score"), width=90, min_value=0.0, max_value=1.0, format="%.2f"),
    }
