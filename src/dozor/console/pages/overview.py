"""Overview: is something wrong, and what is to be done; then the traffic in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import streamlit as st

from dozor.client import Finding, Sources, Summary
from dozor.console import blocks, parts, words
from dozor.console.data import Answers, ask
from dozor.console.scope import condition
from dozor.console.view import View
from dozor.kernel.i18n import _, format_percent, ngettext

_MOST_NEEDS = 7
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
        560,
        summary=lambda client, query: client.traffic.summary(view.asks(), compare=True, query_id=query),
        steps=lambda client, query: client.traffic.timeseries(view.asks(), query_id=query),
        line=lambda client, query: client.traffic.timeseries(view.asks(), split="status", query_id=query),
        findings=lambda client, query: client.traffic.findings(view.asks(), query_id=query),
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
        if not blocks.is_empty(view, answers["summary"]):
            _draw(view, answers)


def _draw(view: View, answers: Answers) -> None:
    summary: Summary = answers["summary"]
    left, right = st.columns([5, 3], gap="small")
    with left:
        st.html(parts.kpi_row(blocks.numbers(view, summary, answers["steps"])))
        blocks.time_line(
            view, answers["line"], blocks.status_layers(view), title=_("Requests"), key="overview-line"
        )
    with right:
        findings: Sequence[Finding] = answers["findings"].items
        needs = sorted(
            _needs(view, summary, findings, answers["sources"]),
            key=lambda need: words.SEVERITIES.index(need.severity),
        )
        st.html(_needs_card(view, needs, findings))
    blocks.grid(
        blocks.top_list(view, _("Pages"), "path", answers["pages"]),
        blocks.top_list(view, _("Countries"), "country", answers["countries"]),
        blocks.top_list(view, _("Attackers"), "client", answers["attackers"], measure="attacks", tone="bad"),
    )


def _needs(view: View, summary: Summary, findings: Sequence[Finding], sources: Sources) -> Iterator[Need]:
    """Everything that wants a person, in no order."""
    for source in sources.items:
        if source.state in {"failed", "paused", "waiting"}:
            what = _("{source} is not followed: {reason}").format(
                source=source.name, reason=source.reason or source.state
            )
            yield Need(
                "high",
                what,
                view.scope.href("lines", add=[condition("source", "=", source.name)]),
                _("Show its lines"),
                source.last_event,
            )
    failed = blocks.errors_by_class(summary)["5xx"]
    if failed >= max(1, _SERVER_ERROR_SHARE * summary.requests):
        what = _("{share} of the requests failed in the server").format(
            share=words.share(failed, summary.requests)
        )
        if summary.previous and summary.previous.requests:
            what += _(", before {share}").format(
                share=words.share(summary.previous.server_errors, summary.previous.requests)
            )
        yield Need("high", what, view.scope.href("lines", add=["status >= 500"]), _("Show the lines"))
    for row in summary.errors:
        if row.level in _GRAVE_LEVELS:
            what = _("The server reports ({level}): {message}").format(level=row.level, message=row.message)
            yield Need(
                "high", what, view.scope.href("errors", level=row.level), _("Show the messages"), row.first
            )
    lines = summary.requests + summary.rejected
    if summary.rejected >= max(1, _REJECTED_SHARE * lines):
        what = _("{share} of the lines cannot be read: is the log format right?").format(
            share=format_percent(summary.rejected / lines)
        )
        yield Need("medium", what, view.scope.href("errors"), _("Show examples"))
    for finding in findings:
        yield _need_of(view, finding)


def _need_of(view: View, finding: Finding) -> Need:
    answered = sum(number for code, number in finding.status.items() if code[:1] == "2")
    what = ngettext(
        "{client}: {attack}, {count} request", "{client}: {attack}, {count} requests", finding.requests
    ).format(
        client=finding.client,
        attack=words.attack_name(finding.attack_class),
        count=words.count(finding.requests),
    )
    if answered:
        what += ", " + ngettext(
            "{count} of them answered with success", "{count} of them answered with success", answered
        ).format(count=words.count(answered))
    severity = finding.severity if finding.severity in words.SEVERITIES else "info"
    href = view.scope.href("anomalies", finding=finding.fingerprint)
    return Need(severity, what, href, _("Show the finding"), finding.last)


def _needs_card(view: View, needs: Sequence[Need], findings: Sequence[Finding]) -> str:
    if not needs:
        return parts.note(
            _("All quiet in this range."), _("No attacks, no failing server, every line read."), tone="ok"
        )
    shown = needs[:_MOST_NEEDS]
    rows = "".join(
        f"{parts.severity(need.severity)}"
        f'<span class="what">{parts.text(need.what)}'
        + (f' <span class="cap">{parts.text(view.when(need.since))}</span>' if need.since else "")
        + f"</span>{parts.link(need.href, need.action, style='dz-btn')}"
        for need in shown
    )
    rest = len(needs) - len(shown)
    more = ""
    if rest:
        label = ngettext("{count} more", "{count} more", rest).format(count=words.count(rest))
        more = f'<div class="dz-all">{parts.link(view.scope.href("anomalies"), label)}</div>'
    caption = ngettext("{count} finding", "{count} findings", len(findings)).format(count=len(findings))
    return (
        f'<div class="dz dz-card"><div class="dz-head"><h3>{parts.text(_("Needs you"))}</h3>'
        f'<span class="cap">{parts.text(caption)}</span></div><div class="dz-needs">{rows}</div>{more}</div>'
    )
