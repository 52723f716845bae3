"""The report's page in a real Chromium: both languages, both themes, a desk and a phone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from dozor.features.traffic.adapters.html import render_html
from dozor.features.traffic.model import Summary
from tests.unit.traffic import summaries

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NAMES = ("busy", "empty", "one_line", "hostile", "huge")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Chromium refuses to sandbox itself when it runs as root, as it does in containers.
    args = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        yield chromium
        chromium.close()


class Visit:
    """An opened page and everything that it asked for or complained about."""

    def __init__(self, browser: Browser, file: Path, scheme: Literal["light", "dark"], width: int) -> None:
        self.context = browser.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}, reduced_motion="reduce"
        )
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())

    def background(self) -> str:
        return str(self.page.evaluate("getComputedStyle(document.body).backgroundColor"))


class Visitor:
    """Opens reports and closes what it opened."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser = browser
        self.folder = folder
        self.visits: list[Visit] = []

    def __call__(
        self,
        summary: Summary,
        language: str = "en",
        scheme: Literal["light", "dark"] = "light",
        width: int = 1360,
    ) -> Visit:
        file = self.folder / "report.html"
        file.write_text(render_html(summary, language), encoding="utf-8")
        self.visits.append(Visit(self.browser, file, scheme, width))
        return self.visits[-1]

    def close(self) -> None:
        for visit in self.visits:
            visit.context.close()


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visitor]:
    visitor = Visitor(browser, tmp_path)
    yield visitor
    visitor.close()


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("name", NAMES)
def test_a_report_asks_for_nothing_complains_of_nothing_and_fits_a_phone(
    visit: Visitor, name: str, language: str
) -> None:
    opened = visit(getattr(summaries, name)(), language, width=390)
    assert [url for url in opened.requests if not url.startswith("data:")] == [opened.page.url]
    assert opened.complaints == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.page.locator("html").get_attribute("lang") == language


def test_the_page_follows_the_theme_of_the_system(visit: Visitor) -> None:
    assert visit(summaries.busy(), scheme="light").background() == "rgb(255, 255, 255)"
    assert visit(summaries.busy(), scheme="dark").background() == "rgb(18, 23, 29)"


def test_the_theme_is_switched_by_keyboard_alone(visit: Visitor) -> None:
    opened = visit(summaries.busy(), scheme="light")
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.className") == "skip"
    opened.page.keyboard.press("Tab")
    for _press in range(2):
        opened.page.keyboard.press("ArrowRight")
    assert opened.page.locator("#theme-dark").is_checked()
    assert opened.background() == "rgb(18, 23, 29)"


def test_the_numbers_on_the_page_are_those_of_the_summary(visit: Visitor) -> None:
    busy = summaries.busy()
    page = visit(busy).page
    totals = page.locator("dl.totals data").evaluate_all("all => all.map(one => Number(one.value))")
    errors = [sum(count for code, count in busy.status.items() if code[0] == digit) for digit in "45"]
    assert totals == [
        busy.requests,
        busy.unique_clients,
        busy.bytes,
        *errors,
        busy.attack_requests,
        busy.bots,
    ]
    pages = page.locator("table.bars", has=page.get_by_text("Pages", exact=True)).locator("tbody tr")
    shown = [row.split("\t") for row in pages.all_inner_texts()]
    assert [(row[0].strip(), row[1]) for row in shown[:3]] == [
        (row.value, f"{row.requests:,}") for row in busy.top_paths[:3]
    ]


def test_the_time_line_can_be_read_as_a_table(visit: Visitor) -> None:
    busy = summaries.busy()
    page = visit(busy).page
    page.get_by_text("Show as a table").click()
    rows = page.locator("table.numbers tbody tr").all_inner_texts()
    counts = [int(row.split("\t")[1].replace(",", "")) for row in rows]
    assert counts == [bucket.requests for bucket in busy.timeline]


def test_a_column_of_the_time_line_is_as_high_as_its_count(visit: Visitor) -> None:
    busy = summaries.busy()
    page = visit(busy).page
    plot = page.locator(".plot").bounding_box()
    columns = page.locator(".plot g").evaluate_all(
        "all => all.map(one => [...one.querySelectorAll('rect:not(.touch)')]"
        ".reduce((sum, rect) => sum + rect.getBoundingClientRect().height, 0))"
    )
    assert plot
    for bucket, height in zip(busy.timeline, columns, strict=True):
        assert height == pytest.approx(plot["height"] * bucket.requests / 1500, abs=0.5)


def test_text_of_a_log_makes_no_element_and_no_link(visit: Visitor) -> None:
    page = visit(summaries.hostile()).page
    assert page.locator("img, script, iframe, main a").count() == 0
    assert page.get_by_text("<script>alert(2)</script>").count() > 5


def test_the_printed_page_is_light_and_leaves_the_controls_out(visit: Visitor) -> None:
    opened = visit(summaries.busy(), scheme="dark")
    opened.page.emulate_media(media="print")
    assert opened.background() == "rgb(255, 255, 255)"
    assert not opened.page.locator(".themes").is_visible()
