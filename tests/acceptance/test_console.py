"""The console in a real Chromium over a real `dozor up`: pages, filters, marks, numbers, hostile lines."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import pytest
from fastapi import APIRouter, Response
from playwright.sync_api import Browser, Locator, Page, expect

from dozor.features.traffic.model import TopList
from dozor.features.traffic.ports import Watch
from dozor.kernel.errors import UnavailableError
from dozor.kernel.i18n import _, use_language
from dozor.wire.access import Me
from tests.acceptance.running import DOZOR, Running, make_owner, running, until
from tests.acceptance.visiting import Visit, needs_chromium
from tests.contract.traffic.served import FakeQueries, serve

EVIL = "evil.example"

PAGES = {
    "": ("Overview", ".dz-kpi"),
    "dynamics": ("Dynamics", ".dz-kpi"),
    "geography": ("Geography", ".dz-list .dz-row"),
    "top": ("Top lists and statuses", ".dz-list .dz-row"),
    "top?list=path": ("Top lists and statuses", ".dz-table td"),
    "anomalies": ("Anomalies", "[data-testid=stDataFrame]"),
    "errors": ("Server errors", ".dz-table td"),
    "lines": ("Lines", "[data-testid=stDataFrame]"),
}
"""Path, title, and what is there once the page is."""

HOSTILE_TARGETS = (
    f"/<img/src=http://{EVIL}/x.png/onerror=window.pwned=1>",
    f"/[link](http://{EVIL}/)**bold**",
    "/<script>window.pwned=1</script>",
    f"/?q=<svg/onload=window.pwned=1>&u=http://{EVIL}/",
)

pytestmark = needs_chromium


def hostile_lines(now: datetime) -> tuple[str, str]:
    """Lines of an access and of an error log that a console must not take for anything but text."""
    access, error = [], []
    for number in range(400):
        moment = now - timedelta(seconds=1800 - number)
        access.append(
            f"203.0.113.66 - **[u](http://{EVIL}/)** [{moment:%d/%b/%Y:%H:%M:%S} +0000] "
            f'"GET {HOSTILE_TARGETS[number % len(HOSTILE_TARGETS)]} HTTP/1.1" 404 10 '
            f'"http://{EVIL}/<b>" "![x](http://{EVIL}/i.png)<iframe src=http://{EVIL}/>" "-" '
            'rt=0.100 ut="0.100"\n'
        )
        error.append(
            f'{moment:%Y/%m/%d %H:%M:%S} [error] 1#1: *7 open() "/[a](http://{EVIL}/)<script>window.pwned=1'
            f'</script>" failed (2: No such file or directory), client: 203.0.113.66, server: _, '
            f'request: "GET {HOSTILE_TARGETS[0]} HTTP/1.1", host: "<img/src=x/onerror=window.pwned=1>"\n'
        )
    return "".join(access), "".join(error)


@pytest.fixture(scope="module")
def dozor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A process that has read a day of made-up logs with hostile lines at their end."""
    logs = tmp_path_factory.mktemp("logs")
    command = [
        str(DOZOR),
        "demo",
        "traffic",
        "--out",
        str(logs),
        "--requests-per-day",
        "6000",
        "--format",
        "main",
    ]
    subprocess.run(command, check=True, capture_output=True)
    for name, text in zip(("access.log", "error.log"), hostile_lines(datetime.now(UTC)), strict=True):
        with (logs / name).open("a") as log:
            log.write(text)
    folder = tmp_path_factory.mktemp("state")
    make_owner(folder)
    with running(
        "--data-dir", folder, "--log", logs / "access.log", "--log", logs / "error.log", "--format", "main"
    ) as up:
        up.ready()
        up.stored(len((logs / "access.log").read_bytes().splitlines()))
        with up.visitor() as visitor:
            until(lambda: 'id="root"' in visitor.get("/").text, "a page")
        yield up


