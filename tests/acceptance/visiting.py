"""People in a real Chromium, for tests that look at the console as they do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.acceptance.running import OWNER, PASSWORD, Running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 20_000  # ms

needs_chromium = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.timeout(180),
]
"""Marks of a module whose tests need a browser."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that reaches nothing but loopback."""
    # Chromium refuses to sandbox itself when it runs as root, as it does in containers.
    args = ["--no-sandbox"] if os.geteuid() == 0 else []
    # Names lead nowhere. Playwright's own routes would switch the browser's cache off.
    args.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        yield browser
        browser.close()
    expect.set_options(timeout=5_000)


_CUT_OFF = "Failed to fetch dynamically imported module"


class Visit:
    """A browser of one person, kept from everything beyond loopback, with all that it complained about.

    Args:
        browser: The browser.
        dozor: The process, or the address of its console.
        language: What the browser asks for.
        scheme: Theme of the system.
        refused: Statuses that the test provokes; the browser's own complaints about them do not count.
    """

    def __init__(
        self,
        browser: Browser,
        dozor: Running | str,
        language: str = "en",
        scheme: Literal["light", "dark"] = "light",
        refused: tuple[int, ...] = (),
    ) -> None:
        self.dozor = dozor
        self.base = f"{dozor.base if isinstance(dozor, Running) else dozor}/"
        self.context = browser.new_context(
            color_scheme=scheme,
            locale={"en": "en-GB", "ru": "ru-RU"}[language],
            timezone_id="Europe/Moscow",
            viewport={"width": 1440, "height": 900},
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(PATIENCE)
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        # Streamlit looks for its server below the page's own path first: 404.
        self._refused = tuple(f"a status of {status} " for status in (404, *refused))
        self.page: Page = self.context.new_page()
        self.page.on("request", lambda request: self._look(request.url))
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._fail(str(error)))

    def signed_in(self, username: str = OWNER, password: str = PASSWORD) -> None:
        """Sign in, the short way: without the page."""
        answer = self.context.request.post(
            f"{self.base}api/v1/auth/login?console=true", data={"username": username, "password": password}
        )
        assert answer.status == 200, answer.text()

    def parameters(self) -> dict[str, list[str]]:
        """What the address of the page says."""
        return parse_qs(urlsplit(self.page.url).query)

    def _look(self, url: str) -> None:
        if not url.startswith((self.base, "data:", "blob:")):
            self.foreign.append(url)

    def _fail(self, text: str) -> None:
        # A page that is left while its parts are fetched; one that is refused tells its status as well.
        if _CUT_OFF not in text:
            self.complaints.append(text)

    def _note(self, kind: str, text: str) -> None:
        if kind == "error" and not any(status in text for status in self._refused):
            self.complaints.append(text)
