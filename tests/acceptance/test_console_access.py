"""Signing in and what each may see, in a real Chromium over a real `dozor up`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from dozor.client import Client
from dozor.kernel.i18n import _, use_language
from tests.acceptance.running import OWNER, PASSWORD, Running, access, make_owner, running, until
from tests.acceptance.visiting import Visit, needs_chromium

BORIS, CLARA = "boris", "clara"
WORDS = "four quite different words"

pytestmark = needs_chromium

New = Callable[..., Visit]


@pytest.fixture(scope="module")
def dozor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A process with an owner, an operator and a viewer."""
    folder = tmp_path_factory.mktemp("state")
    make_owner(folder)
    access("people", "add", BORIS, "--role", "operator", "--password-stdin", folder=folder, typed=WORDS)
    access("people", "add", CLARA, "--role", "viewer", "--password-stdin", folder=folder, typed=WORDS)
    with running("--data-dir", folder) as up:
        with_console(up)
        yield up


@pytest.fixture
def new(visits: list[Visit], browser: Browser, dozor: Running) -> New:
    """Makes a visit to that process."""

    def make(up: Running = dozor, language: str = "en", refused: tuple[int, ...] = ()) -> Visit:
        visits.append(Visit(browser, up, language, refused=refused))
        return visits[-1]

    return make


def with_console(up: Running) -> None:
    """Wait until the console is loaded, which takes longer than all the rest."""
    up.ready()
    with up.visitor() as visitor:
        until(lambda: 'id="root"' in visitor.get("/").text, "the console")