class TrafficVisit(Visit):
    """A visit to the pages of traffic, over a range that stands still."""

    def __init__(
        self,
        browser: Browser,
        dozor: Running | str,
        language: str = "en",
        scheme: Literal["light", "dark"] = "light",
    ) -> None:
        super().__init__(browser, dozor, language, scheme)
        # So that the API can be asked for the same.
        now = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        self.since, self.until = (
            f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (now - timedelta(hours=26), now)
        )

    def open(self, path: str = "", **parameters: Any) -> Page:
        """Go to a page with the whole range and wait until it is there."""
        name, _mark, query = path.partition("?")
        pairs = {"from": self.since, "to": self.until, **dict(parse_pairs(query)), **parameters}
        self.page.goto(f"{self.base}{name}?{urlencode(pairs, doseq=True)}")
        self.arrived(path)
        return self.page

    def arrived(self, path: str) -> None:
        """Wait until a page is there."""
        expect(self.page.locator(PAGES[path][1]).first).to_be_visible()

    def asked(self, what: str, **parameters: Any) -> Any:
        """What the API says about the same range."""
        assert isinstance(self.dozor, Running)
        return self.dozor.get(f"/api/v1/traffic/{what}", since=self.since, until=self.until, **parameters)


def parse_pairs(query: str) -> list[tuple[str, str]]:
    return [(name, values[0]) for name, values in parse_qs(query).items()]


@pytest.fixture
def visit(visits: list[Visit], browser: Browser, dozor: Running) -> TrafficVisit:
    visit = TrafficVisit(browser, dozor)
    visits.append(visit)
    visit.signed_in()
    return visit


def number(text: str) -> int:
    """A count as it is written for people."""
    return int(re.sub(r"[\s,\u00a0]", "", text))


def kpis(page: Page) -> dict[str, int]:
    labels = page.locator(".dz-kpi .label").all_inner_texts()
    return {
        label: number(value)
        for label, value in zip(labels, page.locator(".dz-kpi b").all_inner_texts(), strict=True)
        if re.fullmatch(r"[\d,\s\u00a0]+", value)
    }


def rows(card: Locator) -> list[tuple[str, str]]:
    names, numbers = card.locator(".name").all_inner_texts(), card.locator(".num").all_inner_texts()
    return list(zip(names, numbers, strict=True))


def card(page: Page, title: str) -> Locator:
    heading = page.get_by_role("heading", name=title, exact=True)
    return page.locator(".dz-list", has=heading)


def lines_told(page: Page) -> int:
    """How many lines the page of lines says that there are."""
    told = page.locator(".st-key-lines-head .cap").inner_text()
    return number(told.split(" of ")[1])


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("ru", "dark")])
def test_every_page_opens_and_takes_hostile_lines_for_text(
    visits: list[Visit], browser: Browser, dozor: Running, language: str, scheme: Literal["light", "dark"]
) -> None:
    visit = TrafficVisit(browser, dozor, language, scheme)
    visits.append(visit)
    visit.signed_in()
    for path, (title, _sign) in PAGES.items():
        page = visit.open(path)
        with use_language(language):
            expect(page.locator("h1")).to_have_text(_(title))
        assert page.locator("html").get_attribute("lang") == language
        background = page.locator(".stApp").evaluate("one => getComputedStyle(one).backgroundColor")
        assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 23, 29)"}[scheme]
        assert page.locator(f'[href*="http://{EVIL}"], [src*="{EVIL}"], [onerror], [onload]').count() == 0
        assert page.locator(".stApp script, .stApp iframe, .stApp svg[onload]").count() == 0
        assert page.evaluate("window.pwned") is None
    # The pages did show them: as the text that they are.
    expect(visit.open("top?list=path").get_by_text("/<script>window.pwned=1</script>").first).to_be_visible()
    expect(visit.open("errors").get_by_text("</script>").first).to_be_visible()


