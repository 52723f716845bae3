from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from dozor.features.traffic.adapters.terminal import render
from dozor.kernel.i18n import use_language
from tests.unit.traffic import summaries

NAMES = ("busy", "empty", "one_line", "hostile", "huge")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def screen(name: str, width: int = 80, *, colour: bool = False, no_color: bool = False) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        no_color=no_color,
    )
    render(getattr(summaries, name)(), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(text: str, beginning: str) -> list[str]:
    """The words of the first line that begins so, without its bar."""
    line = next(line for line in text.splitlines() if line.startswith(beginning))
    return line.replace("▆", "").split()


def test_the_first_screen_says_what_is_wrong() -> None:
    first = "\n".join(screen("busy").splitlines()[:24])
    assert "! 749 requests are attacks (1.6%). Most often: SQL injection." in first
    assert "371 requests failed in the server (0.8%)." in first
    assert "48,255" in first
    assert "2026-11-21 00:00:02" in first


def test_rows_hold_the_numbers_of_the_summary() -> None:
    text = screen("busy")
    assert row(text, "SQL injection") == ["SQL", "injection", "sqli", "412", "3"]
    assert row(text, "/catalog/") == ["/catalog/", "9,120", "18.9%", "1.1", "GiB"]
    assert row(text, "404") == ["404", "Not", "Found", "1,698", "3.5%"]
    assert row(text, "/export/orders.csv") == ["/export/orders.csv", "8.4", "s", "14"]
    assert row(text, "/.env") == ["/.env", "212", "212"]
    assert "access.log:412  not a log line at all" in text
    assert "48,269 lines in 420" in text


def test_attacks_come_before_the_lists() -> None:
    text = screen("busy")
    assert text.index("Attackers") < text.index("Statuses") < text.index("Pages")


def test_sections_without_content_are_left_out() -> None:
    text = screen("one_line")
    for title in ("Attackers", "Weak signs", "Referers", "Hosts", "Slow pages", "Rejected", "Sources"):
        assert title not in text
    assert [line for line in screen("empty").splitlines() if line] == [
        "Dozor access.log",
        "· There are no requests in this log.",
        "0 lines in 0\N{NO-BREAK SPACE}ms",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_gets_plain_text(name: str) -> None:
    assert all(line.isprintable() or "\N{NO-BREAK SPACE}" in line for line in screen(name).split("\n"))
    assert "\x1b" not in screen(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_gets_nothing_but_colours_beside_the_text(name: str) -> None:
    text = COLOUR.sub("", screen(name, colour=True)).replace("\N{NO-BREAK SPACE}", " ")
    assert all(line.isprintable() for line in text.split("\n"))


def test_only_the_sixteen_named_colours_are_used() -> None:
    codes = {code for match in COLOUR.findall(screen("busy", colour=True)) for code in match[2:-1].split(";")}
    assert codes <= {"0", "1", "2", *(str(code) for code in range(30, 38))}


def test_without_colours_no_colour_is_used_and_the_match_is_still_marked() -> None:
    text = screen("busy", colour=True, no_color=True)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", text)
    assert "7»' UNION SELECT login,pass FROM« users" in COLOUR.sub("", text)


def test_the_matched_part_is_highlighted() -> None:
    assert "7\x1b[1;31m' UNION SELECT login,pass FROM\x1b[0m users" in screen("busy", colour=True)


def test_markup_in_a_log_is_shown_and_not_obeyed() -> None:
    text = screen("hostile", width=200)
    assert text.count("/[red]alert[/red]/[link=https://evil.example]x[/link]") > 10
    assert r"\x1b[31mred\x1b[0m" in text
    assert r"/invoice\u202etxt.exe" in text


@pytest.mark.parametrize("width", [30, 80, 139, 140, 220])
@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    assert max(map(cell_len, screen(name, width).splitlines())) <= width


def test_lists_stand_side_by_side_on_a_wide_terminal() -> None:
    assert any("Statuses" in line and "Messages" in line for line in screen("busy", 140).splitlines())
    assert not any("Statuses" in line and "Messages" in line for line in screen("busy", 139).splitlines())


def test_the_chart_joins_steps_that_do_not_fit() -> None:
    assert "Requests per 30\N{NO-BREAK SPACE}min" in screen("busy", 80)
    assert "Requests per 15\N{NO-BREAK SPACE}min" in screen("busy", 160)
    assert "max 514" in screen("busy", 80)
    assert "max 302" in screen("busy", 160)


def test_the_report_speaks_russian() -> None:
    with use_language("ru"):
        assert "48\N{NO-BREAK SPACE}255" in screen("busy")
