"""The report as one HTML file that asks nobody for anything: no script, no font, no picture from outside.

Python decides what is said (texts, numbers, places on the charts), the template only where it stands.
Everything that comes from a log passes `printable` here and is escaped by the template.
"""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dozor.features.traffic.adapters.scales import TimeTick, count_ticks, time_ticks
from dozor.features.traffic.adapters.words import (
    GRAVE_LEVELS,
    Excerpt,
    attack_name,
    count_by_class,
    excerpt,
    lines_read,
    moment,
    reject_name,
    share,
    shorten,
    shown,
    span,
    status_name,
    verdict,
)
from dozor.features.traffic.model import Attacker, AttackRow, Bucket, Summary, TopRow
from dozor.kernel.i18n import (
    _,
    current_language,
    format_bytes,
    format_duration,
    format_number,
    ngettext,
    use_language,
)

_TEMPLATES = Path(__file__).parent / "templates"
_LONGEST_VALUE = 300
_LONGEST_EXAMPLE = 1000
_PLOT_HEIGHT = 1000
_MOST_TIME_TICKS = 13


class Row(NamedTuple):
    """A row of a bar list: a value with a bar behind it, as long as `size`, then cells of numbers."""

    value: str
    size: float
    cells: list[str]
    tone: str = "accent"
    note: str = ""


class BarList(NamedTuple):
    """A list with a bar behind each row; `code` values stand in a fixed-width font."""

    title: str
    columns: list[str]
    rows: list[Row]
    code: bool = True
    note: str = ""

    @property
    def peak(self) -> float:
        """The size of the longest bar, never 0."""
        return max((row.size for row in self.rows), default=0) or 1


class Total(NamedTuple):
    """One of the numbers at the top; `value` is the exact one."""

    title: str
    text: str
    value: int
    note: str = ""
    tone: str = ""


class Step(NamedTuple):
    """One column of the time line: heights from the bottom in thousandths of the plot, and its words."""

    place: int
    heights: list[tuple[str, float, float]]
    attacks: float
    title: str
    cells: list[str]


class Timeline(NamedTuple):
    """The time line with its axes.

    Counts stand at per cent from the bottom, beside a gutter of so many characters; times at 0 to 1.
    """

    title: str
    description: str
    steps: list[Step]
    counts: list[tuple[float, str]]
    gutter: int
    times: list[TimeTick]
    peak_of_attacks: str


class AttackerCard(NamedTuple):
    """One attacker in words, with its example and the part of it that a rule matched."""

    client: str
    country: str
    facts: list[str]
    classes: list[str]
    time: str
    decoded: Excerpt
    example: Excerpt
    rule: str


def render_html(summary: Summary, language: str) -> str:
    """The report as a complete HTML document.

    Args:
        summary: The report.
        language: `en` or `ru`.
    """
    with use_language(language):
        return _environment().get_template("report.html").render(_page(summary))


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _page(summary: Summary) -> dict[str, Any]:
    return {
        "_": _,
        "language": current_language(),
        "names": [_value(source.name) for source in summary.sources],
        "range": _range(summary),
        "verdict": verdict(summary),
        "totals": _totals(summary) if summary.requests else [],
        "timeline": _timeline(summary) if summary.timeline else None,
        "attacks": _attack_lists(summary),
        "attackers": [_attacker(attacker) for attacker in summary.attackers],
        "status_shares": _status_shares(summary),
        "lists": _lists(summary),
        "rejects": _rejects(summary) if summary.rejected else None,
        "reject_examples": [
            (f"{shown(each.source)}:{each.line}", _value(each.raw)) for each in summary.reject_examples
        ],
        "sources": _sources(summary),
        "foot": _foot(summary),
    }


def _range(summary: Summary) -> str:
    if summary.first is None or summary.last is None:
        return ""
    return f"{span(summary.first, summary.last)} UTC"


def _totals(summary: Summary) -> list[Total]:
    classes = count_by_class(summary)
    client_errors, server_errors = classes.get("4xx", 0), classes.get("5xx", 0)
    attacks = summary.attack_requests
    return [
        Total(_("Requests"), format_number(summary.requests), summary.requests),
        Total(
            _("Clients"),
            format_number(summary.unique_clients),
            summary.unique_clients,
            _("distinct addresses"),
        ),
        Total(_("Traffic"), format_bytes(summary.bytes), summary.bytes, _("bodies sent")),
        _part(_("Client errors"), client_errors, summary, "4xx"),
        _part(_("Server errors"), server_errors, summary, "5xx", "bad" if server_errors else ""),
        _part(_("Attacks"), attacks, summary, tone="bad" if attacks else ""),
        _part(_("Bots"), summary.bots, summary),
    ]


