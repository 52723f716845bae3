"""Anomalies: when attacks came, of what kind, from whom, and what else is different from before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from dozor.client import Change, Changes, Finding, TopList
from dozor.console import blocks, parts, words
from dozor.console.data import Answers, ask, start
from dozor.console.evidence import finding_html
from dozor.console.parts import Bar
from dozor.console.scope import condition
from dozor.console.view import View
from dozor.kernel.i18n import _, format_number, format_percent, ngettext

_MOST = 200
_TABLE_HEIGHT = 420
_SHOWN, _FROZEN = "dz_findings_shown", "dz_findings_frozen"


def draw(view: View) -> None:
    """Show the page."""
    with st.container(key="hidden-anomalies"):
        st.text_input("finding", key="finding", bind="query-params", label_visibility="collapsed")
    # What moved takes the store longest and is read last.
    later = start(
        view,
        "anomalies-changes",
        changes=lambda client, query: client.traffic.changes(view.asks(), limit=12, query_id=query),
    )
    answers = ask(
        view,
        "anomalies",
        640,
        kinds=lambda client, query: client.traffic.top(
            "class", view.asks("attack = true"), measure="attacks", limit=12, query_id=query
        ),
        all=lambda client, query: client.traffic.top("status", view.asks(), limit=1, query_id=query),
        line=lambda client, query: client.traffic.timeseries(
            view.asks("attack = true"), split="class", query_id=query
        ),
        findings=lambda client, query: client.traffic.findings(view.asks(), limit=_MOST, query_id=query),
        clients=lambda client, query: client.traffic.top(
            "client", view.asks("attack = true"), limit=12, query_id=query
        ),
    )
    if answers is None:
        return
    with answers.frame():
        if blocks.is_empty(view, answers["all"].requests):
            return
        _draw(view, answers)
        left, middle, right = st.columns(3, gap="small")
        with left:
            st.html(_kinds(view, answers["kinds"]))
        with middle:
            attackers = answers["clients"]
            st.html(blocks.top_list(view, _("Attackers"), "client", attackers, page="anomalies", tone="bad"))
        with right:
            moved = later.answers(380)
            if moved is not None:
                st.html(_differences(view, moved["changes"]))


def _draw(view: View, answers: Answers) -> None:
    if not answers["kinds"].requests:
        st.html(parts.note(_("No attacks in this range."), tone="ok"))
    else:
        blocks.time_line(
            view,
            answers["line"],
            blocks.ranked_layers(view, answers["line"], "class"),
            title=_("Attacks"),
            key="anomalies",
            height=160,
            conditions=("attack = true",),
        )
        _findings(view, sorted(answers["findings"].items, key=lambda one: words.severity_rank(one.severity)))


def _kinds(view: View, kinds: TopList) -> str:
    most = max((row.attacks for row in kinds.rows), default=0) or 1
    bars = [
        Bar(
            name=words.attack_name(row.value),
            number=words.count(row.attacks),
            weight=row.attacks / most,
            filter_href=view.scope.href("anomalies", add=[condition("classes", "=", row.value)]),
            lines_href=view.scope.href("lines", add=[condition("classes", "=", row.value), "attack = true"]),
            part=words.count(row.clients),
        )
        for row in kinds.rows
    ]
    return parts.bar_list(
        _("By kind"),
        bars,
        heads=(_("class"), _("requests"), _("clients")),
        tone="bad",
        empty=_("No attacks."),
    )


def _differences(view: View, changes: Changes) -> str:
    names = {
        "path": _("page"),
        "client": _("client"),
        "country": _("country"),
        "status": _("status"),
        "ua_family": _("agent"),
    }
    most = max((change.share for change in changes.items), default=0.0) or 1.0

    def bar(change: Change) -> Bar:
        name = blocks.value_name(change.dimension, change.value)
        wanted = condition(change.dimension, "=", change.value)
        now, before = words.count(change.requests), words.count(change.before)
        return Bar(
            name=name,
            code=names[change.dimension],
            number=f"{before} → {now}",
            weight=change.share / most,
            filter_href=view.scope.href("anomalies", add=[wanted]),
            lines_href=view.scope.href("lines", add=[wanted]),
            part=words.change(change.requests, change.before),
            hint=_("{name}: {share} of all that moved").format(name=name, share=format_percent(change.share)),
        )

    comparable = any(change.before for change in changes.items)
    return parts.bar_list(
        _("What is different"),
        [bar(change) for change in changes.items] if comparable else [],
        note=_("vs the {range} before").format(range=view.length()),
        empty=_("There is nothing before to compare with.") if changes.items else _("Nothing moved."),
    )


def _findings(view: View, fresh: Sequence[Finding]) -> None:
    """The table; while a finding is open the rows stay as they were, so that none slips away."""
    signature = (view.scope.preset, view.scope.start, view.scope.end, view.scope.where)
    frozen = st.session_state.get(_FROZEN)
    rows = frozen[1] if frozen and frozen[0] == signature else tuple(fresh)
    chosen = _by_fingerprint(rows, st.session_state["finding"])
    if chosen is None:
        st.session_state.pop(_FROZEN, None)
        rows = tuple(fresh)
    st.session_state[_SHOWN] = (signature, rows)
    left, right = st.columns([3, 2], gap="small") if chosen else (st.container(), None)
    with left, st.container(border=True, key="card-findings"):
        caption = ngettext("{count} client and class", "{count} clients by class", len(rows))
        caption = caption.format(count=words.count(len(rows)))
        if len(rows) == _MOST:
            caption = _("the first {count}").format(count=words.count(_MOST))
        with st.container(horizontal=True, vertical_alignment="center", key="findings-head"):
            st.html(parts.heading(_("Findings"), caption), width="content")
            if not chosen:
                blocks.open_first(_open, signature, rows)
        key = f"findings-{hash(signature)}"
        st.dataframe(
            _columns(view, rows),
            key=key,
            height=min(_TABLE_HEIGHT, 36 + 26 * max(len(rows), 1)),
            row_height=26,
            hide_index=True,
            on_select=lambda: _choose(key),
            selection_mode="single-row",
            column_config=_widths(),
            alt=_("Findings"),
        )
    if chosen is not None and right is not None:
        with right, st.container(border=True, key="card-finding"):
            _walk(rows, chosen)
            st.html(finding_html(view, chosen))


def _by_fingerprint(rows: Sequence[Finding], fingerprint: str) -> Finding | None:
    return next((row for row in rows if row.fingerprint == fingerprint), None)


def _choose(key: str) -> None:
    selected: list[int] = st.session_state[key]["selection"]["rows"]
    signature, rows = st.session_state[_SHOWN]
    if selected and selected[0] < len(rows):
        _open(signature, rows, selected[0])
    else:
        st.session_state["finding"] = ""


def _open(signature: Any, rows: Sequence[Finding], place: int) -> None:
    st.session_state[_FROZEN] = (signature, rows)
    st.session_state["finding"] = rows[place].fingerprint


def _walk(rows: Sequence[Finding], chosen: Finding) -> None:
    """Buttons beside the table, since a canvas cannot be used by everybody."""
    signature = st.session_state[_SHOWN][0]
    blocks.walk(rows.index(chosen), len(rows), partial(_open, signature, rows), _close)


def _close() -> None:
    st.session_state["finding"] = ""


def _columns(view: View, rows: Sequence[Finding]) -> dict[str, list[Any]]:
    return {
        "severity": [parts.severity_text(row.severity) for row in rows],
        "class": [words.attack_name(row.attack_class) for row in rows],
        "client": [words.shown(row.client) for row in rows],
        "country": [words.country_name(row.country) for row in rows],
        "requests": [row.requests for row in rows],
        "answered": [", ".join(sorted(row.status)) for row in rows],
        "score": [format_number(row.score, 2) for row in rows],
        "last": [view.when(row.last) for row in rows],
        "example": [words.printable(row.decoded)[:200] for row in rows],
    }


def _widths() -> dict[str, Any]:
    column = st.column_config
    return {
        "severity": column.TextColumn(_("severity"), width=90),
        "class": column.TextColumn(_("kind"), width=150),
        "client": column.TextColumn(_("client"), width=130),
        "country": column.TextColumn(_("country"), width=110),
        "requests": column.NumberColumn(_("requests"), width=80, format="localized"),
        "answered": column.TextColumn(_("answered"), width=140),
        "score": column.TextColumn(_("score"), width=60, alignment="right"),
        "last": column.TextColumn(_("last"), width=110),
        "example": column.TextColumn(_("example, decoded")),
    }
