"""Every route of the application is refused to strangers, and allowed to whom it says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fastapi import APIRouter

from dozor.app.server import build_routes, create_app
from dozor.features.access.model import BUILTIN_ROLES, COMMAND_LINE, PERMISSIONS, AuditFilter, allows
from dozor.infra.admission import PERSON, PUBLIC, SELF
from dozor.infra.guard import Places
from tests.contract.access.site import CONSOLE_SECRET, Site, visit
from tests.unit.access.world import HOME, PASSWORD

OPEN = {
    ("GET", "/health"),
    ("HEAD", "/health"),
    ("GET", "/ready"),
    ("HEAD", "/ready"),
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/auth/setup"),
}
"""The exceptions: what a stranger may ask. Whoever adds one here lets the world in."""

DOOR = ("/login", "/setup", "/logout", "/door/door.css", "/door/login.js")

CONSOLE = (
    "/",
    "/top",
    "/people",
    "/preferences",
    "/static/js/index.js",
    "/static/../api/v1/people",
    "/app/static/mark.svg",
    "/app/static/world-110m.json",
    "/_stcore/health",
    "/_stcore/host-config",
    "/_stcore/upload_file/a/b",
    "/media/abc.png",
    "/component/x/index.html",
    "/favicon.ico",
    "/docs",
    "/openapi.json",
    "/Health",
    "/health/",
    "//health",
    "/api",
    "/api/",
    "/api/v1",
    "/api/v1/nothing",
    "/api/v2/people",
    "/API/v1/people",
    "/api/v1/people/",
    "/api/v1//people",
)


def all_routes() -> dict[tuple[str, str], tuple[str, ...]]:
    """Method and template of each route of the application, and what it needs."""
    site = Site()
    site.pool.close()
    return Places(build_routes(site.parts)).routes()


ROUTES = all_routes()


def path_of(template: str) -> str:
    """An address that the template fits."""
    return re.sub(
        r"\{[^}]+\}", lambda match: "nosuch" if match[0] == "{name}" else "0123456789abcdef", template
    )


def test_there_are_the_routes_that_this_walks_over() -> None:
    paths = {path for _method, path in ROUTES}
    for part in ("traffic/lines/{id:path}", "queries/{id}", "auth/me", "people/{id}", "audit", "docs"):
        assert f"/api/v1/{part}" in paths


def test_every_route_says_what_it_needs_and_only_the_listed_ones_are_open() -> None:
    assert {route for route, need in ROUTES.items() if not need} == set()
    assert {route for route, need in ROUTES.items() if need == (PUBLIC,)} == OPEN
    known = {SELF, PERSON, PUBLIC, *PERMISSIONS}
    assert {need for needs in ROUTES.values() for need in needs} <= known


def test_a_stranger_is_refused_everywhere() -> None:
    async def story(site: Site) -> None:
        async with site.client(address="203.0.113.9") as stranger:
            for method, template in sorted(ROUTES.keys() - OPEN):
                answer = await stranger.request(method, path_of(template))
                assert answer.status_code == 401, (method, template, answer.status_code)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.headers["content-type"] == "application/problem+json"
            for path in CONSOLE:
                for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
                    answer = await stranger.request(method, path)
                    assert answer.status_code == 401, (method, path, answer.status_code)

    visit(story)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Bearer dz_0123456789ab_nonsense"},
        {"Authorization": "Basic YW5uYTphbm5h"},
        {"Authorization": ""},
        {"Cookie": "dozor_session=dzs_nonsense; dozor_access=nonsense"},
        {"Cookie": "dozor_session="},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Dozor-Console": "nonsense", "X-Forwarded-For": "127.0.0.1"},
        {"X-Dozor-Console": CONSOLE_SECRET, "X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
    ],
    ids=",".join,
)
def test_what_looks_like_a_sign_in_is_none(headers: dict[str, str]) -> None:
    async def story(site: Site) -> None:
        async with site.client(address="203.0.113.9") as stranger:
            for method, template in sorted(ROUTES.keys() - OPEN):
                answer = await stranger.request(method, path_of(template), headers=headers)
                assert answer.status_code == 401, (method, template, answer.status_code)
            for path in CONSOLE:
                assert (await stranger.get(path, headers=headers)).status_code == 401, path

    visit(story)


def test_a_page_leads_to_the_sign_in_and_back() -> None:
    async def story(site: Site) -> None:
        async with site.client() as stranger:
            answer = await stranger.get("/top?since=24h", headers={"Accept": "text/html"})
            assert (answer.status_code, answer.headers["location"]) == (
                302,
                "/login?next=%2Ftop%3Fsince%3D24h",
            )
            answer = await stranger.get("/api/v1/docs", headers={"Accept": "text/html"})
            assert answer.headers["location"] == "/login?next=%2Fapi%2Fv1%2Fdocs"
            for path in DOOR:
                assert (await stranger.get(path)).status_code == 200, path

    visit(story)


def test_the_console_takes_its_own_session_alone() -> None:
    async def story(site: Site) -> None:
        token = await site.token("owner")
        key = await site.key()
        granted = await site.world.access.signin.login("anna", PASSWORD, HOME, kind="console")
        for bearer in (token, key):
            async with site.client(bearer) as other:
                assert (await other.get("/")).status_code == 401
                other.cookies.set("dozor_access", bearer)
                assert (await other.get("/static/js/index.js")).status_code == 401
        async with site.client() as visitor:
            visitor.cookies.set("dozor_session", granted.console_token)
            assert (await visitor.get("/")).text == "the console"
            assert (await visitor.get("/static/js/index.js")).status_code == 200
            assert (await visitor.get("/api/v1/auth/me")).status_code == 200

    visit(story)


def test_the_websocket_needs_the_session_of_the_console() -> None:
    async def story(site: Site) -> None:
        token = await site.token("owner")
        granted = await site.world.access.signin.login("anna", PASSWORD, HOME, kind="console")
        good = f"dozor_session={granted.console_token}"
        refused = {"type": "websocket.close", "code": 1008, "reason": "Sign in first."}
        for cookie in ("", "dozor_session=dzs_x", f"dozor_access={token}", f"dozor_session={token}"):
            for path in ("/_stcore/stream", "/anything", "/api/v1/people", "/login"):
                assert await site.websocket(path, cookie) == refused, (path, cookie)
        assert (await site.websocket("/_stcore/stream", good))["type"] == "websocket.accept"
        assert (await site.websocket("/_stcore/stream", good, host="evil.example"))["code"] == 1008
        await site.world.access.sessions.end_own(
            await site.world.access.signin.authenticate_console(granted.console_token),
            HOME,
            granted.session.id,
        )
        assert await site.websocket("/_stcore/stream", good) == refused

    visit(story)


# Who may call what

WHO = ("admin", "operator", "viewer", "auditor", "key: viewer", "key: admin", "key: audit.read")


@pytest.mark.parametrize("who", WHO)
def test_each_role_reaches_what_it_may_and_nothing_else(who: str) -> None:
    async def story(site: Site) -> None:
        await site.token("owner")
        access = site.world.access
        token, permissions, is_key = await _signed(site, who)
        for (method, template), needs in sorted(ROUTES.items()):
            if template == "/api/v1/auth/logout":
                continue  # it would end the session that asks
            allowed = any(
                need in {SELF, PUBLIC} or (not is_key if need == PERSON else allows(permissions, need))
                for need in needs
            )
            # A body that is no JSON, so that nothing is changed: refusals come before it is looked at.
            async with site.client(token) as client:
                answer = await client.request(
                    method, path_of(template), content=b"{", headers={"Content-Type": "application/json"}
                )
            told = (who, method, template, needs, answer.status_code, answer.text[:200])
            if allowed:
                assert answer.status_code != 403, told
                assert answer.status_code != 401 or needs == (PUBLIC,), told
            else:
                assert answer.status_code == 403, told
                assert answer.json()["type"] == "urn:dozor:problem:forbidden"
        records = await access.ledger.search(AuditFilter(event="permission_denied"))
        assert (not records.records) == (who == "admin")

    visit(story)


async def _signed(site: Site, who: str) -> tuple[str, tuple[str, ...], bool]:
    """A token, what it may do, and whether it is a key."""
    if who.startswith("key: "):
        what = who.removeprefix("key: ")
        if what in BUILTIN_ROLES:
            return await site.key(what), BUILTIN_ROLES[what].permissions, True
        return await site.key("admin", (what,)), (what,), True
    if who in BUILTIN_ROLES:
        return await site.token(who), BUILTIN_ROLES[who].permissions, False
    permissions = ("audit.read", "people.*")
    await site.world.access.roles.create(COMMAND_LINE, HOME, who, permissions)
    return await site.token(who), permissions, False


def test_another_method_is_refused_before_it_is_told_that_it_does_not_exist() -> None:
    async def story(site: Site) -> None:
        await site.token("owner")
        async with site.client(await site.token("viewer")) as viewer:
            assert (await viewer.put("/api/v1/people")).status_code == 403
            assert (await viewer.put("/api/v1/traffic/summary")).status_code == 405
            assert (await viewer.get("/api/v1/people/unknown")).status_code == 403
            assert (await viewer.post("/api/v1/people", json={"no": 1})).status_code == 403
            assert (await viewer.get("/api/v1/nothing")).status_code == 404
        async with site.client(await site.token("admin")) as admin:
            answer = await admin.put("/api/v1/people")
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
            assert (await admin.get("/api/v1/people/unknown")).status_code == 404

    visit(story)


def test_an_address_that_a_route_takes_as_its_own_needs_what_the_route_needs() -> None:
    """Patterns of routes end in `$`, which a line break at the end of an address fits as well."""

    async def story(site: Site) -> None:
        await site.token("owner")
        async with site.client(await site.key("viewer")) as viewer:
            viewer_may = BUILTIN_ROLES["viewer"].permissions
            for (method, template), needs in sorted(ROUTES.items()):
                if any(need in {SELF, PUBLIC} or allows(viewer_may, need) for need in needs):
                    continue
                answer = await viewer.request(method, f"{path_of(template)}%0A")
                assert answer.status_code == 403, (method, template, answer.status_code)

    visit(story)


def test_a_route_that_says_nothing_is_refused_to_the_owner_too() -> None:
    forgotten = APIRouter()

    @forgotten.get("/forgotten")
    async def nothing() -> str:
        return "secret"

    async def story(site: Site) -> None:
        token = await site.token("owner")
        site.app = create_app(replace(site.parts, routers=(*site.parts.routers, forgotten)))
        async with site.client() as stranger:
            assert (await stranger.get("/api/v1/forgotten")).status_code == 401
        async with site.client(token) as owner:
            assert (await owner.get("/api/v1/forgotten")).status_code == 403

    visit(story)