def _part(title: str, count: int, summary: Summary, note: str = "", tone: str = "") -> Total:
    parts = [share(count, summary.requests), note]
    return Total(title, format_number(count), count, " · ".join(filter(None, parts)), tone)


def _timeline(summary: Summary) -> Timeline:
    ticks = count_ticks(max(bucket.requests for bucket in summary.timeline))
    attack_peak = max(bucket.attacks for bucket in summary.timeline)
    busiest = max(summary.timeline, key=lambda bucket: bucket.requests)
    description = _("The most in one step: {count} at {time} UTC.").format(
        count=format_number(busiest.requests), time=moment(busiest.start)
    )
    step = format_duration(summary.step.total_seconds())
    return Timeline(
        title=_("Requests per {duration}").format(duration=step),
        description=description,
        steps=[_step(place, bucket, ticks[-1], attack_peak) for place, bucket in enumerate(summary.timeline)],
        counts=[(100 * tick / ticks[-1], format_number(tick)) for tick in ticks],
        gutter=max(len(format_number(tick)) for tick in ticks),
        times=time_ticks(summary.timeline, summary.step, _MOST_TIME_TICKS),
        peak_of_attacks=_("max {count}").format(count=format_number(attack_peak)) if attack_peak else "",
    )


def _step(place: int, bucket: Bucket, top: int, attack_peak: int) -> Step:
    time = bucket.start.astimezone(UTC)
    counts = [bucket.requests, bucket.client_errors, bucket.server_errors, bucket.attacks]
    cells = [format_number(count) for count in counts]
    names = [_("requests"), "4xx", "5xx", _("attacks")]
    words = ", ".join(f"{name} {cell}" for name, cell in zip(names, cells, strict=True))
    heights, bottom = [], float(_PLOT_HEIGHT)
    # Errors stand on the axis, where their heights can be compared; what is well stands on them.
    for name, count in (("bad", bucket.server_errors), ("warn", bucket.client_errors), ("accent", bucket.ok)):
        height = count / top * _PLOT_HEIGHT
        bottom -= height
        if count:
            heights.append((name, round(bottom, 2), round(height, 2)))
    attacks = round(bucket.attacks / attack_peak * _PLOT_HEIGHT, 2) if attack_peak else 0.0
    return Step(place, heights, attacks, f"{moment(time)}: {words}", [moment(time), *cells])


def _attack_lists(summary: Summary) -> list[BarList]:
    note = _("Rules hit, but the request is no attack by itself.")
    lists = [
        _class_list(_("Attacks by class"), summary.attacks, "bad"),
        _class_list(_("Weak signs"), summary.weak_signs, "warn", note),
    ]
    return [each for each in lists if each.rows]


def _class_list(title: str, rows: tuple[AttackRow, ...], tone: str, note: str = "") -> BarList:
    classes = [
        Row(
            _value(attack_name(row.attack_class)),
            row.requests,
            [format_number(row.requests), format_number(row.clients)],
            tone,
            _value(row.attack_class),
        )
        for row in rows
    ]
    return BarList(title, [_("requests"), _("clients")], classes, code=False, note=note)


def _attacker(attacker: Attacker) -> AttackerCard:
    attacks = ngettext(
        "{attacks} of {count} request", "{attacks} of {count} requests", attacker.requests
    ).format(
        attacks=ngettext("{count} attack", "{count} attacks", attacker.attacks).format(
            count=format_number(attacker.attacks)
        ),
        count=format_number(attacker.requests),
    )
    return AttackerCard(
        client=_value(attacker.client),
        country=_value(attacker.country) if attacker.country else "",
        facts=[attacks, _("score {score}").format(score=format_number(attacker.score, 2))],
        classes=[_value(attack_name(each)) for each in attacker.classes],
        time=f"{span(attacker.first, attacker.last)} UTC",
        decoded=excerpt(attacker.decoded, attacker.matched, _LONGEST_EXAMPLE),
        example=excerpt(attacker.example, attacker.matched, _LONGEST_EXAMPLE),
        rule=_value(attacker.rule),
    )