def sign_in(page: Page, username: str, password: str) -> None:
    """Type name and password, and send them."""
    page.get_by_label("Name", exact=True).fill(username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def in_console(page: Page, title: str) -> None:
    """Wait until a page of the console is there."""
    expect(page.locator("h1")).to_have_text(title)
    expect(page.locator(".st-key-account")).to_be_visible()


def code(secret: str, steps: int = 0) -> str:
    """The code that the app shows now, or shows next: one that was used is good no more."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


def set_up(page: Page, link: str) -> tuple[str, list[str]]:
    """Follow the set-up link to its end; returns the secret of the second factor and the recovery codes."""
    page.goto(link)
    type_owner(page, OWNER, "something else")
    expect(page.get_by_role("alert")).to_contain_text("The two passwords differ.")
    type_owner(page, OWNER, PASSWORD)

    expect(page.locator("#key")).not_to_be_empty()
    assert "#" not in page.url  # the token is spent and gone
    assert page.locator("#qr").evaluate("one => one.naturalWidth") > 0
    secret = page.locator("#key").inner_text().replace(" ", "")
    page.get_by_label("The code that the app shows").fill("000000")
    page.get_by_role("button", name="Confirm the code").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("The code that the app shows").fill(code(secret))
    page.get_by_role("button", name="Confirm the code").click()

    expect(page.locator("#list li")).to_have_count(10)
    kept = page.locator("#list li").all_inner_texts()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as a file").click()
    written = Path(download.value.path()).read_text().splitlines()
    assert written[0].startswith(f"Recovery codes of {OWNER} for Dozor at 127.0.0.1:")
    assert [line for line in written if line in kept] == kept
    expect(page.get_by_role("button", name="Open the console")).to_be_disabled()
    page.get_by_label("I have put them").check()
    page.get_by_role("button", name="Open the console").click()
    return secret, kept


def type_owner(page: Page, username: str, again: str) -> None:
    """Type the owner's name and password, and send them."""
    page.get_by_label("Name", exact=True).fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The password once more").fill(again)
    page.get_by_role("button", name="Make the owner").click()


def send_code(page: Page, typed: str) -> None:
    """Type a code of the second factor, and send it."""
    page.get_by_label("Code", exact=True).fill(typed)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_the_set_up_link_makes_the_owner_enrols_the_second_factor_and_leads_to_the_console(
    visits: list[Visit], browser: Browser, tmp_path: Path
) -> None:
    with running("--data-dir", tmp_path) as up:
        link = until(lambda: re.search(r"http://127\.0\.0\.1:\d+/setup#\S+", str(up)), "a set-up link")[0]
        visit = Visit(browser, up, refused=(401, 403, 409, 422))
        visits.append(visit)
        page = visit.page
        secret, kept = set_up(page, link)
        in_console(page, "Overview")

        # The link is good once.
        visit.context.clear_cookies()
        page.goto("about:blank")
        page.goto(link)
        type_owner(page, "mallory", PASSWORD)
        expect(page.get_by_role("heading", name="This link does not work")).to_be_visible()

        # From now on a code is asked for, and a recovery code will do, once.
        page.goto(f"{visit.base}lines?range=1h")
        expect(page).to_have_url(re.compile(r"/login\?next="))
        sign_in(page, OWNER, PASSWORD)
        expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
        send_code(page, kept[0])
        in_console(page, "Lines")
        assert visit.parameters() == {"range": ["1h"]}
        visit.context.clear_cookies()
        page.goto(f"{visit.base}login")
        sign_in(page, OWNER, PASSWORD)
        send_code(page, kept[0])
        expect(page.get_by_role("alert")).to_contain_text("wrong")
        send_code(page, code(secret, 1))
        in_console(page, "Overview")


def test_a_wrong_password_is_told_and_the_right_one_leads_to_where_one_wanted_to_go(new: New) -> None:
    visit = new(refused=(401,))
    page = visit.page
    page.goto(f"{visit.base}people")
    assert visit.parameters() == {"next": ["/people"]}
    sign_in(page, OWNER, "nonsense")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The name, the password or the code is wrong.")
    told = alert.text_content() or ""
    sign_in(page, "nobody", "nonsense")
    expect(alert).to_have_text(told)  # whoever is unknown is told the same
    sign_in(page, OWNER, PASSWORD)
    in_console(page, "People and roles")
    assert page.url == f"{visit.base}people"


@pytest.mark.parametrize(
    "wish", ["https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)", "/logout"]
)
def test_nobody_is_led_elsewhere_after_signing_in(new: New, wish: str) -> None:
    visit = new()
    visit.page.goto(f"{visit.base}login?{httpx.QueryParams({'next': wish})}")
    sign_in(visit.page, CLARA, WORDS)
    in_console(visit.page, "Overview")
    assert visit.page.url == visit.base


def test_after_too_many_failures_the_time_left_is_told(
    visits: list[Visit], browser: Browser, tmp_path: Path
) -> None:
    make_owner(tmp_path)
    with running("--data-dir", tmp_path, DOZOR_LIMITS__ENABLED="true") as up:
        visit = Visit(browser, up, refused=(401, 429))
        visits.append(visit)
        with up.client() as guesser:
            typed = {"username": OWNER, "password": "nonsense"}
            answers = [guesser.post("/api/v1/auth/login", json=typed).status_code for _try in range(5)]
        assert answers == [401] * 5
        page = visit.page
        page.goto(f"{visit.base}login")
        sign_in(page, OWNER, PASSWORD)
        expect(page.get_by_role("alert")).to_contain_text("Too many failed attempts.")
        expect(page.get_by_role("alert")).to_contain_text(re.compile(r"Try again in 1[45] min\."))
        expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_disabled()


def test_the_login_page_speaks_russian_and_remembers_a_choice(new: New) -> None:
    visit = new(language="ru")
    page = visit.page
    page.goto(f"{visit.base}login")
    with use_language("ru"):
        expect(page.locator("h1")).to_have_text(_("Sign in"))
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).to_have_text("Sign in")
    page.get_by_role("button", name="Dark", exact=True).click()
    expect(page.locator("body")).to_have_css("background-color", "rgb(18, 23, 29)")
    sign_in(page, CLARA, WORDS)
    in_console(page, "Overview")
    expect(page.locator(".stApp")).to_have_css("background-color", "rgb(18, 23, 29)")
    # The choice belongs to the person: another browser takes it over.
    other = new(language="ru")
    other.page.goto(f"{other.base}login")
    other.page.locator("#username").fill(CLARA)
    other.page.locator("#password").fill(WORDS)
    other.page.locator("button[type=submit]").click()
    in_console(other.page, "Overview")


