from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from dozor.app.server import Parts, create_app, late_console
from dozor.infra.admission import SELF, LimitsSettings, needs
from dozor.infra.callers import Caller, Callers
from dozor.infra.guard import Rules
from dozor.infra.limits import Counters, Limits
from dozor.infra.supervisor import State, Status

KEY = "the-key-of-somebody-who-may-do-everything"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BASE = "http://127.0.0.1:5000"


class Somebody:
    """Who may do everything."""

    username, kind, session_id, session_kind, key_id = "anna", "key", None, None, "1"

    def can(self, _permission: str) -> bool:
        return True


class OneKey:
    """Knows one key and admits all."""

    async def bearer(self, token: str) -> Any:
        return Somebody() if token == KEY else None

    async def console(self, cookie: str) -> Any:
        return Somebody() if cookie == KEY else None

    async def admits(self, _caller: Caller) -> bool:
        return True

    async def refused(self, _why: str, _caller: Caller, _action: str, _permission: str = "") -> None:
        return None


class NoTokens:
    """No page has a token."""

    def holds(self, _session_id: str, _token: str) -> bool:
        return False


def rules() -> Rules:
    limits = Limits(LimitsSettings(), Counters())
    return Rules(keeper=OneKey(), limits=limits, callers=Callers(), csrf=NoTokens())


def parts(reasons: Mapping[str, str] | None = None, **changed: Any) -> Parts:
    async def ask() -> Mapping[str, str]:
        return reasons or {}

    return Parts(**{"port": 5000, "rules": rules(), "reasons": ask, "console": late_console(), **changed})


def get(path: str, asked: Parts, method: str = "GET", *, language: str = "en") -> httpx.Response:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(asked))
        headers = {
            "Authorization": f"Bearer {KEY}",
            "Cookie": f"dozor_session={KEY}",
            "Accept-Language": language,
        }
        async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as client:
            return await client.request(method, path)

    return asyncio.run(main())


def test_a_process_that_answers_is_alive_even_when_it_is_not_ready() -> None:
    answer = get("/health", parts({"store": "Away."}))
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_it_is_ready_when_no_part_has_a_reason_against_it() -> None:
    status = Status("ingest", State.RUNNING, NOON)
    answer = get("/ready", parts({"store": "", "a.log": ""}, statuses=lambda: (status,)))
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "parts": {"store": {"ready": True}, "a.log": {"ready": True}},
        "services": {"ingest": {"state": "running", "since": "2026-11-24T12:00:00+00:00", "restarts": 0}},
    }


def test_what_is_not_ready_is_named_with_its_reason() -> None:
    status = Status("ingest", State.RESTARTING, NOON, "Away.", 3)
    answer = get("/ready", parts({"store": "Away.", "a.log": ""}, statuses=lambda: (status,)))
    assert answer.status_code == 503
    body = answer.json()
    assert body["ready"] is False
    assert body["parts"] == {"store": {"ready": False, "reason": "Away."}, "a.log": {"ready": True}}
    assert body["services"]["ingest"]["state"] == "restarting"
    assert body["services"]["ingest"]["reason"] == "Away."


def test_figures_have_the_names_that_prometheus_expects() -> None:
    answer = get("/metrics", parts())
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for name in ("process_resident_memory_bytes", "python_info", "dozor_http_request_duration_seconds"):
        assert f"\n# TYPE {name} " in "\n" + answer.text


def test_a_feature_s_api_stands_below_its_prefix() -> None:
    router = APIRouter(prefix="/traffic")

    @router.get("/summary", openapi_extra=needs(SELF))
    async def summary() -> dict[str, int]:
        return {"requests": 3}

    assert get("/api/v1/traffic/summary", parts(routers=(router,))).json() == {"requests": 3}


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api", "/api/v2/traffic/summary"])
def test_an_unknown_address_of_the_api_is_not_the_console(path: str) -> None:
    answer = get(path, parts())
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_another_method_of_a_known_address_is_not_the_consoles_either(method: str) -> None:
    router = APIRouter(prefix="/things")

    @router.get("/{id}", openapi_extra=needs(SELF))
    async def thing(id: str) -> str:  # noqa: A002
        return id

    answer = get("/api/v1/things/7", parts(routers=(router,)), method)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.headers["content-type"] == "application/problem+json"
    assert get("/api/v1/nothing", parts(routers=(router,)), method).status_code == 404


@pytest.mark.parametrize(("language", "title"), [("en", "Dozor made a mistake."), ("ru", "Dozor ошибся.")])
def test_a_mistake_of_ours_is_a_problem_as_well_in_the_callers_language(
    language: str, title: str, caplog: pytest.LogCaptureFixture
) -> None:
    router = APIRouter(prefix="/things")

    @router.get("", openapi_extra=needs(SELF))
    async def things() -> None:
        raise OverflowError("date value out of range")

    answer = get("/api/v1/things", parts(routers=(router,)), language=language)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert (answer.json()["title"], answer.headers["content-language"]) == (title, language)
    assert caplog.text.count("failed by a mistake") == 1
    assert answer.json()["id"] in caplog.text


def test_the_console_asks_for_patience_while_it_is_loaded() -> None:
    answer = get("/", parts())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "Dozor is starting" in answer.text


def test_the_document_of_the_api_is_served_without_any_page_of_a_cdn() -> None:
    assert get("/api/v1/openapi.json", parts()).json()["info"]["title"] == "Dozor"
    assert get("/docs", parts()).status_code == 503  # the console's, not FastAPI's


def test_the_page_about_the_api_is_whole_and_runs_no_script() -> None:
    router = APIRouter(prefix="/traffic", tags=["traffic"])

    @router.get("/<b>summary", operation_id="summary", openapi_extra=needs("traffic.read"))
    async def summary(since: str = "") -> dict[str, int]:
        """All that `dozor report` says."""
        return {since: 3}

    answer = get("/api/v1/docs", parts(routers=(router,)))
    assert answer.status_code == 200
    assert "All that <code>dozor report</code> says." in answer.text
    assert "/api/v1/traffic/&lt;b&gt;summary" in answer.text
    assert "traffic.read" in answer.text
    assert "<script" not in answer.text
    assert "http://" not in answer.text.replace("http://127.0.0.1:5000", "")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
