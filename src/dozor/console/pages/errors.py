"""Server errors: messages of the error log grouped, their levels over time, and their lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import streamlit as st

from dozor.client import ErrorGroup, ErrorGroups, ErrorLine, ErrorLines, Rejects, Timeline
from dozor.console import blocks, parts, words
from dozor.console.charts import Layer
from dozor.console.data import Answers, ask
from dozor.console.scope import condition
from dozor.console.view import View
from dozor.kernel.i18n import _, ngettext

_LEVELS = ("emerg", "alert", "crit", "error", "warn", "notice", "info", "debug")
_GRAVE = ("emerg", "alert", "crit")
_MOST_GROUPS = 50
_PAGE = 50


def draw(view: View) -> None:
    """Show the page."""
    with st.container(key="hidden-errors"):
        for name in ("level", "message", "cursor"):
            st.text_input(name, key=name, bind="query-params", label_visibility="collapsed")
    level: Any = st.session_state["level"] if st.session_state["level"] in _LEVELS else None
    message = st.session_state["message"] or None
    cursor = st.session_state["cursor"] or None
    answers = ask(
        view,
        f"errors-{level}-{message}-{cursor}",
        640,
        groups=lambda client, _query: client.traffic.errors(view.span(), level=level, limit=_MOST_GROUPS),
        line=lambda client, _query: client.traffic.errors_timeseries(view.span()),
        lines=lambda client, _query: client.traffic.errors_lines(
            view.span(), level=level, message=message, limit=_PAGE, cursor=cursor
        ),
        rejects=lambda client, _query: client.traffic.rejects(limit=20),
    )
    if answers is None:
        return
    with answers.frame():
        _draw(view, answers, level, message)


def _draw(view: View, answers: Answers, level: str | None, message: str | None) -> None:
    line: Timeline = answers["line"]
    if not any(sum(series.requests) for series in line.series):
        st.html(
            parts.note(
                _("No messages of the error log in this range."),
                _("Here stand the messages of nginx's error log, alike ones together."),
                hint=_("Choose a longer range, or follow the log as well:"),
            )
        )
        st.code("dozor up --log /var/log/nginx/access.log --log /var/log/nginx/error.log", language=None)
    else:
        if view.scope.where:
            told = _("Filters are about requests; error logs follow the range alone.")
            st.html(f'<div class="dz cap">{parts.text(told)}</div>')
        blocks.time_line(
            view, line, _layers(view), title=_("Messages by level"), key="errors", height=150, page="errors"
        )
        st.html(_groups(view, answers["groups"], level, message))
        st.html(_lines(view, answers["lines"], level, message))
    if answers["rejects"].items:
        st.html(_rejects(answers["rejects"]))


def _layers(view: View) -> list[Layer]:
    colours = view.colours
    return [
        Layer(("notice", "info", "debug"), "notice, info", colours.info),
        Layer(("warn",), "warn", colours.warn),
        Layer(("error",), "error", colours.high),
        Layer(_GRAVE, "crit, alert, emerg", colours.critical),
    ]


def _level(level: str) -> str:
    kind = "critical" if level in _GRAVE else {"error": "high", "warn": "medium"}.get(level, "info")
    return f'<span class="dz-sev {kind}">{parts.text(level)}</span>'


def _groups(view: View, groups: ErrorGroups, level: str | None, message: str | None) -> str:
    heads = [
        (_("level"), "nb"),
        (_("message, numbers folded"), "msg mono"),
        (_("count"), "r"),
        (_("over time"), "nb"),
        (_("first"), "nb"),
        (_("last"), "nb"),
        (_("hosts"), "msg"),
    ]
    caption = ngettext("{count} message", "{count} different messages", len(groups.items)).format(
        count=words.count(len(groups.items))
    )
    levels = " ".join(
        parts.link(
            view.scope.href("errors", level="" if one == level else one),
            one,
            style="dz-btn primary" if one == level else "dz-btn",
        )
        for one in _LEVELS[:-1]
    )
    rows = (_group(view, group, chosen=group.message == message) for group in groups.items)
    return (
        f'<div class="dz dz-card">{parts.heading(_("Messages"), caption)}'
        f'<div style="margin-bottom:6px">{levels}</div>{parts.table(heads, rows)}</div>'
    )


def _group(view: View, group: ErrorGroup, *, chosen: bool) -> list[str]:
    href = view.scope.href("errors", level=group.level, message=group.message)
    name = parts.link(href, group.message, hint=group.example)
    return [
        _level(group.level),
        f"<b>{name}</b>" if chosen else name,
        parts.link(href, words.count(group.count), hint=_("Show the lines")),
        parts.sparks(group.steps),
        parts.text(view.when(group.first)),
        parts.text(view.when(group.last)),
        parts.text(", ".join(group.hosts) or "-"),
    ]


def _lines(view: View, page: ErrorLines, level: str | None, message: str | None) -> str:
    heads = [
        (_("time"), "nb"),
        (_("level"), "nb"),
        (_("message"), "msg mono"),
        (_("client"), "nb mono"),
        (_("request"), "msg mono"),
        (_("host"), "nb"),
    ]
    title = _("Lines of this message") if message else _("Lines")
    around = {"level": level or "", "message": message or ""}
    ways = []
    if level or message or st.session_state["cursor"]:
        ways.append(parts.link(view.scope.href("errors"), _("all messages"), style="link"))
    if page.next:
        ways.append(
            parts.link(view.scope.href("errors", cursor=page.next, **around), _("older lines"), style="link")
        )
    rows = (list(_line(view, line)) for line in page.items)
    return (
        f'<div class="dz dz-card">{parts.heading(title, _("newest first"), " · ".join(ways))}'
        f"{parts.table(heads, rows)}</div>"
    )


def _line(view: View, line: ErrorLine) -> Iterator[str]:
    yield parts.text(view.absolute(line.ts))
    yield _level(line.level)
    yield parts.text(line.message)
    client = view.scope.href("lines", add=[condition("client", "=", line.client)]) if line.client else ""
    yield parts.link(client, words.shown(line.client))
    yield parts.text(words.shown(line.request))
    yield parts.text(words.shown(line.host or line.server))


def _rejects(rejects: Rejects) -> str:
    heads = [(_("log"), "msg"), (_("line"), "r"), (_("why"), "nb"), (_("as written"), "msg mono")]
    rows = (
        [
            parts.text(one.source),
            parts.text(words.count(one.line)),
            parts.text(words.reject_name(one.reason)),
            parts.text(one.raw[:400]),
        ]
        for one in rejects.items
    )
    head = parts.heading(_("Lines that could not be read"), _("the latest, of all time"))
    return f'<div class="dz dz-card">{head}{parts.table(heads, rows)}</div>'