def test_a_viewer_sees_no_people_and_no_audit_trail(new: New) -> None:
    visit = new()
    visit.signed_in(CLARA, WORDS)
    page = visit.page
    page.goto(visit.base)
    in_console(page, "Overview")
    sections = page.locator("[data-testid=stTopNavSection]")
    expect(sections).to_have_text(["Traffic"])
    for path, permission, asked in (
        ("people", "people.read", "people"),
        ("sessions", "sessions.read", "people/p_1/sessions"),
        ("keys", "keys.read", "keys?all=true"),
        ("audit", "audit.read", "audit"),
    ):
        page.goto(f"{visit.base}{path}")
        expect(page.get_by_text("This page is not for your role.")).to_be_visible()
        expect(page.get_by_text(f"It needs the permission {permission}.")).to_be_visible()
        assert visit.context.request.get(f"{visit.base}api/v1/{asked}").status == 403
    page.goto(f"{visit.base}profile")
    expect(page.get_by_role("heading", name="Your sessions")).to_be_visible()


def test_the_owner_sees_all(new: New) -> None:
    visit = new()
    visit.signed_in()
    visit.page.goto(visit.base)
    in_console(visit.page, "Overview")
    expect(visit.page.locator("[data-testid=stTopNavSection]")).to_have_text(["Traffic", "People"])


@pytest.mark.parametrize(("path", "title"), [("lines", "Lines"), ("profile", "Profile")])
def test_a_session_that_is_ended_shows_nothing_any_more_in_an_open_tab(
    new: New, dozor: Running, path: str, title: str
) -> None:
    visit = new(refused=(401, 403))
    visit.signed_in(BORIS, WORDS)
    page = visit.page
    page.goto(f"{visit.base}{path}")
    in_console(page, title)
    page.wait_for_load_state("networkidle")  # what comes late would be refused, and the browser complain
    with Client(dozor.base, token=dozor.key) as admin:
        boris = next(one for one in admin.access.people() if one.username == BORIS)
        admin.access.end_sessions_of(boris.id)
    expect(page.get_by_text("Signed out")).to_be_visible()
    expect(page.locator("[data-testid=stTopNavSection]")).to_have_count(0)
    expect(page.locator(".st-key-account")).to_have_count(0)
    page.get_by_role("link", name="Sign in again").click()
    page.wait_for_url("**/login?**")
    assert visit.parameters() == {"next": [path]}
    sign_in(page, BORIS, WORDS)
    in_console(page, title)


