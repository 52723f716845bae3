"""HTML parts. Every text that goes in is escaped here, since lines of a log are written by attackers.

Functions return HTML for `st.html`. Arguments named `html` hold HTML made here, all others plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from dozor.console import words
from dozor.kernel.i18n import _

_NO_SPARK = 3  # fewer steps make no line

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!<>|~:$&])")
_SEVERITY_SIGNS = {"critical": "◆", "high": "▲", "medium": "●", "low": "○", "info": "○"}


@dataclass(frozen=True, slots=True)
class Kpi:
    """One number with what it was before.

    Args:
        change: Text of the change, empty without one.
        tone: Whether the change is `good`, `bad` or neither.
        caption: What stands behind the change, such as "vs the 24 h before".
        href: Where the number leads.
        spark: Steps of the sparkline under it; empty without one.
        kind: Colour of the sparkline: `errors`, `attack` or empty.
    """

    label: str
    value: str
    change: str = ""
    tone: str = ""
    caption: str = ""
    href: str = ""
    spark: Sequence[float] = ()
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a list with bars.

    Args:
        name: What it is; its tooltip is `hint`, or the name.
        number: The number at the right, as text.
        weight: Length of the bar, 0 to 1.
        filter_href: What a click on the name does: filter.
        lines_href: What a click on the number does: show its lines.
        part: A second number, such as the share.
        change: How it changed.
        tone: Colour of the bar: `bad`, `high`, `warn`, `quiet` or that of normal traffic.
        code: A short text in front of the name.
    """

    name: str
    number: str
    weight: float
    filter_href: str = ""
    lines_href: str = ""
    part: str = ""
    change: str = ""
    hint: str = ""
    tone: str = ""
    code: str = ""
    mono: bool = False


def text(value: str) -> str:
    """A text of a log or of ours, safe inside of an element and of a quoted attribute."""
    return escape(words.printable(value), quote=True)


def markdown(value: str) -> str:
    """A text for what Streamlit reads as Markdown, such as a toast or a button: no sign of it formats."""
    return _MARKDOWN.sub(r"\\\1", words.printable(value))


def link(href: str, label: str, *, style: str = "", hint: str = "") -> str:
    """A link that stays in this tab; without an address the label alone."""
    kind = f' class="{style}"' if style else ""
    title = f' title="{text(hint)}"' if hint else ""
    if not href:
        return f"<span{kind}{title}>{text(label)}</span>"
    return f'<a{kind} href="{escape(href, quote=True)}" target="_self"{title}>{text(label)}</a>'


def kpi_row(numbers: Iterable[Kpi]) -> str:
    """Cards of numbers, as many side by side as fit."""
    return f'<div class="dz dz-kpis">{"".join(_kpi(number) for number in numbers)}</div>'


def _kpi(number: Kpi) -> str:
    change = f'<span class="{number.tone}">{text(number.change)} </span>' if number.change else ""
    delta = change + text(number.caption) or "&nbsp;"
    inside = (
        f'<span class="label">{text(number.label)}</span><b>{text(number.value)}</b>'
        f'<span class="delta">{delta}</span>{_spark(number.spark, number.kind)}'
    )
    style = "dz-kpi tall" if number.spark else "dz-kpi"
    if not number.href:
        return f'<div class="{style}">{inside}</div>'
    title = text(_("Show the lines"))
    href = escape(number.href, quote=True)
    return f'<a class="{style}" href="{href}" target="_self" title="{title}">{inside}</a>'


def _spark(steps: Sequence[float], kind: str) -> str:
    """A filled curve cut out of a box: st.html lets no SVG through."""
    top = max(steps, default=0)
    if len(steps) < _NO_SPARK or top <= 0:
        return ""
    width = len(steps) - 1
    points = ",".join(f"{100 * i / width:.1f}% {100 - 96 * step / top:.1f}%" for i, step in enumerate(steps))
    return f'<i class="spark {kind}" style="clip-path:polygon(0 100%,{points},100% 100%)"></i>'


def bar_list(
    title: str,
    bars: Sequence[Bar],
    *,
    heads: Sequence[str] = (),
    more_html: str = "",
    note: str = "",
    tone: str = "",
    empty: str = "",
) -> str:
    """A card with a list whose rows are bars.

    Args:
        title: Its heading.
        bars: The rows.
        heads: Headings of the columns, the name's first.
        more_html: The last row, such as a link to all of them.
        note: A word at the right of the heading.
        tone: Colour of all bars.
        empty: What to say when there are no rows.
    """
    columns = "".join(f"<span>{text(head)}</span>" for head in heads)
    head = f'<div class="dz-head"><h3>{text(title)}</h3><span class="cap">{text(note)}</span></div>'
    nothing = empty or _("None in this range.")
    rows = "".join(_bar(bar) for bar in bars) or f'<p class="cap">{text(nothing)}</p>'
    heading = f'<div class="dz-cols">{columns}</div>' if columns and bars else ""
    last = f'<div class="dz-all">{more_html}</div>' if more_html else ""
    return f'<div class="dz dz-card dz-list{_tone(tone)}">{head}{heading}{rows}{last}</div>'