def _status_shares(summary: Summary) -> list[tuple[str, str, float, str]]:
    """Answers by class: name, tone, share in per cent and share in words, in the order of the codes."""
    tones = {"4xx": "warn", "5xx": "bad"}
    return [
        (
            shown(name),
            tones.get(name, "accent"),
            100 * count / summary.requests,
            share(count, summary.requests),
        )
        for name, count in count_by_class(summary).items()
    ]


def _lists(summary: Summary) -> list[BarList]:
    whole = summary.requests
    lists = [
        _statuses(summary),
        _errors(summary),
        _by_requests(_("Pages"), summary.top_paths, whole),
        _by_errors(_("Pages with errors"), summary.error_paths),
        _by_time(_("Slow pages"), summary.slow_paths),
        _by_requests(_("Clients"), summary.top_clients, whole),
        _by_requests(_("Countries"), summary.top_countries, whole),
        _by_requests(_("Agents"), summary.top_agents, whole),
        _by_requests(_("Referers"), summary.top_referers, whole),
        _by_requests(_("Hosts"), summary.top_hosts if len(summary.top_hosts) > 1 else (), whole),
        _methods(summary),
    ]
    return [each for each in lists if each.rows]


def _by_requests(title: str, rows: tuple[TopRow, ...], whole: int) -> BarList:
    return BarList(
        title,
        [_("requests"), "%", _("traffic")],
        [
            Row(_value(row.value), row.requests, [*_count(row.requests, whole), format_bytes(row.bytes)])
            for row in rows
        ],
    )


def _by_errors(title: str, rows: tuple[TopRow, ...]) -> BarList:
    return BarList(
        title,
        [_("errors"), _("requests")],
        [
            Row(_value(row.value), row.errors, [format_number(row.errors), format_number(row.requests)])
            for row in rows
        ],
    )


def _by_time(title: str, rows: tuple[TopRow, ...]) -> BarList:
    times = [(row, row.seconds or 0.0) for row in rows]
    return BarList(
        title,
        [_("mean time"), _("requests")],
        [
            Row(_value(row.value), time, [format_duration(time), format_number(row.requests)])
            for row, time in times
        ],
    )


def _statuses(summary: Summary) -> BarList:
    tones = {"4": "warn", "5": "bad"}
    rows = [
        Row(
            _value(code),
            count,
            _count(count, summary.requests),
            tones.get(code[:1], "accent"),
            status_name(code),
        )
        for code, count in sorted(summary.status.items())
    ]
    return BarList(_("Statuses"), [_("requests"), "%"], rows)


def _errors(summary: Summary) -> BarList:
    rows = [
        Row(
            _value(row.message),
            row.count,
            [format_number(row.count)],
            "bad" if row.level in GRAVE_LEVELS else "accent",
            _value(row.level),
        )
        for row in summary.errors
    ]
    return BarList(_("Messages of the server"), [_("lines")], rows)


def _methods(summary: Summary) -> BarList:
    rows = [
        Row(_value(method), count, _count(count, summary.requests))
        for method, count in summary.methods.items()
    ]
    return BarList(_("Methods"), [_("requests"), "%"], rows)


def _rejects(summary: Summary) -> BarList:
    rows = [
        Row(_value(reject_name(reason)), count, [format_number(count)], "warn")
        for reason, count in summary.reject_reasons.items()
    ]
    return BarList(_("Rejected lines"), [_("lines")], rows, code=False)


def _sources(summary: Summary) -> BarList:
    rows = [
        Row(
            _value(source.name),
            source.requests,
            [format_number(source.requests), format_number(source.rejected)],
            note=_value(source.format),
        )
        for source in summary.sources
    ]
    return BarList(_("Sources"), [_("requests"), _("rejected")], rows)


def _count(count: int, whole: int) -> list[str]:
    return [format_number(count), share(count, whole)]


def _value(text: str) -> str:
    """A value of a log as the page shows it: nothing invisible, and no page full of one target."""
    return shorten(shown(text), _LONGEST_VALUE)


def _foot(summary: Summary) -> str:
    lines = lines_read(summary)
    text = ngettext("{count} line in {duration}", "{count} lines in {duration}", lines)
    return text.format(count=format_number(lines), duration=format_duration(summary.seconds))
