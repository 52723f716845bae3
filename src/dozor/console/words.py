"""Names, numbers and moments as people read them, in the language of the running context.

Texts of a log pass `printable` before anybody sees them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from http import HTTPStatus
from typing import NamedTuple

from babel import Locale
from babel.numbers import format_compact_decimal

from dozor.kernel.i18n import (
    N_,
    _,
    current_language,
    format_duration,
    format_number,
    format_percent,
)

UNCHANGED = "±0"
SEVERITIES = ("critical", "high", "medium", "low", "info")

_SMALLEST_SHARE = 0.001
_SMALLEST_CHANGE = 0.005
_CLOCKS_DIFFER = 5.0  # s, of two machines and of the second that was cut off
_COMPACT_FROM = 10_000_000
_ENORMOUS_CHANGE = 10.0
_NBSP = "\N{NO-BREAK SPACE}"

_LONGEST_AGENT = 48

# The first that fits: all of them say that they are the others, too.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("YaBrowser", "Yandex"),
    ("Firefox", "Firefox"),
    ("HeadlessChrome", "Chrome"),
    ("Chrome", "Chrome"),
    (r"Version/[\d.]+ .*Safari", "Safari"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)

_STATUS_NAMES = {str(status.value): status.phrase for status in HTTPStatus} | {
    # nginx has some of its own.
    "444": "No Response",
    "494": "Request Header Too Large",
    "495": "SSL Certificate Error",
    "496": "SSL Certificate Required",
    "497": "HTTP Request Sent to HTTPS Port",
    "499": "Client Closed Request",
}
_MONTHS = (
    N_("Jan"), N_("Feb"), N_("Mar"), N_("Apr"), N_("May"), N_("Jun"),
    N_("Jul"), N_("Aug"), N_("Sep"), N_("Oct"), N_("Nov"), N_("Dec"),
)  # fmt: skip


class Excerpt(NamedTuple):
    """A text around the part that a rule matched."""

    before: str
    matched: str
    after: str


def printable(text: str) -> str:
    r"""The text on one line with everything invisible spelled out, such as `\x1b`, `\n` or `\u202e`.

    Direction marks would reorder what is read, control characters would hide it. A no-break space stays.
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or char == _NBSP
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def shown(value: str) -> str:
    """A value of a log as a list shows it; what is not known is `-`."""
    return printable(value) or "-"


def shorten(text: str, limit: int) -> str:
    """The text, cut to at most `limit` characters with an ellipsis at its end."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def excerpt(text: str, matched: str) -> Excerpt:
    """The text, divided at the first place of `matched`; nothing is marked when it does not occur."""
    text, matched = printable(text), printable(matched)
    place = text.find(matched) if matched else -1
    if place < 0:
        return Excerpt(text, "", "")
    return Excerpt(text[:place], matched, text[place + len(matched) :])


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
        "other": _("other"),
    }
    return names.get(attack_class) or shown(attack_class)


def reject_name(reason: str) -> str:
    """Why a line was rejected, for people; an unknown reason is its own name."""
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


def severity_name(severity: str) -> str:
    """How bad, in a word."""
    names = {
        "critical": _("critical"),
        "high": _("high"),
        "medium": _("medium"),
        "low": _("low"),
        "info": _("info"),
    }
    return names.get(severity) or shown(severity)


def severity_rank(severity: str) -> int:
    """The place of a severity, the worst first; an unknown one comes last."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES) - 1


def series_name(split: str, name: str) -> str:
    """What a series of a time line is called in its legend."""
    names = {
        "ok": _("ok"),
        "attack": _("attack"),
        "people": _("people"),
        "bots": _("bots"),
        "attackers": _("attackers"),
        "other": _("other"),
    }
    if split == "class":
        return attack_name(name)
    if split == "country" and name != "other":
        return country_name(name)
    return names.get(name) or shown(name)


def audience_name(audience: str) -> str:
    """Who is looked at."""
    names = {
        "all": _("all"),
        "people": _("people"),
        "bots": _("bots"),
        "attackers": _("attackers"),
    }
    return names[audience]


def role_of(username: str, role: str) -> str:
    """A person's name and role."""
    return f"{username} · {role_name(role)}"


def role_name(role: str) -> str:
    """A role; those that come with Dozor in the reader's language, others by their own names."""
    known = {"admin": _("admin"), "operator": _("operator"), "viewer": _("viewer")}
    return known.get(role, printable(role) or "-")


def agent_name(agent: str) -> str:
    """A browser and its system in words, such as `Firefox 142, Linux`; of others the first words."""
    browser = next(
        (
            f"{name} {found[1]}"
            for sign, name in _BROWSERS
            if (found := re.search(rf"{sign}/(\d+)", agent)) is not None
        ),
        "",
    )
    if not browser:
        return shorten(printable(agent), _LONGEST_AGENT) or "-"
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    return f"{browser}, {system}" if system else browser


def session_kind(kind: str) -> str:
    """What a session signs in."""
    return {"console": _("browser"), "api": _("program")}.get(kind, kind)


def event_name(event: str) -> str:
    """A kind of audit record."""
    names = {
        "login_attempt": _("login"),
        "logout": _("logout"),
        "permission_denied": _("refused"),
        "sensitive_operation": _("change"),
        "ip_blocked": _("address blocked"),
        "account_locked": _("account locked"),
        "token_reuse": _("token used twice"),
        "rate_limited": _("too many calls"),
    }
    return names.get(event, printable(event))


def result_name(result: str) -> str:
    """How an audited action ended."""
    return {"ok": _("done"), "refused": _("refused"), "failed": _("failed")}.get(result, result)


