"""What the report's faces say in common: names of classes and codes, moments, the verdict.

Every text of a log is attacker-written: it passes `printable` before anybody sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

from dozor.features.traffic.model import Summary
from dozor.kernel.i18n import _, format_number, format_percent, ngettext

REJECTED_SHARE = 0.05
"""From this share of rejected lines on, the format is more likely wrong than the lines."""

SERVER_ERROR_SHARE = 0.01
"""From this share of 5xx answers on, the server errors are told as a problem."""

GRAVE_LEVELS = frozenset({"crit", "alert", "emerg"})
"""Levels of nginx's error log at which the server itself is in trouble, not one request."""

_SMALLEST_SHARE = 0.001

_STATUS_NAMES = {str(status.value): status.phrase for status in HTTPStatus} | {
    # nginx has some of its own.
    "444": "No Response",
    "494": "Request Header Too Large",
    "495": "SSL Certificate Error",
    "496": "SSL Certificate Required",
    "497": "HTTP Request Sent to HTTPS Port",
    "499": "Client Closed Request",
}


class Tone(StrEnum):
    """How much a statement should worry its reader."""

    BAD = "bad"
    NOTE = "note"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of the verdict."""

    tone: Tone
    text: str


class Excerpt(NamedTuple):
    """A piece of a log's text around the part that a rule matched."""

    before: str
    matched: str
    after: str