def test_numbers_are_those_of_the_api(visit: TrafficVisit) -> None:
    page = visit.open("")
    summary = visit.asked("summary")
    by_class = {
        digit: sum(count for code, count in summary["status"].items() if code[0] == digit) for digit in "45"
    }
    wanted = {
        "Requests": summary["requests"],
        "Visitors": summary["unique_clients"],
        "Server errors": by_class["5"],
        "Attacks": summary["attack_requests"],
    }
    assert kpis(page) == wanted
    assert kpis(visit.open("dynamics")) == wanted | {"Client errors": by_class["4"]}

    page = visit.open("top")
    for title, dimension, measure in (
        ("Pages", "path", "requests"),
        ("Addresses by errors", "client", "errors"),
        ("Statuses", "status", "requests"),
    ):
        shown = [(name.split()[0], number(told)) for name, told in rows(card(page, title))]
        told = visit.asked(f"top/{dimension}", measure=measure, limit=10)["rows"]
        assert shown == [(row["value"].split()[0], row[measure]) for row in told if row[measure]], title

    geography = visit.asked("geography")
    countries = rows(card(visit.open("geography"), "Countries"))
    assert [number(told) for _name, told in countries] == [row["requests"] for row in geography["countries"]][
        :24
    ]


def test_an_unknown_page_leads_to_the_overview(visit: TrafficVisit) -> None:
    visit.page.goto(f"{visit.base}nosuchpage")
    visit.arrived("")
    assert visit.page.url == visit.base
    expect(visit.page.get_by_text("Page not found")).to_have_count(0)


def test_a_range_and_a_filter_are_chosen_and_stay_in_the_address(visit: TrafficVisit) -> None:
    page = visit.open("")
    before = kpis(page)["Requests"]
    page.get_by_role("radio", name="1\u00a0h").click()
    expect(page.locator(".dz-kpi b").first).not_to_have_text(f"{before:,}")
    assert visit.parameters() == {"range": ["1h"]}

    page.locator(".st-key-dz_new_filter button").first.click()
    page.get_by_label("Value", exact=True).fill(HOSTILE_TARGETS[2])
    page.get_by_role("button", name="Add the filter").click()
    expect(page.locator(".dz-kpi b").first).to_have_text("100")
    assert visit.parameters() == {"range": ["1h"], "where": [f"path = {HOSTILE_TARGETS[2]}"]}

    page.locator("[data-testid=stTopNavSection]", has_text="Traffic").click()
    page.get_by_role("menuitem", name="Dynamics").click()
    visit.arrived("dynamics")
    expect(page.locator("h1")).to_have_text("Dynamics")
    expect(page.locator(".dz-kpi b").first).to_have_text("100")
    assert visit.parameters() == {"range": ["1h"], "where": [f"path = {HOSTILE_TARGETS[2]}"]}

    page.get_by_role("button", name="Remove path").click()
    expect(page.locator(".dz-kpi b").first).not_to_have_text("100")
    assert visit.parameters() == {"range": ["1h"]}


def test_dragging_on_the_time_line_chooses_a_range(visit: TrafficVisit) -> None:
    page = visit.open("")
    marks = page.locator(".st-key-card-overview-line svg.marks")
    box = marks.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 80, steps=6)
    page.mouse.up()
    page.wait_for_url(lambda url: visit.since not in unquote(url) and visit.until not in unquote(url))
    chosen = [datetime.fromisoformat(visit.parameters()[name][0]) for name in ("from", "to")]
    assert timedelta(hours=3) < chosen[1] - chosen[0] < timedelta(hours=8)
    visit.since, visit.until = visit.parameters()["from"][0], visit.parameters()["to"][0]
    wanted = visit.asked("summary")["requests"]
    expect(page.locator(".dz-kpi b").first).to_have_text(f"{wanted:,}")


def test_marks_lead_to_the_lines_behind_them(visit: TrafficVisit) -> None:
    page = visit.open("")
    attacks = kpis(page)["Attacks"]
    page.locator(".dz-kpi", has_text="Attacks").click()
    visit.arrived("lines")
    assert visit.parameters()["where"] == ["attack = true"]
    assert lines_told(page) == attacks

    page = visit.open("top")
    name, told = rows(card(page, "Pages by errors"))[0]
    card(page, "Pages by errors").locator(".num").first.click()
    visit.arrived("lines")
    assert visit.parameters()["where"] == [f"path = {name}", "status >= 400"]
    assert lines_told(page) == number(told)

    page = visit.open("")
    marks = page.locator(".st-key-card-overview-line svg.marks")
    box = marks.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 80)
    page.wait_for_url("**/lines?**")
    visit.arrived("lines")
    visit.since, visit.until = visit.parameters()["from"][0], visit.parameters()["to"][0]
    expect(page.locator(".st-key-lines-head .cap")).to_contain_text(
        f"of {visit.asked('summary')['requests']:,}"
    )