def action_name(action: str) -> str:
    """What was done; an action without words of its own, such as method and path, as it is."""
    names = {
        "access.brute_force": _("guessing passwords"),
        "access.rate_abuse": _("flooding"),
        "access.token_reuse": _("a stolen token"),
        "allow_list.clear": _("cleared the allow list"),
        "allow_list.restore": _("restored the allow list"),
        "auth.lock_out": _("shut out for a time"),
        "auth.login": _("login"),
        "auth.logout": _("logout"),
        "auth.refresh": _("renewed tokens"),
        "keys.create": _("made an API key"),
        "keys.revoke": _("revoked an API key"),
        "keys.rotate": _("renewed the secret key"),
        "limits.abuse": _("flooded with calls"),
        "people.create": _("added a person"),
        "people.remove": _("removed a person"),
        "people.unlock": _("unlocked a person"),
        "people.update": _("changed a person"),
        "profile.password": _("changed the own password"),
        "profile.recovery_codes": _("made new recovery codes"),
        "profile.totp.begin": _("began a second factor"),
        "profile.totp.confirm": _("added a second factor"),
        "profile.totp.remove": _("took the second factor away"),
        "profile.update": _("changed the own profile"),
        "roles.create": _("added a role"),
        "roles.remove": _("removed a role"),
        "roles.update": _("changed a role"),
        "sessions.end": _("ended a session"),
        "sessions.end_all": _("ended all sessions"),
        "setup.link": _("made a set-up link"),
        "setup.owner": _("made the owner"),
    }
    return names.get(action, printable(action))


def place(address: str) -> str:
    """Where something came from."""
    return _("this machine") if address == "local" else shown(address)


def actor_name(name: str, kind: str) -> str:
    """Who did something."""
    if kind == "local":
        return _("command line")
    if kind == "key":
        return _("key {name}").format(name=shown(name))
    return shown(name)


def range_name(preset: str) -> str:
    """A range on its button, such as `24 h`."""
    units = {"h": _("h"), "d": _("d")}
    return f"{preset[:-1]}{_NBSP}{units[preset[-1]]}"


def status_name(code: str) -> str:
    """The standard phrase of a status code, empty when it has none."""
    return _STATUS_NAMES.get(code, "")


def country_name(code: str) -> str:
    """The country of an ISO 3166-1 alpha-2 code in the reader's language; an unknown code is its own name."""
    if not code:
        return _("unknown")
    return _territories(current_language()).get(code) or shown(code)


@cache
def _territories(language: str) -> Mapping[str, str]:
    return dict(Locale(language).territories)


def months() -> tuple[str, ...]:
    """Short names of the months in the reader's language."""
    return tuple(_(name) for name in _MONTHS)


def count(number: float) -> str:
    """A count in full up to seven digits, then `12.3M`."""
    if number < _COMPACT_FROM:
        return format_number(number)
    return str(format_compact_decimal(number, locale=current_language(), fraction_digits=1))


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent; what is there but rounds to nothing is told as less than 0.1 %."""
    fraction = part / whole if whole else 0.0
    if 0 < fraction < _SMALLEST_SHARE / 2:
        return f"<{format_percent(_SMALLEST_SHARE)}"
    return format_percent(fraction)


def change(now: float, before: float) -> str:
    """How much more or less than before: `+6%`; from nothing it is new, far more is told as `12x`."""
    if not before:
        return _("new") if now else UNCHANGED
    factor = now / before
    if factor >= _ENORMOUS_CHANGE:
        return f"\N{MULTIPLICATION SIGN}{format_number(factor)}"
    text = format_percent(abs(factor - 1), 0)
    if abs(factor - 1) < _SMALLEST_CHANGE:
        return UNCHANGED
    return ("+" if factor > 1 else "\N{MINUS SIGN}") + text


def ago(moment: datetime, now: datetime) -> str:
    """A moment relative to now up to a day, such as `7 min ago`; empty for one that is further away."""
    seconds = (now - moment).total_seconds()
    if not -_CLOCKS_DIFFER < seconds < timedelta(days=1).total_seconds():
        return ""
    if seconds < 1:
        return _("just now")
    return _("{time} ago").format(time=span(round(seconds)).split(" ")[0])


def ahead(moment: datetime, now: datetime) -> str:
    """A moment to come relative to now, up to a day, such as `in 7 h`; empty for others."""
    seconds = (moment - now).total_seconds()
    if not 0 <= seconds < timedelta(days=1).total_seconds():
        return ""
    return _("in {time}").format(time=span(round(seconds)).split(" ")[0])


def span(seconds: float) -> str:
    """A round length of time, such as a step's: `15 min`, `1 s`."""
    text = format_duration(seconds)
    return text.replace(".0", "", 1).replace(",0", "", 1) if float(seconds).is_integer() else text


def clock(moment: datetime) -> str:
    """The time of day to the minute."""
    return moment.strftime("%H:%M")


def day(moment: datetime) -> str:
    """The day, such as `22 Nov`."""
    return f"{moment.day}{_NBSP}{months()[moment.month - 1]}"


def absolute(moment: datetime, now: datetime) -> str:
    """A moment to the second, with its day when that is not today, with its year when not this year's."""
    text = moment.strftime("%H:%M:%S")
    if moment.date() == now.date():
        return text
    if moment.year == now.year:
        return f"{day(moment)} {text}"
    return f"{day(moment)} {moment.year} {text}"


def when(moment: datetime, now: datetime) -> str:
    """A moment as a list shows it: relative up to a day, then absolute."""
    return ago(moment, now) or f"{day(moment)} {clock(moment)}"


def stretch(first: datetime, last: datetime) -> str:
    """A stretch of time to the minute; the day of its end is left out when it is that of its start."""
    end = clock(last) if first.date() == last.date() else f"{day(last)} {clock(last)}"
    return f"{day(first)} {clock(first)} \N{EN DASH} {end}"