def printable(text: str) -> str:
    r"""The text on one line with everything invisible spelled out, such as `\x1b`, `\n` or `\u202e`.

    Control characters would command the terminal, direction marks would reorder what is read.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def shown(value: str) -> str:
    """A value of a log as a list shows it; what is not known is `-`."""
    return printable(value) or "-"


def shorten(text: str, limit: int) -> str:
    """The text, cut to at most `limit` characters with an ellipsis at its end."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def excerpt(text: str, matched: str, limit: int) -> Excerpt:
    """At most `limit` characters of `text` around the first place of `matched`.

    When `matched` does not occur in `text`, the excerpt is the beginning and nothing is marked.
    """
    text, matched = printable(text), printable(matched)
    place = text.find(matched) if matched else -1
    if place < 0:
        return Excerpt(shorten(text, limit), "", "")
    before, after = text[:place], text[place + len(matched) :]
    matched = shorten(matched, limit)
    room = limit - len(matched)
    # What stands before a match explains less than what follows it.
    head = min(len(before), max(room // 3, room - len(after)))
    if head < len(before):
        before = "…" + before[len(before) - head + 1 :] if head > 0 else ""
    return Excerpt(before, matched, shorten(after, room - head) if room > head else "")


def attack_name(attack_class: str) -> str:
    """The name of an attack class for people; an unknown class is its own name."""
    names = {
        "sqli": _("SQL injection"),
        "traversal": _("path traversal"),
        "xss": _("cross-site scripting"),
        "rce": _("command execution"),
        "php": _("PHP injection"),
        "java": _("Java injection"),
        "template": _("template injection"),
        "rfi": _("remote file inclusion"),
        "ssrf": _("server-side request forgery"),
        "scanner": _("vulnerability scan"),
        "bad_agent": _("attack tool"),
        "protocol": _("protocol abuse"),
    }
    return names.get(attack_class) or shown(attack_class)


def reject_name(reason: str) -> str:
    """Why lines were rejected, for people; an unknown reason is its own name."""
    names = {
        "fields": _("the fields do not fit the format"),
        "json": _("the JSON is broken"),
        "time": _("the time cannot be read"),
        "status": _("the status is no number"),
        "bytes": _("the size is no number"),
        "client": _("the client is missing"),
        "head": _("the line neither begins nor continues a message"),
    }
    return names.get(reason) or shown(reason)


def status_name(code: str) -> str:
    """The standard phrase of a status code, empty when it has none."""
    return _STATUS_NAMES.get(code, "")


def moment(time: datetime) -> str:
    """A point in time in UTC to the second, in the order that the language writes dates."""
    # Translators: a pattern of strftime; put the parts in the usual order.
    return time.astimezone(UTC).strftime(_("%Y-%m-%d %H:%M:%S"))


def span(first: datetime, last: datetime) -> str:
    """A stretch of time in UTC; the day of its end is left out when it is the day of its start."""
    first, last = first.astimezone(UTC), last.astimezone(UTC)
    end = last.strftime("%H:%M:%S") if first.date() == last.date() else moment(last)
    return moment(first) if first == last else f"{moment(first)} \N{EN DASH} {end}"


def share(part: int, whole: int) -> str:
    """A part of a whole in per cent; what is there but rounds to nothing is told as less than 0.1 %."""
    fraction = part / whole if whole else 0.0
    if 0 < fraction < _SMALLEST_SHARE / 2:
        return f"<{format_percent(_SMALLEST_SHARE)}"
    return format_percent(fraction)


def count_by_class(summary: Summary) -> dict[str, int]:
    """Answers by the first digit of their status, as `2xx`."""
    counts: dict[str, int] = {}
    for code, count in sorted(summary.status.items()):
        counts[f"{code[:1]}xx"] = counts.get(f"{code[:1]}xx", 0) + count
    return counts


def lines_read(summary: Summary) -> int:
    """Lines of the access logs, whether they passed the filters or not."""
    parsed = sum(source.parsed for source in summary.sources)
    return max(parsed, summary.requests) + summary.rejected


def verdict(summary: Summary) -> list[Statement]:
    """Whether something is wrong, in sentences, the worst first."""
    statements = [
        *_about_attacks(summary),
        *_about_errors(summary),
        *_about_error_logs(summary),
        *_about_rejects(summary),
    ]
    if not summary.requests and any(source.parsed for source in summary.sources):
        statements.append(Statement(Tone.NOTE, _("No request passes the filters.")))
    if not statements:
        return [Statement(Tone.NOTE, _("There are no requests in this log."))]
    return sorted(statements, key=lambda statement: list(Tone).index(statement.tone))


def _about_attacks(summary: Summary) -> list[Statement]:
    if not summary.attack_requests:
        return [Statement(Tone.GOOD, _("No attacks found."))] if summary.requests else []
    text = ngettext(
        "{count} request is an attack ({share}).",
        "{count} requests are attacks ({share}).",
        summary.attack_requests,
    ).format(
        count=format_number(summary.attack_requests), share=share(summary.attack_requests, summary.requests)
    )
    if summary.attacks:
        text += " " + _("Most often: {name}.").format(name=attack_name(summary.attacks[0].attack_class))
    return [Statement(Tone.BAD, text)]


def _about_errors(summary: Summary) -> list[Statement]:
    errors = count_by_class(summary).get("5xx", 0)
    if not errors:
        return []
    text = ngettext(
        "{count} request failed in the server ({share}).",
        "{count} requests failed in the server ({share}).",
        errors,
    ).format(count=format_number(errors), share=share(errors, summary.requests))
    tone = Tone.BAD if errors >= SERVER_ERROR_SHARE * summary.requests else Tone.NOTE
    return [Statement(tone, text)]


def _about_error_logs(summary: Summary) -> list[Statement]:
    grave = [row for row in summary.errors if row.level in GRAVE_LEVELS]
    if not grave:
        return []
    text = _("The server reports: {message}").format(message=shorten(printable(grave[0].message), 200))
    return [Statement(Tone.BAD, text)]


def _about_rejects(summary: Summary) -> list[Statement]:
    if not summary.rejected:
        return []
    text = ngettext(
        "{count} line could not be parsed ({share}).",
        "{count} lines could not be parsed ({share}).",
        summary.rejected,
    ).format(
        count=format_number(summary.rejected),
        share=share(summary.rejected, lines_read(summary)),
    )
    if summary.rejected >= REJECTED_SHARE * lines_read(summary):
        return [Statement(Tone.BAD, text + " " + _("Is this the right log format?"))]
    return [Statement(Tone.NOTE, text)]