def _bar(bar: Bar) -> str:
    hint = bar.hint or bar.name
    code = f'<span class="cap">{text(bar.code)}</span>' if bar.code else ""
    name = link(bar.filter_href, bar.name, style="name mono" if bar.mono else "name", hint=hint)
    change = f'<span class="chg">{text(bar.change)}</span>' if bar.change else ""
    number = link(bar.lines_href, bar.number, style="num", hint=_("Show the lines") if bar.lines_href else "")
    part = f'<span class="part">{text(bar.part)}</span>' if bar.part else ""
    weight = max(0.0, min(bar.weight, 1.0))
    return (
        f'<div class="dz-row{_tone(bar.tone)}"><i style="width:{100 * weight:.1f}%"></i>'
        f"{code}{name}{change}{number}{part}</div>"
    )


def caption(label: str, hint: str = "") -> str:
    """A small text beside a control."""
    return f'<span class="dz cap" title="{text(hint)}">{text(label)}</span>'


def _tone(tone: str) -> str:
    return f" tone-{tone}" if tone else ""


def note(title: str, body: str = "", *, hint: str = "", tone: str = "", actions_html: str = "") -> str:
    """A card that tells one thing: what is, and what to do."""
    rest = f"<div>{text(body)}</div>" if body else ""
    rest += f'<div class="cap">{text(hint)}</div>' if hint else ""
    rest += f'<div style="margin-top:6px">{actions_html}</div>' if actions_html else ""
    role = "alert" if tone == "bad" else "status"
    return f'<div class="dz dz-note {tone}" role="{role}"><b>{text(title)}</b>{rest}</div>'


def chip(label: str, kind: str, hint: str = "") -> str:
    """A state in a word, with its colour."""
    return f'<span class="dz"><span class="dz-chip {kind}" title="{text(hint)}">{text(label)}</span></span>'


def tag(label: str, tone: str = "") -> str:
    """A word in a small frame, inside of other HTML."""
    return f'<span class="dz-tag {tone}">{text(label)}</span>'


def severity(level: str) -> str:
    """Severity as sign, word and colour."""
    name = level if level in words.SEVERITIES else "info"
    return f'<span class="dz-sev {name}">{_SEVERITY_SIGNS[name]} {text(words.severity_name(level))}</span>'


def severity_text(level: str) -> str:
    """Severity as sign and word, for tables without colours."""
    return f"{_SEVERITY_SIGNS.get(level, '○')} {words.severity_name(level)}"


def marked(value: str, matched: str) -> str:
    """A text of a log in a box of its own, the part that matched marked."""
    before, match, after = words.excerpt(value, matched)
    mark = f"<mark>{escape(match)}</mark>" if match else ""
    return f'<div class="dz-line">{escape(before)}{mark}{escape(after)}</div>'


def facts(rows: Iterable[tuple[str, str, str]]) -> str:
    """Names and values with something to do at the right.

    Args:
        rows: Name, value, and HTML of what can be done with it.
    """
    cells = "".join(
        f'<span class="k">{text(name)}</span><span class="v mono">{text(value)}</span>'
        f'<span class="do">{html}</span>'
        for name, value, html in rows
    )
    return f'<div class="dz dz-facts">{cells}</div>'


def sparks(steps: Sequence[int]) -> str:
    """Small columns, one for each step."""
    top = max(steps, default=0) or 1
    columns = "".join(f'<i style="height:{100 * step / top:.0f}%"></i>' for step in steps)
    return f'<span class="dz-spark">{columns}</span>'


def table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    """A table.

    Args:
        heads: Heading and style of each column: `r` right-aligned, `nb` not broken, `msg` broken anywhere.
        rows: HTML of the cells.
    """
    head = "".join(f'<th class="{style}" scope="col">{text(name)}</th>' for name, style in heads)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{style}">{html}</td>' for (_name, style), html in zip(heads, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        '<div class="dz dz-wide"><table class="dz-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Names of series with their colours (`#RRGGBB`)."""
    items = "".join(
        f'<span><i style="background:{colour}"></i>{text(name)}</span>' for name, colour in entries
    )
    return f'<div class="dz dz-legend">{items}</div>'


def heading(title: str, caption: str = "", actions_html: str = "") -> str:
    """A heading inside of a card."""
    right = f'<span class="cap">{text(caption)} {actions_html}</span>'
    return f'<div class="dz dz-head"><h3>{text(title)}</h3>{right}</div>'
