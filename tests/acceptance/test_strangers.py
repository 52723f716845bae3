"""A stranger at the real door: no page, file, route or WebSocket answers; then the link makes the owner."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import streamlit

from dozor.console.settings import PAGES
from tests.acceptance.running import PASSWORD, Running, running, until
from tests.contract.access.test_routes import OPEN, ROUTES, path_of

STREAMLIT = (
    "/_stcore/health",
    "/_stcore/script-health-check",
    "/_stcore/host-config",
    "/_stcore/metrics",
    "/_stcore/stream",
    "/_stcore/upload_file/a/b",
    "/_stcore/agent/interact",
    "/_stcore/agent/openapi.json",
    "/_stcore/agent/mcp",
    "/_stcore/bidi-components/a",
    "/media/a.png",
    "/component/a/index.html",
    "/auth/login",
    "/oauth2callback",
    "/healthz",
    "/preferences",
    "/app/static/console.css",
    "/app/static/world-110m.json",
)
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running("--data-dir", tmp_path_factory.mktemp("strangers")) as process:
        process.ready()
        yield process


def addresses() -> set[str]:
    """Pages of the console, files of Streamlit and whatever else it answers."""
    static = Path(streamlit.__file__).parent / "static"
    files = {f"/{file.relative_to(static)}" for file in static.rglob("*") if file.is_file()}
    assert len(files) > 50
    return {f"/{page}" for page in PAGES} | files | set(STREAMLIT)


def test_nothing_answers_a_stranger_before_and_after_the_console_is_loaded(up: Running) -> None:
    with up.client() as stranger:
        for path in sorted(addresses()):
            answer = stranger.get(path)
            assert answer.status_code == 401, (path, answer.status_code)
            assert "streamlit" not in answer.text.lower(), path
        for method, template in sorted(ROUTES.keys() - OPEN - {("GET", "/metrics")}):
            answer = stranger.request(method, path_of(template))
            assert answer.status_code == 401, (method, template, answer.status_code)
        arrow = {"Accept": "application/vnd.apache.arrow.stream"}
        assert stranger.get("/api/v1/traffic/lines", headers=arrow).status_code == 401
        for path in ("/_stcore/stream", "/api/v1/traffic/lines", "/"):
            answer = stranger.get(path, headers={**HANDSHAKE, "Origin": up.base})
            assert answer.status_code == 403, path
        assert stranger.get("/metrics").status_code == 200  # by its address: this machine's own


def test_the_link_that_was_printed_makes_the_owner_once(up: Running) -> None:
    link = until(lambda: [line.strip() for line in up.said if "/setup#" in line], f"the link: {up}")[0]
    address, _hash, token = link.partition("#")
    assert address == f"{up.base}/setup"
    with up.client() as client:
        assert client.get("/setup").status_code == 200
        body = {"token": token, "username": "anna", "password": PASSWORD}
        made = client.post("/api/v1/auth/setup", params={"console": True}, json=body)
        assert made.status_code == 200, made.text
        until(lambda: client.get("/").status_code == 200, "the console")
        script = re.search(r'src="\./(static/js/[^"]+\.js)"', client.get("/").text)
        assert script is not None
        assert client.get(f"/{script[1]}").status_code == 200
        again = client.post("/api/v1/auth/setup", json={**body, "username": "boris"})
        assert again.status_code == httpx.codes.CONFLICT
    assert token not in "\n".join(up.complained)
