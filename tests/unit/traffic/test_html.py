from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from dozor.features.traffic.adapters.html import render_html
from dozor.kernel.i18n import current_language
from tests.unit.traffic import summaries

NAMES = ("busy", "empty", "one_line", "hostile", "huge")
VOID = {"meta", "link", "input", "br", "rect", "path", "circle"}


class Page(HTMLParser):
    """The elements of a page in order, with their attributes, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_page_is_well_formed_and_says_its_language(name: str, language: str) -> None:
    html = render_html(getattr(summaries, name)(), language)
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert ("lang", language) in page.attributes
    assert page.open == []


@pytest.mark.parametrize("name", NAMES)
def test_no_page_holds_a_script_or_asks_for_anything(name: str) -> None:
    page = Page(render_html(getattr(summaries, name)(), "en"))
    assert not {"script", "img", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert not [attribute for attribute, _value in page.attributes if attribute.startswith("on")]
    addresses = [value for attribute, value in page.attributes if attribute in {"src", "href", "xlink:href"}]
    assert all(value.startswith(("#", "data:image/svg+xml,")) for value in addresses)


def test_the_policy_allows_styles_and_nothing_else() -> None:
    html = render_html(summaries.busy(), "en")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert policy[1].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "script-src" not in policy[1]
    assert "url(" not in html
    assert "@import" not in html


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    hostile = render_html(summaries.hostile(), "en")
    page = Page(hostile)
    assert set(page.tags) == set(Page(render_html(summaries.busy(), "en")).tags)
    assert summaries.TAG in page.text
    assert summaries.TEMPLATE in page.text
    assert r"/\x1b[31mred\x1b[0m\x1b]0;owned\x07\x9b2J\rback" in page.text
    assert r"/invoice\u202etxt.exe\u2066\u200f" in page.text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", hostile)


def test_the_match_is_marked_in_the_decoded_value() -> None:
    html = render_html(summaries.busy(), "en")
    assert "7<mark>&#39; UNION SELECT login,pass FROM</mark> users" in html


def test_a_target_of_64_kb_does_not_fill_the_page() -> None:
    assert len(render_html(summaries.huge(), "en")) < 1.2 * len(render_html(summaries.busy(), "en"))


def test_the_columns_of_the_time_line_stand_on_each_other_and_reach_their_count() -> None:
    html = render_html(summaries.busy(), "en")
    first = re.search(r"<g transform=\"translate\(0\)\">.*?</g>", html)
    assert first
    boxes = [
        (float(top), float(height))
        for top, height in re.findall(r'y="([\d.]+)" width=".84" height="([\d.]+)"', first[0])
    ]
    bottom = 1000.0
    for top, height in boxes:
        assert top + height == pytest.approx(bottom, abs=0.02)
        bottom = top
    requests = summaries.busy().timeline[0].requests
    assert 1000 - bottom == pytest.approx(1000 * requests / 1500, abs=0.05)


def test_sections_without_content_are_left_out() -> None:
    text = Page(render_html(summaries.empty(), "en")).text
    assert "There are no requests in this log." in text
    assert "Attack" not in text
    assert "Statuses" not in text


def test_rendering_leaves_the_language_of_the_caller_alone() -> None:
    render_html(summaries.busy(), "ru")
    assert current_language() == "en"
