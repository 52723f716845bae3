"""What a line or a finding is in detail: as written, decoded, matched part, rule; and how to ask again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import streamlit as st

from dozor.client import Evidence, Finding, Line
from dozor.console import parts, words
from dozor.console.scope import condition
from dozor.console.view import View
from dozor.kernel.i18n import _, format_bytes, format_duration


def evidence_html(items: tuple[Evidence, ...]) -> str:
    """Each piece of evidence: where, the decoded value with the matched part marked, the rule."""
    return "".join(
        f'<div class="cap">{parts.text(_("{place}, decoded").format(place=one.where or _("line")))} · '
        f"{parts.text(_('rule {rule}').format(rule=one.rule))}</div>{parts.marked(one.decoded, one.matched)}"
        for one in items
    )


def finding_html(view: View, finding: Finding) -> str:
    """The card of a finding."""
    name = words.attack_name(finding.attack_class)
    country = words.country_name(finding.country) if finding.country else _("unknown")
    statuses = ", ".join(f"{code}: {words.count(number)}" for code, number in sorted(finding.status.items()))
    lines = view.scope.href(
        "lines",
        add=[
            condition("client", "=", finding.client),
            condition("classes", "=", finding.attack_class),
            "attack = true",
        ],
    )
    everything = view.scope.href("lines", add=[condition("client", "=", finding.client)])
    decoded = evidence_html(
        (Evidence(where=finding.where, decoded=finding.decoded, matched=finding.matched, rule=finding.rule),)
    )
    rows = [
        (_("score"), f"{finding.score:.2f}", ""),
        (_("requests"), words.count(finding.requests), parts.link(lines, _("show the lines"))),
        (_("answered"), statuses, ""),
        (_("first"), view.absolute(finding.first), ""),
        (_("last"), view.absolute(finding.last), ""),
        (_("rules"), ", ".join(finding.rules), ""),
        (_("client"), f"{finding.client} · {country}", parts.link(everything, _("all it asked for"))),
    ]
    return (
        f'<div class="dz">{parts.heading(finding.client, name)}{parts.severity(finding.severity)}'
        f'<div class="cap" style="margin-top:8px">{parts.text(_("the line, as written"))}</div>'
        f"{parts.marked(finding.example, '')}{decoded}{parts.facts(rows)}</div>"
    )


def line_html(view: View, line: Line, page: str) -> str:
    """The card of a line: raw, evidence, and every field as a filter."""
    why = evidence_html(line.evidence)
    head = parts.heading(f"{line.method} {line.status}", view.absolute(line.ts))
    return (
        f'<div class="dz">{head}<div class="cap">{parts.text(_("the line, as written"))}</div>'
        f"{parts.marked(line.raw, '')}{why}{parts.facts(_facts(view, line, page))}</div>"
    )


def _facts(view: View, line: Line, page: str) -> Iterator[tuple[str, str, str]]:
    plain: tuple[tuple[str, str, str], ...] = (
        ("client", line.client, line.client),
        ("country", line.country, words.country_name(line.country) if line.country else ""),
        ("user", line.user, line.user),
        ("method", line.method, line.method),
        ("path", line.path, line.path),
        ("query", line.query, line.query),
        ("protocol", line.protocol, line.protocol),
        ("status", str(line.status), f"{line.status} {words.status_name(str(line.status))}"),
        ("bytes", str(line.bytes), format_bytes(line.bytes)),
        ("request_time", _number(line.request_time), _time(line.request_time)),
        ("upstream_time", _number(line.upstream_time), _time(line.upstream_time)),
        ("referer", line.referer, line.referer),
        ("user_agent", line.user_agent, line.user_agent),
        ("ua_family", line.ua_family, line.ua_family),
        ("is_bot", str(line.is_bot).lower(), _("yes") if line.is_bot else _("no")),
        ("host", line.host, line.host),
        ("forwarded_for", line.forwarded_for, line.forwarded_for),
        ("score", f"{line.score:.2f}", f"{line.score:.2f}"),
        ("source", line.source, line.source),
    )
    for field, value, label in plain:
        # A number that was measured hardly comes twice: "as much and more" is the useful filter.
        sign = ">=" if field in {"bytes", "request_time", "upstream_time", "score"} else "="
        yield (field, label or "-", _filters(view, page, field, sign, value) if label else "")
    for field, values in (("classes", line.classes), ("rules", line.rules)):
        for value in values:
            yield (field, value, _filters(view, page, field, "=", value))
    yield ("line", f"{line.line}", "")


def _filters(view: View, page: str, field: str, sign: str, value: str) -> str:
    opposite = {"=": "!=", ">=": "<"}[sign]
    wanted = view.scope.href(page, add=[condition(field, sign, value)])
    unwanted = view.scope.href(page, add=[condition(field, opposite, value)])
    label = _("filter by") if sign == "=" else "≥"
    other = _("exclude") if sign == "=" else "<"
    return f"{parts.link(wanted, label)} · {parts.link(unwanted, other)}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _time(value: float | None) -> str:
    return "" if value is None else format_duration(value)


def curl(line: Line) -> str:
    """The request as a command that asks for the same again, every part quoted for the shell."""
    host = line.host or "localhost"
    words_of_command = ["curl", "-sS", "-i"]
    if line.method not in {"", "GET"}:
        words_of_command += ["-I"] if line.method == "HEAD" else ["-X", line.method]
    for name, value in (("User-Agent", line.user_agent), ("Referer", line.referer)):
        if value:
            words_of_command += ["-H", f"{name}: {value}"]
    # Without it curl would tidy up `/../`, which may be the point of the request.
    words_of_command += ["--path-as-is", f"https://{host}{line.target}"]
    return " ".join(shlex.quote(words.printable(word)) for word in words_of_command)


def show_line(view: View, line: Line, page: str) -> None:
    """A line in detail, with the request as a curl command to copy."""
    st.html(line_html(view, line, page))
    with st.expander(_("As a curl command"), icon=":material/terminal:"):
        st.code(curl(line), language=None, wrap_lines=True)