def test_a_country_is_chosen_on_the_map(visit: TrafficVisit) -> None:
    page = visit.open("geography")
    marks = page.locator(".st-key-card-map-requests svg.marks")
    box = marks.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * 0.72, box["y"] + 60)  # Siberia
    page.wait_for_url("**where=country**")
    assert visit.parameters()["where"] == ["country = RU"]
    told = next(row for row in visit.asked("geography")["countries"] if row["value"] == "RU")
    expect(card(page, "Countries").locator(".num")).to_have_text([f"{told['requests']:,}"])


def test_a_line_is_shown_in_every_detail_and_its_fields_become_filters(visit: TrafficVisit) -> None:
    page = visit.open("lines", where=f"path = {HOSTILE_TARGETS[0]}")
    (line, *_rest) = visit.asked("lines", where=f"path = {HOSTILE_TARGETS[0]}")["items"]
    box = page.locator("[data-testid=stDataFrame]").bounding_box()
    assert box
    page.mouse.click(box["x"] + 18, box["y"] + 36 + 13)
    detail = page.locator(".st-key-card-line")
    expect(detail.locator(".dz-line").first).to_have_text(line["raw"])
    assert visit.parameters()["line"] == [line["id"]]
    detail.get_by_text("As a curl command").click()
    expect(detail.get_by_text("--path-as-is")).to_contain_text(f"'https://localhost{HOSTILE_TARGETS[0]}'")
    assert page.locator("[src*=evil], [href*='http://evil']").count() == 0
    page.get_by_role("button", name="Next").click()
    page.wait_for_url(lambda url: parse_qs(urlsplit(url).query)["line"] != [line["id"]])
    detail.locator(".dz-facts .do").nth(0).get_by_role("link", name="exclude").click()
    expect(page.get_by_text("No line passes the filters in this range.")).to_be_visible()
    assert visit.parameters()["where"][1] == "client != 203.0.113.66"


def test_a_finding_tells_its_line_its_decoded_value_and_the_rule(visit: TrafficVisit) -> None:
    finding = visit.asked("findings", limit=1)["items"][0]
    page = visit.open("anomalies", finding=finding["fingerprint"])
    detail = page.locator(".st-key-card-finding")
    expect(detail.locator(".dz-line").first).to_have_text(finding["example"])
    expect(detail.locator(".dz-line").nth(1)).to_contain_text(finding["decoded"])
    expect(detail.locator("mark").first).to_have_text(finding["matched"])
    expect(detail.get_by_text(finding["rule"]).first).to_be_visible()
    detail.get_by_role("link", name="show the lines").click()
    visit.arrived("lines")
    assert lines_told(page) == finding["requests"]


def test_language_and_theme_are_switched_by_hand_and_remembered(visit: TrafficVisit) -> None:
    page = visit.open("geography")
    page.locator(".st-key-account button").first.click()
    page.get_by_role("link", name="Русский").click()
    expect(page.locator("html[lang=ru]")).to_be_attached()
    visit.arrived("geography")
    assert visit.parameters()["from"] == [visit.since]
    page.locator(".st-key-account button").first.click()
    with use_language("ru"):
        page.get_by_role("link", name=_("Dark"), exact=True).click()
    expect(page.locator(".stApp")).to_have_css("background-color", "rgb(18, 23, 29)")
    visit.open("lines")
    expect(page.locator(".stApp")).to_have_css("background-color", "rgb(18, 23, 29)")
    assert page.locator("html").get_attribute("lang") == "ru"


def test_what_cannot_be_filtered_by_is_told_in_words(visit: TrafficVisit) -> None:
    page = visit.page
    page.goto(f"{visit.base}?where=colour+%3D+red")
    expect(page.get_by_text("There is no field 'colour' to filter on.")).to_be_visible()
    page.goto(f"{visit.base}?where=path+%3D+%2Fnothing")
    expect(page.get_by_text("No request passes the filters in this range.")).to_be_visible()


