"""Overview: is something wrong, and what is to be done; then the traffic in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import streamlit as st

from dozor.client import Coverage, Finding, Sources
from dozor.console import blocks, parts, words
from dozor.console.data import Answers, ask
from dozor.console.scope import condition
from dozor.console.view import View
from dozor.kernel.i18n import _, ngettext

_MOST_NEEDS = 7
_MOST = 500
_LONGEST = 160  # characters of a need
_MOST_MESSAGES = 20
_SERVER_ERROR_SHARE = 0.01  # of all answers, from which on 5xx are told
_REJECTED_SHARE = 0.05  # of all lines, from which on the format is more likely wrong than the lines
_GRAVE_LEVELS = frozenset({"crit", "alert", "emerg"})


@dataclass(frozen=True, slots=True)
class Need:
    """Something that wants a person.

    Args:
        severity: How bad.
        what: One sentence.
        href: Where to look.
        action: What that does, a verb with its object.
        since: When it began; None when that says nothing.
    """

    severity: str
    what: str
    href: str
    action: str
    since: datetime | None = None


def draw(view: View) -> None:
    """Show the page."""
    answers = ask(
        view,
        "overview",
        620,
        **blocks.totals_questions(view),
        steps=lambda client, query: client.traffic.timeseries(view.asks(), query_id=query),
        line=lambda client, query: client.traffic.timeseries(view.asks(), split="status", query_id=query),
        findings=lambda client, query: client.traffic.findings(view.asks(), limit=_MOST, query_id=query),
        messages=lambda client, _query: client.traffic.errors(view.span(), limit=_MOST_MESSAGES),
        coverage=lambda client, _query: client.traffic.coverage(),
        sources=lambda client, _query: client.traffic.sources(),
        attackers=lambda client, query: client.traffic.top(
            "client", view.asks("attack = true"), measure="attacks", limit=7, query_id=query
        ),
        pages=lambda client, query: client.traffic.top("path", view.asks(), limit=7, query_id=query),
        countries=lambda client, query: client.traffic.top("country", view.asks(), limit=7, query_id=query),
    )
    if answers is None:
        return
    with answers.frame():
        if not blocks.is_empty(view, answers["statuses"].requests):
            _draw(view, answers)


def _draw(view: View, answers: Answers) -> None:
    left, right = st.columns([5, 3], gap="small")
    with left:
        st.html(parts.kpi_row(blocks.numbers(view, answers, answers["steps"])))
        blocks.time_line(
            view,
            answers["line"],
            blocks.status_layers(view),
            title=_("Requests"),
            key="overview-line",
            height=230,
        )
    with right:
        needs = sorted(
            _needs(view, answers),
            key=lambda need: (
                words.severity_rank(need.severity),
                -need.since.timestamp() if need.since else 0.0,
            ),
        )
        st.html(_needs_card(view, needs, answers["findings"].items))
    blocks.grid(
        blocks.top_list(view, _("Pages"), "path", answers["pages"]),
        blocks.top_list(view, _("Countries"), "country", answers["countries"]),
        blocks.top_list(view, _("Attackers"), "client", answers["attackers"], measure="attacks", tone="bad"),
    )


def _needs(view: View, answers: Answers) -> Iterator[Need]:
    """Everything that wants a person, in no order."""
    yield from _needs_of_sources(view, answers["sources"], answers["coverage"])
    now = blocks.Totals.of(answers["statuses"], answers["clients"])
    before: blocks.Totals = answers["before"]
    if now.server_errors >= max(1, _SERVER_ERROR_SHARE * now.requests):
        told = _("{share} of the requests failed in the server")
        if before.requests:
            told = _("{share} of the requests failed in the server, {before} before")
        what = told.format(
            share=words.share(now.server_errors, now.requests),
            before=words.share(before.server_errors, before.requests),
        )
        yield Need("high", what, view.scope.href("lines", add=["status >= 500"]), _("Show lines"))
    for group in answers["messages"].items:
        if group.level in _GRAVE_LEVELS:
            what = _("The server reports ({level}): {message}").format(
                level=group.level, message=group.message
            )
            href = view.scope.href("errors", level=group.level, message=group.message)
            yield Need("high", what, href, _("Show messages"), group.last)
    findings: Sequence[Finding] = answers["findings"].items
    for attack_class in dict.fromkeys(finding.attack_class for finding in findings):
        yield _need_of(view, [one for one in findings if one.attack_class == attack_class])


def _needs_of_sources(view: View, sources: Sources, coverage: Coverage) -> Iterator[Need]:
    for source in sources.items:
        if source.state in {"failed", "paused", "waiting"}:
            what = _("{source} is not followed: {reason}").format(
                source=source.name, reason=source.reason or source.state
            )
            href = view.scope.href("lines", add=[condition("source", "=", source.name)])
            yield Need("high", what, href, _("Show lines"), source.last_event)
    lines = coverage.requests + coverage.rejected
    if coverage.rejected >= max(1, _REJECTED_SHARE * lines):
        what = _("{share} of all lines cannot be read: is the log format right?").format(
            share=words.share(coverage.rejected, lines)
        )
        yield Need("medium", what, view.scope.href("errors"), _("Show examples"))


def _need_of(view: View, findings: Sequence[Finding]) -> Need:
    """The findings of one class together: nobody reads a hundred lines that say the same."""
    attack_class = findings[0].attack_class
    requests = sum(finding.requests for finding in findings)
    answered = sum(
        number for finding in findings for code, number in finding.status.items() if code[:1] == "2"
    )
    name = words.attack_name(attack_class)
    told = [
        ngettext("{count} client", "{count} clients", len(findings)).format(count=words.count(len(findings))),
        ngettext("{count} request", "{count} requests", requests).format(count=words.count(requests)),
    ]
    if answered:
        text = ngettext("{count} answered 2xx", "{count} answered 2xx", answered)
        told.append(text.format(count=words.count(answered)))
    what = f"{name[:1].upper()}{name[1:]}: {', '.join(told)}"
    worst = min(words.severity_rank(finding.severity) for finding in findings)
    href = view.scope.href("anomalies", add=[condition("classes", "=", attack_class)])
    return Need(
        words.SEVERITIES[worst], what, href, _("Show findings"), max(finding.last for finding in findings)
    )


def _needs_card(view: View, needs: Sequence[Need], findings: Sequence[Finding]) -> str:
    if not needs:
        return parts.note(
            _("All quiet in this range."), _("No attacks, no failing server, every line read."), tone="ok"
        )
    shown = needs[:_MOST_NEEDS]
    rows = "".join(
        f'<div class="dz-need">{parts.severity(need.severity)}'
        f'<span class="what">{parts.text(words.shorten(need.what, _LONGEST))}'
        + (f' <span class="cap">{parts.text(view.when(need.since))}</span>' if need.since else "")
        + f"</span>{parts.link(need.href, need.action, style='dz-btn')}</div>"
        for need in shown
    )
    rest = len(needs) - len(shown)
    more = ""
    if rest:
        label = ngettext("{count} more", "{count} more", rest).format(count=words.count(rest))
        more = f'<div class="dz-all">{parts.link(view.scope.href("anomalies"), label)}</div>'
    caption = ngettext("{count} finding", "{count} findings", len(findings)).format(count=len(findings))
    if len(findings) == _MOST:
        caption = _("the first {count} findings").format(count=words.count(_MOST))
    title = _("Needs you")
    return (
        f'<div class="dz dz-card"><div class="dz-head"><h3>{parts.text(title)}</h3>'
        f'<span class="cap">{parts.text(caption)}</span></div>{rows}{more}</div>'
    )
