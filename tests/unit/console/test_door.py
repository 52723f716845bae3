"""The pages in front of the console: what they answer, in which language, under which policy."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from dozor.console.door import PAGES_OF_DOOR, POLICY, Door


def get(path: str, *, method: str = "GET", **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=Door())
        async with httpx.AsyncClient(transport=transport, base_url="http://dozor") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize("page", PAGES_OF_DOOR)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_page_speaks_the_language_that_was_asked_for_and_runs_nothing_inline(
    page: str, language: str
) -> None:
    answer = get(f"/{page}", **{"Accept-Language": language})
    assert answer.status_code == 200
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    # Data is no script; everything else comes from files.
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", answer.text, re.DOTALL)
    assert all("src=" in attributes or "application/json" in attributes for attributes, _body in scripts)
    assert not re.search(r"\son\w+=|style=|javascript:|https?://", answer.text)
    for name in re.findall(r'(?:src|href)="\./(door/[\w.-]+)', answer.text):
        assert get(f"/{name}").status_code == 200, name


def test_the_language_that_was_chosen_here_wins() -> None:
    answer = get("/login", **{"Accept-Language": "en", "Cookie": "dozor_lang=ru"})
    assert '<html lang="ru">' in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/door/none.js", 404), ("/door/../serve.py", 404), ("/door/%2e%2e/serve.py", 404), ("/people", 404)],
)
def test_nothing_else_is_served(path: str, status: int) -> None:
    assert get(path).status_code == status


def test_pages_are_only_read() -> None:
    assert get("/login", method="POST").status_code == 405
    head = get("/login", method="HEAD")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/login", True),
        ("/setup", True),
        ("/logout", True),
        ("/door/door.js", True),
        ("/", False),
        ("/logins", False),
        ("/people", False),
        ("/doors", False),
    ],
)
def test_it_says_what_it_serves(path: str, ours: Any) -> None:
    assert Door.serves(path) is ours


def test_a_file_is_packed_for_who_takes_it() -> None:
    plain = get("/door/door.css", **{"Accept-Encoding": "identity"})
    packed = get("/door/door.css", **{"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.text == plain.text
    assert "--dz-accent" in plain.text