@pytest.fixture(scope="module")
def queries() -> FakeQueries:
    """What the console below is answered; a test writes its script and takes it away."""
    return FakeQueries()


def somebody() -> APIRouter:
    """Who looks at that console: somebody who may see traffic."""
    router = APIRouter()
    told = Me(
        id="p_1", username="anna", kind="person", role="viewer", permissions=("traffic.read",), csrf_token="-"
    )

    @router.get("/auth/me")
    async def me() -> Response:
        return Response(told.model_dump_json(), media_type="application/json")

    return router


@pytest.fixture(scope="module")
def console(queries: FakeQueries) -> Iterator[str]:
    """The address of a console in a process of its own, over those answers."""
    program = Path(__file__).with_name("console_process.py")
    with (
        serve(queries, more=(somebody(),)) as api,
        subprocess.Popen([sys.executable, program, api], stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
def looking(visits: list[Visit], browser: Browser, console: str, queries: FakeQueries) -> Iterator[Page]:
    """A page of that console that is still to be opened."""
    queries.script.clear()
    visits.append(Visit(browser, console))
    yield visits[-1].page
    queries.script.clear()


def test_while_the_store_is_away_the_last_numbers_stay_with_their_time(
    looking: Page, console: str, queries: FakeQueries
) -> None:
    def away(*_arguments: Any, **_named: Any) -> Any:
        raise UnavailableError("The store does not answer.", hint="Wait.")

    looking.goto(console)
    expect(looking.locator(".dz-kpi b").first).to_have_text("14")
    queries.script["*"] = away
    alert = looking.get_by_role("alert")
    expect(alert).to_contain_text(re.compile(r"No answer since \d\d:\d\d\. The numbers are from"))
    expect(alert).to_contain_text("The store does not answer.")
    expect(looking.locator(".st-key-stale .dz-kpi b").first).to_have_text("14")
    expect(looking.locator(".dz-chip.down")).to_have_text("no answer")
    queries.script.clear()
    expect(alert).to_be_hidden()
    expect(looking.locator(".st-key-stale")).to_have_count(0)


def test_a_long_question_tells_that_it_is_counted_and_can_be_called_off(
    looking: Page, console: str, queries: FakeQueries
) -> None:
    def slow(*_arguments: Any, watch: Watch, **_named: Any) -> Any:
        for step in range(600):
            watch.progress(step / 1200)
            time.sleep(0.05)

    queries.script["lines"] = slow
    looking.goto(f"{console}/lines")
    expect(looking.locator("[data-testid=stSkeletonElement]").first).to_be_visible()
    expect(looking.get_by_text(re.compile("Still counting: .*% done"))).to_be_visible()
    looking.get_by_role("button", name="Cancel").click()
    expect(looking.get_by_text("The question was called off.")).to_be_visible()
    queries.script.clear()
    looking.get_by_role("button", name="Ask again").click()
    expect(looking.locator("[data-testid=stDataFrame]")).to_be_visible()


@pytest.mark.long
def test_a_question_that_outlasts_the_refresh_is_answered_all_the_same(
    looking: Page, console: str, queries: FakeQueries
) -> None:
    asked: list[float] = []

    def slow(*_arguments: Any, **_named: Any) -> TopList:
        asked.append(time.monotonic())
        time.sleep(7)
        return TopList((), 0, 0)

    queries.script["top"] = slow
    looking.goto(f"{console}/top?list=path")
    expect(looking.locator(".dz-table th").first).to_be_visible()
    assert len(asked) == 1


def test_an_empty_store_says_what_would_be_here_and_how_to_get_it(
    looking: Page, console: str, queries: FakeQueries
) -> None:
    queries.script["top"] = lambda *_arguments, **_named: TopList((), 0, 0)
    looking.goto(console)
    expect(looking.get_by_text("No requests in the last 24")).to_be_visible()
    expect(looking.locator("code").first).to_contain_text("dozor up --log")
