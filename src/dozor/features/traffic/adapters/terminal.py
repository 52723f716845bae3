"""The report for a terminal: the verdict and the numbers first, then the time line, attacks and lists.

Only the sixteen named colours are used, so that the reader's own palette decides how they look, and
nothing is told by colour alone: piped or under NO_COLOR the same text remains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dozor.features.traffic.adapters.scales import count_ticks, time_ticks
from dozor.features.traffic.adapters.words import (
    GRAVE_LEVELS,
    Excerpt,
    Tone,
    attack_name,
    count_by_class,
    excerpt,
    lines_read,
    printable,
    reject_name,
    share,
    shorten,
    shown,
    span,
    status_name,
    verdict,
)
from dozor.features.traffic.model import Attacker, AttackRow, Bucket, Summary, TopRow
from dozor.kernel.i18n import _, format_bytes, format_duration, format_number, ngettext

WIDE = 140
"""From this width on, lists stand side by side."""

_ACCENT = "cyan"
_WARN = "yellow"
_BAD = "red"
_MUTED = "dim"
_TONES = {Tone.BAD: ("!", f"bold {_BAD}"), Tone.NOTE: ("·", _WARN), Tone.GOOD: ("✓", "green")}

_BAR = 10
_CHART_ROWS = 8
_BLOCKS = " ▁▂▃▄▅▆▇█"
_COLUMN_GAP = 3
_WIDEST_STEP = 4
_NARROWEST_CHART = 8
_LONGEST_FORMAT = 20
# A cell never shows more than the widest terminal; a 64 kB target must not be measured glyph by glyph.
_LONGEST_CELL = 400


class _Column(NamedTuple):
    """A column of numbers of a top list."""

    title: str
    text: Callable[[TopRow], str]


def render(summary: Summary, console: Console) -> None:
    """Print the report in the current language.

    Args:
        summary: The report.
        console: Where to; its width decides on one or two columns.
    """
    for number, block in enumerate(_blocks(summary, console)):
        if number:
            console.print()
        console.print(block, highlight=False)


def _blocks(summary: Summary, console: Console) -> Iterator[RenderableType]:
    width = console.width
    coloured = console.color_system is not None and not console.no_color
    yield _head(summary)
    yield _verdict(summary)
    if summary.requests:
        yield _totals(summary)
        yield _timeline(summary, width, coloured=coloured)
    if summary.attackers:
        yield from _side_by_side(_attack_lists(summary), width)
        yield _attackers(summary, width, coloured=coloured)
        yield from _side_by_side(_lists(summary), width)
    else:
        yield from _side_by_side([*_attack_lists(summary), *_lists(summary)], width)
    yield _foot(summary)


def _side_by_side(blocks: Sequence[RenderableType], width: int) -> Iterator[RenderableType]:
    if width < WIDE:
        yield from blocks
        return
    half = (width - _COLUMN_GAP) // 2
    for left in range(0, len(blocks), 2):
        grid = Table.grid(padding=(0, _COLUMN_GAP, 0, 0))
        grid.add_column(width=half)
        grid.add_column(width=half)
        grid.add_row(*blocks[left : left + 2])
        yield grid


def _head(summary: Summary) -> RenderableType:
    names = ", ".join(printable(source.name) for source in summary.sources[:3])
    if len(summary.sources) > 3:  # noqa: PLR2004 - three names fit beside the title, the table has all
        names += ", …"
    head = Text.assemble(
        ("Dozor", f"bold {_ACCENT}"), " ", (names, "bold"), no_wrap=True, overflow="ellipsis"
    )
    if summary.first is None or summary.last is None:
        return head
    time = Text(f"{span(summary.first, summary.last)} UTC", style=_MUTED)
    return Group(head, time)


def _verdict(summary: Summary) -> Text:
    lines = []
    for statement in verdict(summary):
        sign, style = _TONES[statement.tone]
        lines.append(
            Text.assemble((f"{sign} ", style), (statement.text, style * (statement.tone is Tone.BAD)))
        )
    return Text("\n").join(lines)


def _totals(summary: Summary) -> Text:
    classes = count_by_class(summary)
    server_errors, attacks = classes.get("5xx", 0), summary.attack_requests
    totals = [
        (_("Requests"), format_number(summary.requests), ""),
        (_("Clients"), format_number(summary.unique_clients), ""),
        (_("Traffic"), format_bytes(summary.bytes), ""),
        ("4xx", share(classes.get("4xx", 0), summary.requests), ""),
        ("5xx", share(server_errors, summary.requests), _BAD if server_errors else ""),
        (_("Attacks"), format_number(attacks), _BAD if attacks else ""),
        (_("Bots"), share(summary.bots, summary.requests), ""),
    ]
    titles, values = Text(no_wrap=True, overflow="crop"), Text(no_wrap=True, overflow="crop")
    for title, value, style in totals:
        width = max(len(title), len(value))
        titles.append(f"{title:<{width}}   ", style=_MUTED)
        values.append(f"{value:<{width}}   ", style=f"bold {style}".strip())
    titles.rstrip()
    values.rstrip()
    return Text("\n").join([titles, values])


class _Chart(NamedTuple):
    """A time line fitted to a width: its steps, their length in time, and the step of each cell."""

    buckets: list[Bucket]
    step: timedelta
    cells: list[int]


def _timeline(summary: Summary, width: int, *, coloured: bool) -> Text:
    """Stacked columns of all requests, then one line each for what would drown in them."""
    ticks = count_ticks(max((bucket.requests for bucket in summary.timeline), default=0))
    strips = _strips(summary.timeline)
    gutter = max(len(text) for text in (*strips, *map(format_number, ticks)))
    margin = max((len(text) for text in map(_peak_name, strips.values())), default=0)
    chart = _fitted(summary, max(width - gutter - margin - 4, _NARROWEST_CHART))
    text = Text(no_wrap=True, overflow="crop")
    text.append(
        _("Requests per {duration}").format(duration=format_duration(chart.step.total_seconds())),
        style="bold",
    )
    if coloured:
        text.append_text(_legend())
    _draw_columns(text, chart, ticks, gutter)
    text.append(f"\n{_time_axis(chart, gutter)}", style=_MUTED)
    for name, counts in _strips(chart.buckets).items():
        text.append(f"\n{name:>{gutter}} │", style=_MUTED)
        text.append(
            "".join(_sparkline(counts)[cell] for cell in chart.cells), style=_WARN if name == "4xx" else _BAD
        )
        text.append(f"  {_peak_name(counts)}", style=_MUTED)
    return text


def _draw_columns(text: Text, chart: _Chart, ticks: list[int], gutter: int) -> None:
    for row in range(_CHART_ROWS, 0, -1):
        text.append(f"\n{_level_name(ticks, row):>{gutter}} │", style=_MUTED)
        blocks = [_block(bucket, ticks[-1], row) for bucket in chart.buckets]
        for cell in chart.cells:
            text.append(*blocks[cell])


def _legend() -> Text:
    parts = [("1xx-3xx", _ACCENT), ("4xx", _WARN), ("5xx", _BAD)]
    return Text.assemble(*(part for name, style in parts for part in (("   ■ ", style), (name, _MUTED))))


def _fitted(summary: Summary, width: int) -> _Chart:
    size = -(-len(summary.timeline) // max(width, 1))
    starts = range(0, len(summary.timeline), max(size, 1))
    buckets = [_joined(summary.timeline[start : start + size]) for start in starts]
    cells = min(width, len(buckets) * _WIDEST_STEP)
    return _Chart(buckets, summary.step * size, [cell * len(buckets) // cells for cell in range(cells)])


def _joined(buckets: Sequence[Bucket]) -> Bucket:
    return Bucket(
        start=buckets[0].start,
        requests=sum(bucket.requests for bucket in buckets),
        bytes=sum(bucket.bytes for bucket in buckets),
        ok=sum(bucket.ok for bucket in buckets),
        client_errors=sum(bucket.client_errors for bucket in buckets),
        server_errors=sum(bucket.server_errors for bucket in buckets),
        attacks=sum(bucket.attacks for bucket in buckets),
    )


def _level_name(ticks: list[int], row: int) -> str:
    """The tick whose height is the upper edge of a row of cells, row 1 being the lowest."""
    for tick in ticks[1:]:
        if round(tick / ticks[-1] * _CHART_ROWS) == row:
            return format_number(tick)
    return ""


def _block(bucket: Bucket, top: int, row: int) -> tuple[str, str]:
    """The block of one step in one row of cells, coloured by what fills most of it."""
    height = bucket.requests / top * _CHART_ROWS
    filled = min(max(height - (row - 1), 0.0), 1.0)
    if row == 1 and bucket.requests:
        filled = max(filled, 1 / 8)  # a step with requests is never invisible
    middle = (row - 1 + filled / 2) / _CHART_ROWS * top
    if middle < bucket.server_errors:
        style = _BAD
    else:
        style = _WARN if middle < bucket.server_errors + bucket.client_errors else _ACCENT
    return _BLOCKS[round(filled * 8)], style


def _strips(buckets: Sequence[Bucket]) -> dict[str, list[int]]:
    strips = {
        "4xx": [bucket.client_errors for bucket in buckets],
        "5xx": [bucket.server_errors for bucket in buckets],
        _("attacks"): [bucket.attacks for bucket in buckets],
    }
    return {name: counts for name, counts in strips.items() if any(counts)}


def _peak_name(counts: list[int]) -> str:
    return _("max {count}").format(count=format_number(max(counts)))


def _sparkline(counts: list[int]) -> str:
    peak = max(counts)
    return "".join(_BLOCKS[max(round(count / peak * 8), 1) if count else 0] for count in counts)


def _time_axis(chart: _Chart, gutter: int) -> str:
    """The axis with its marks, and under it the labels; a label that does not fit is left out."""
    width = len(chart.cells)
    line, labels = ["─"] * width, [" "] * (width + gutter)
    end = 0
    for tick in time_ticks(tuple(chart.buckets), chart.step, most=max(width // 9, 2)):
        place = int(tick.place * width)
        line[place] = "┬"
        start = gutter + 2 + place - len(tick.label) // 2
        if start >= end:
            labels[start : start + len(tick.label)] = tick.label
            end = start + len(tick.label) + 2
    return f"{0:>{gutter}} └{''.join(line)}\n{''.join(labels).rstrip()}"


def _attack_lists(summary: Summary) -> list[RenderableType]:
    lists: list[RenderableType] = []
    if summary.attacks:
        lists.append(_class_list(_("Attacks"), summary.attacks, _BAD))
    if summary.weak_signs:
        lists.append(_class_list(_("Weak signs, no attacks by themselves"), summary.weak_signs, _WARN))
    return lists


def _class_list(title: str, rows: tuple[AttackRow, ...], style: str) -> Table:
    table = _list_table(title, _("requests"), _("clients"))
    peak = max(row.requests for row in rows)
    for row in rows:
        name, key = attack_name(row.attack_class), shown(row.attack_class)
        table.add_row(
            Text.assemble(name, ("" if key == name else f"  {key}", _MUTED)),
            _bar(row.requests, peak, style),
            format_number(row.requests),
            format_number(row.clients),
        )
    return table


def _attackers(summary: Summary, width: int, *, coloured: bool) -> RenderableType:
    title = Text(_("Attackers"), style="bold")
    return Group(title, *(_attacker(attacker, width, coloured=coloured) for attacker in summary.attackers))


def _attacker(attacker: Attacker, width: int, *, coloured: bool) -> Text:
    names = ", ".join(attack_name(each) for each in attacker.classes)
    attacks = ngettext("{count} attack", "{count} attacks", attacker.attacks)
    time = span(attacker.first, attacker.last)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(shorten(shown(attacker.client), width), style="bold")
    if attacker.country:
        text.append(f" {shorten(printable(attacker.country), width)}", style=_MUTED)
    text.append(f"  {attacks.format(count=format_number(attacker.attacks))}", style=_BAD)
    text.append(f"  {shorten(names, width)}\n    ")
    text.append_text(_marked(excerpt(attacker.decoded, attacker.matched, width - 6), coloured=coloured))
    text.append(f"\n    {shorten(printable(attacker.example), width - 4)}", style=_MUTED)
    text.append(f"\n    {time}  {shorten(printable(attacker.rule), width)}", style=_MUTED)
    return text


def _marked(part: Excerpt, *, coloured: bool) -> Text:
    """The matched part in bold red; where there is no colour it stands between arrows."""
    left, right = ("»", "«") if part.matched and not coloured else ("", "")
    return Text.assemble(part.before, left, (part.matched, f"bold {_BAD}"), right, part.after)


def _lists(summary: Summary) -> list[RenderableType]:
    requests = _Column(_("requests"), lambda row: format_number(row.requests))
    part = _Column("%", lambda row: share(row.requests, summary.requests))
    traffic = _Column(_("traffic"), lambda row: format_bytes(row.bytes))
    errors = _Column(_("errors"), lambda row: format_number(row.errors))
    mean = _Column(_("mean time"), lambda row: format_duration(row.seconds or 0.0))
    usual = [requests, part, traffic]
    lists = [
        _top_list(_("Pages"), summary.top_paths, usual),
        _top_list(_("Clients"), summary.top_clients, usual),
        _top_list(_("Countries"), summary.top_countries, usual),
        _top_list(_("Agents"), summary.top_agents, usual),
        _top_list(_("Referers"), summary.top_referers, usual),
        _top_list(_("Hosts"), summary.top_hosts if len(summary.top_hosts) > 1 else (), usual),
        _top_list(_("Pages with errors"), summary.error_paths, [errors, requests], by=lambda row: row.errors),
        _top_list(_("Slow pages"), summary.slow_paths, [mean, requests], by=lambda row: row.seconds or 0.0),
    ]
    lists = [_statuses(summary), _errors(summary), *lists, _rejects(summary), _sources(summary)]
    return [each for each in lists if each is not None]


def _top_list(
    title: str,
    rows: tuple[TopRow, ...],
    columns: list[_Column],
    by: Callable[[TopRow], float] = lambda row: row.requests,
) -> RenderableType | None:
    if not rows:
        return None
    table = _list_table(title, *(column.title for column in columns))
    peak = max(map(by, rows))
    for row in rows:
        value = Text(shorten(shown(row.value), _LONGEST_CELL))
        table.add_row(value, _bar(by(row), peak, _ACCENT), *(column.text(row) for column in columns))
    return table


def _statuses(summary: Summary) -> RenderableType | None:
    if not summary.status:
        return None
    table = _list_table(_("Statuses"), _("requests"), "%")
    peak = max(summary.status.values())
    for code, count in sorted(summary.status.items()):
        style = {"4": _WARN, "5": _BAD}.get(code[:1], _ACCENT)
        name = Text.assemble(printable(code), "  ", (status_name(code), _MUTED))
        table.add_row(name, _bar(count, peak, style), format_number(count), share(count, summary.requests))
    return table


def _errors(summary: Summary) -> RenderableType | None:
    if not summary.errors:
        return None
    table = _list_table(_("Messages of the server"), _("level"), _("lines"))
    peak = max(row.count for row in summary.errors)
    for row in summary.errors:
        style = _BAD if row.level in GRAVE_LEVELS else _ACCENT
        table.add_row(
            Text(shorten(shown(row.message), _LONGEST_CELL)),
            _bar(row.count, peak, style),
            Text(shown(row.level)),
            format_number(row.count),
        )
    return table


def _list_table(title: str, *numbers: str) -> Table:
    """A list without rules: what it lists, a bar, then columns of numbers."""
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    table.add_column(Text(title, style="bold"), ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column(width=_BAR, no_wrap=True)
    for name in numbers:
        table.add_column(Text(name, style=_MUTED), justify="right", no_wrap=True)
    return table


def _bar(value: float, peak: float, style: str) -> Text:
    cells = round(value / peak * _BAR) if peak else 0
    return Text("▆" * max(cells, 1 if value else 0), style=style)


def _rejects(summary: Summary) -> RenderableType | None:
    if not summary.rejected:
        return None
    table = _list_table(_("Rejected lines"), _("lines"))
    peak = max(summary.reject_reasons.values(), default=0)
    for reason, count in summary.reject_reasons.items():
        table.add_row(Text(reject_name(reason)), _bar(count, peak, _WARN), format_number(count))
    examples = [
        Text(
            f"{printable(reject.source)}:{reject.line}  {shorten(printable(reject.raw), _LONGEST_CELL)}",
            style=_MUTED,
            no_wrap=True,
            overflow="ellipsis",
        )
        for reject in summary.reject_examples[:3]
    ]
    return Group(table, *examples)


def _sources(summary: Summary) -> RenderableType | None:
    if len(summary.sources) <= 1:
        return None
    table = _list_table(_("Sources"), _("format"), _("requests"), _("rejected"))
    peak = max(source.requests for source in summary.sources)
    for source in summary.sources:
        table.add_row(
            Text(shown(source.name)),
            _bar(source.requests, peak, _ACCENT),
            Text(shorten(shown(source.format), _LONGEST_FORMAT)),
            format_number(source.requests),
            format_number(source.rejected),
        )
    return table


def _foot(summary: Summary) -> Text:
    lines = lines_read(summary)
    text = ngettext("{count} line in {duration}", "{count} lines in {duration}", lines)
    foot = text.format(count=format_number(lines), duration=format_duration(summary.seconds))
    if summary.seconds and lines:
        speed = format_number(lines / summary.seconds)
        foot += ", " + _("{count} lines/s").format(count=speed)
    return Text(foot, style=_MUTED)
