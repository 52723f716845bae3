from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from dozor.console import parts
from dozor.console.parts import Bar, Kpi

HOSTILE = "<img src=http://evil.example/x onerror=alert(1)>\"'[a](http://evil.example)\u202e\x1b"


class Tags(HTMLParser):
    """Collects elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


BUILT = {
    "kpi": parts.kpi_row([Kpi(HOSTILE, HOSTILE, HOSTILE, "bad", HOSTILE, "lines?where=x")]),
    "bars": parts.bar_list(
        HOSTILE,
        [
            Bar(
                HOSTILE,
                HOSTILE,
                0.5,
                "top?a=1",
                "lines?a=1",
                HOSTILE,
                HOSTILE,
                HOSTILE,
                code=HOSTILE,
                mono=True,
            )
        ],
        heads=(HOSTILE,),
        note=HOSTILE,
    ),
    "empty": parts.bar_list(HOSTILE, [], empty=HOSTILE),
    "note": parts.note(HOSTILE, HOSTILE, hint=HOSTILE, tone="bad"),
    "chip": parts.chip(HOSTILE, "live", HOSTILE),
    "severity": parts.severity(HOSTILE),
    "marked": parts.marked(HOSTILE, "img src"),
    "facts": parts.facts([(HOSTILE, HOSTILE, "")]),
    "table": parts.table([(HOSTILE, "r")], [[parts.text(HOSTILE)]]),
    "legend": parts.legend([(HOSTILE, "#112233")]),
    "heading": parts.heading(HOSTILE, HOSTILE),
    "link": parts.link("lines?a=1&b=2", HOSTILE, hint=HOSTILE),
}


@pytest.mark.parametrize("name", BUILT)
def test_a_hostile_text_makes_no_element_and_no_attribute(name: str) -> None:
    tags = Tags(BUILT[name])
    assert {tag for tag, _attributes in tags.found} <= {
        *("div", "span", "a", "b", "i", "h3", "p", "mark", "table", "thead", "tbody", "tr", "th", "td")
    }
    for _tag, attributes in tags.found:
        assert set(attributes) <= {"class", "style", "href", "target", "title", "role", "scope"}
        assert "evil" not in (attributes.get("href") or "")
    assert "<img src=http://evil.example/x onerror=alert(1)>" in tags.text
    assert "\u202e" not in BUILT[name]
    assert "\x1b" not in BUILT[name]


def test_the_part_that_matched_is_marked_in_its_place() -> None:
    assert parts.marked("a <b> c", "<b>") == '<div class="dz-line">a <mark>&lt;b&gt;</mark> c</div>'
    assert "mark" not in parts.marked("a b c", "other")


def test_a_bar_is_as_long_as_its_weight_and_never_longer_than_its_row() -> None:
    widths = [
        re.findall(r"width:([\d.]+)%", parts.bar_list("x", [Bar("a", "1", weight)]))
        for weight in (0.256, 7.0, -1.0)
    ]
    assert widths == [["25.6"], ["100.0"], ["0.0"]]


def test_a_sparkline_needs_steps_and_something_in_them() -> None:
    assert "clip-path" in parts.kpi_row([Kpi("a", "1", spark=(1, 5, 2))])
    assert "clip-path" not in parts.kpi_row([Kpi("a", "1", spark=(0, 0, 0))])
    assert "clip-path" not in parts.kpi_row([Kpi("a", "1", spark=(1, 2))])


def test_without_an_address_a_link_is_a_text() -> None:
    assert parts.link("", "x") == "<span>x</span>"


@pytest.mark.parametrize(
    "text", ["**bold** _x_ `y`", "[a](http://evil.example)", ":material/key: $x$ <b>&", "1. a"]
)
def test_markdown_formats_nothing(text: str) -> None:
    said = parts.markdown(text)
    assert re.sub(r"\\(.)", r"\1", said) == text
    assert not re.search(r"(?<!\\)[*_`\[\]():.$<&]", said)