def test_signing_out_ends_the_session(new: New, dozor: Running) -> None:
    visit = new(refused=(401,))
    visit.signed_in(BORIS, WORDS)
    page = visit.page
    page.goto(visit.base)
    in_console(page, "Overview")
    cookies = {one["name"]: one["value"] for one in visit.context.cookies()}
    page.locator(".st-key-account button").first.click()
    page.get_by_role("link", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.goto(visit.base)
    expect(page).to_have_url(re.compile("/login"))
    with dozor.client() as thief:
        answer = thief.get("/api/v1/auth/me", headers={"Cookie": f"dozor_session={cookies['dozor_session']}"})
    assert answer.status_code == 401


def test_a_link_of_another_site_signs_nobody_out(new: New) -> None:
    visit = new()
    visit.signed_in(CLARA, WORDS)
    visit.page.goto(f"{visit.base}logout", referer="http://evil.example/")
    expect(visit.page.get_by_role("button", name="Sign out")).to_be_visible()
    assert visit.context.request.get(f"{visit.base}api/v1/auth/me").status == 200
    visit.page.get_by_role("button", name="Sign out").click()
    expect(visit.page.get_by_text("You are signed out.")).to_be_visible()
    assert visit.context.request.get(f"{visit.base}api/v1/auth/me").status == 401


def test_people_are_added_changed_and_removed(new: New, dozor: Running) -> None:
    visit = new()
    visit.signed_in()
    page = visit.page
    page.goto(f"{visit.base}people")
    in_console(page, "People and roles")
    page.get_by_role("button", name="Add a person").click()
    page.get_by_label("Name to sign in with").fill("dora")
    page.get_by_label("First password").fill("short")
    page.get_by_role("button", name="Add the person").click()
    expect(page.get_by_role("alert").filter(has_text="password")).to_be_visible()
    page.get_by_label("First password").fill(WORDS)
    page.get_by_role("button", name="Add the person").click()
    people = page.locator(".st-key-card-people")
    expect(people.get_by_text("dora", exact=True)).to_be_visible()

    page.goto(f"{visit.base}people?person=dora")
    card = page.locator(".st-key-card-person")
    card.get_by_label("Name as it is shown").fill("Дора **<b>**")
    card.get_by_role("button", name="Save the changes").click()
    expect(people.get_by_text("Дора **<b>**")).to_be_visible()
    card.get_by_role("button", name="Disable").click()
    expect(people.get_by_text("disabled")).to_be_visible()
    with dozor.client() as client:
        typed = {"username": "dora", "password": WORDS}
        assert client.post("/api/v1/auth/login", json=typed).status_code == 401

    card.get_by_role("button", name="Remove").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Remove the person")).to_be_disabled()
    dialog.get_by_role("textbox").fill("dora")
    dialog.get_by_role("textbox").press("Enter")
    dialog.get_by_role("button", name="Remove the person").click()
    expect(people.get_by_text("dora", exact=True)).to_have_count(0)


def test_a_role_is_made_and_removed(new: New, dozor: Running) -> None:
    visit = new()
    visit.signed_in()
    page = visit.page
    page.goto(f"{visit.base}people")
    page.get_by_role("button", name="Add a role").click()
    page.get_by_placeholder("analyst").fill("analyst")
    page.get_by_role("combobox", name=re.compile("May")).fill("traffic.read")
    page.get_by_role("option", name=re.compile("traffic.read")).click()
    page.get_by_role("button", name="Add the role").click()
    roles = page.locator(".st-key-card-roles")
    expect(roles.get_by_text("analyst", exact=True)).to_be_visible()
    with Client(dozor.base, token=dozor.key) as admin:
        made = next(one for one in admin.access.roles() if one.name == "analyst")
    assert made.permissions == ("traffic.read",)
    roles.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove the role").click()
    expect(roles.get_by_text("analyst", exact=True)).to_have_count(0)


def test_an_api_key_is_shown_once_works_and_is_revoked(new: New, dozor: Running) -> None:
    visit = new()
    visit.signed_in(CLARA, WORDS)
    page = visit.page
    page.goto(f"{visit.base}profile")
    page.get_by_role("button", name="Make an API key").click()
    page.get_by_placeholder("grafana").fill("night *export*")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator(".st-key-secret code").inner_text().strip()
    assert secret.startswith("dz_")
    with Client(dozor.base, token=secret) as program:
        assert program.access.me().kind == "key"
    page.get_by_role("button", name="I have kept it").click()
    expect(page.locator(".st-key-secret")).to_have_count(0)
    assert secret not in page.content()
    keys = page.locator(".st-key-card-keys")
    expect(keys.get_by_text("night *export*")).to_be_visible()
    keys.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke the key").click()
    expect(keys.get_by_text("No API keys.")).to_be_visible()
    with dozor.client(Authorization=f"Bearer {secret}") as program:
        until(lambda: program.get("/api/v1/auth/me").status_code == 401, "the end of the key", patience=5)


def test_a_second_factor_is_added_and_taken_away_in_the_profile(new: New, dozor: Running) -> None:
    visit = new()
    visit.signed_in(BORIS, WORDS)
    page = visit.page
    page.goto(f"{visit.base}profile")
    card = page.locator(".st-key-card-factor")
    card.get_by_role("button", name="Add a second factor").click()
    secret = card.locator("code").inner_text().replace(" ", "").strip()
    assert card.locator("img").evaluate("one => one.naturalWidth") > 0
    card.get_by_label("The code that the app shows").fill(code(secret))
    card.get_by_role("button", name="Confirm the code").click()
    expect(card.get_by_text("Your recovery codes")).to_be_visible()
    kept = card.locator("code").inner_text().split()
    assert len(kept) == 10
    card.get_by_role("button", name="I have kept it").click()
    expect(card.get_by_text("10 recovery codes are left.")).to_be_visible()
    with Client(dozor.base, username=BORIS, password=WORDS, totp=kept[0]) as client:
        assert client.access.me().totp_enabled
    card.get_by_label("Your password").fill("nonsense")
    card.get_by_role("button", name="Take the second factor away").click()
    expect(card.get_by_role("alert")).to_contain_text("wrong")
    card.get_by_label("Your password").fill(WORDS)
    card.get_by_role("button", name="Take the second factor away").click()
    expect(card.get_by_text("There is none.")).to_be_visible()


def test_the_own_password_is_changed_and_other_sessions_end(new: New, dozor: Running) -> None:
    visit = new()
    visit.signed_in(BORIS, WORDS)
    with Client(dozor.base, username=BORIS, password=WORDS) as other:
        other.access.me()
    page = visit.page
    page.goto(f"{visit.base}profile")
    card = page.locator(".st-key-card-password")
    for label, typed in (
        ("Password so far", WORDS),
        ("New password", f"{WORDS}, anew"),
        ("The new password once more", f"{WORDS}, anew"),
    ):
        card.get_by_label(label, exact=True).fill(typed)
    card.get_by_role("button", name="Change the password").click()
    expect(page.get_by_text("The password is changed.")).to_be_visible()
    expect(page.locator(".st-key-card-sessions .dz-cells:not(.head)")).to_have_count(1)
    with Client(dozor.base, token=dozor.key) as admin:
        boris = next(one for one in admin.access.people() if one.username == BORIS)
        admin.access.change_person(boris.id, password=WORDS)


def test_sessions_of_others_are_ended_on_their_page(new: New, dozor: Running) -> None:
    with Client(
        dozor.base, username=CLARA, password=WORDS, headers={"User-Agent": "night-job/1.0"}
    ) as program:
        program.access.me()
        visit = new()
        visit.signed_in()
        page = visit.page
        page.goto(f"{visit.base}sessions")
        row = page.locator("[class*=st-key-row-]", has_text="night-job/1.0")
        row.get_by_role("button", name="End").click()
        expect(row).to_have_count(0)
        assert not [
            one
            for one in visit.context.request.get(f"{visit.base}api/v1/auth/sessions").json()["items"]
            if one["agent"] == "night-job/1.0"
        ]


def test_refusals_are_found_in_the_audit_trail_and_it_is_exported(new: New, dozor: Running) -> None:
    with (
        Client(dozor.base, username=CLARA, password=WORDS) as viewer,
        pytest.raises(Exception, match="people"),
    ):
        viewer.access.people()
    visit = new()
    visit.signed_in()
    page = visit.page
    page.goto(f"{visit.base}audit")
    in_console(page, "Audit trail")
    expect(page.locator(".dz-chip.live", has_text="chain is whole")).to_be_visible()
    table = page.locator(".st-key-card-audit .dz-table tbody tr")
    expect(table.first).to_be_visible()
    page.get_by_role("radio", name="refused").click()
    expect(table.filter(has_text="done")).to_have_count(0)
    expect(table.filter(has_text="GET /api/v1/people").first).to_contain_text(CLARA)
    assert visit.parameters()["result"] == ["refused"]
    href = page.get_by_role("link", name="export as CSV").get_attribute("href")
    assert href
    exported = visit.context.request.get(f"{visit.base}{href}")
    assert exported.status == 200
    lines = exported.text().splitlines()
    assert len(lines) > 1
    assert all("refused" in line for line in lines[1:])


def test_names_and_agents_of_strangers_are_taken_for_text(new: New, dozor: Running) -> None:
    hostile = "<img/src=x/onerror=window.pwned=1>[a](http://evil.example)"
    with dozor.client(**{"User-Agent": hostile}) as stranger:
        typed = {"username": hostile, "password": "x"}
        assert stranger.post("/api/v1/auth/login", json=typed).status_code == 401
    for language in ("en", "ru"):
        visit = new(language=language)
        visit.signed_in()
        page = visit.page
        with use_language(language):
            titles = {
                "people": _("People and roles"),
                "sessions": _("Sessions"),
                "keys": _("API keys"),
                "profile": _("Profile"),
                "audit": _("Audit trail"),
            }
        for path, heading in titles.items():
            page.goto(f"{visit.base}{path}")
            in_console(page, heading)
            expect(page.locator("[class*=st-key-card]").first).to_be_visible()
        expect(page.get_by_text(hostile).first).to_be_visible()
        assert page.locator("[href^='http://evil'], .stApp [src=x], [onerror]").count() == 0
        assert page.evaluate("window.pwned") is None
