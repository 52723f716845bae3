"""The web application of one process: health, figures, the API of all features, and the console.

Names > Hardened > Measured > CORS > Speaking > Guard > /health /ready /metrics /api/v1/... the pages before
the console, and last the console at /
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp

from dozor import __version__
from dozor.app.docs import docs_page
from dozor.infra.admission import PUBLIC, SELF, needs
from dozor.infra.callers import CALLER, CSRF_HEADER, Caller, caller_of
from dozor.infra.guard import FALLBACK, Guard, Places, Rules
from dozor.infra.metrics import Measured, Metrics
from dozor.infra.problems import Speaking, install
from dozor.infra.server import Asgi, Hardened, Late, Names, Receive, Scope, Send, answer
from dozor.infra.supervisor import Status

API = "/api/v1"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PARTS = (
    "/api/v1/traffic",
    "/api/v1/auth",
    "/api",
    "/door",
    "/login",
    "/health",
    "/ready",
    "/metrics",
    "/static",
    "/app/static",
    "/_stcore",
)

_ABOUT = """
Everything that the console and the command line do goes through this API.

**Sign in** with `POST /api/v1/auth/login`, or make an API key (`POST /api/v1/keys`, or `dozor access key
create` on the server), and send `Authorization: Bearer TOKEN`. What a call needs stands at each route as
`x-permission`: a permission, `self` for whoever is signed in, `person` for people alone, or `public`; of
several with `|` between them any one is enough.

**Failures** are problem details (RFC 9457) in the language of `Accept-Language`: look at `type`, show
`detail` and `hint`. A refusal (401, 403) comes before anything else is looked at.

**Limits** are told by `RateLimit` and `RateLimit-Policy`; after 429 wait as long as `Retry-After` says.
"""

_TAGS = {
    "auth": "Sign in and out; one's own profile, second factor and sessions.",
    "keys": "API keys for programs.",
    "people": "Those who may sign in, and their sessions.",
    "roles": "Named sets of permissions.",
    "audit": "Who did, tried or was refused what, in a chain that cannot be changed unnoticed.",
    "traffic": "Web requests, attacks and error logs.",
    "queries": "How far a long query is, and its end.",
}

_STARTING = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Dozor</title>
<meta http-equiv="refresh" content="1"><meta name="color-scheme" content="light dark">
<style>body{font:14px system-ui,sans-serif;display:grid;place-items:center;height:90vh}</style>
<p>Dozor is starting. &middot; Дозор запускается.</p></html>"""


@dataclass(frozen=True)
class Parts:
    """What the application is made of.

    Args:
        port: The port that requests must name in Host.
        rules: What the guard goes by: who is known, what is limited.
        reasons: What is not ready: part to reason, an empty text for a part that is ready.
        statuses: The services and their states.
        metrics: The process' figures.
        routers: API of the features, each with its own prefix below `API`.
        console: The console, or None.
        door: The pages before the console, or None.
        host_names: Names, beside those of loopback, by which it may be asked.
        cors_origins: Sites whose pages may call the API.
        problems: Makes failures of the API problem details.
    """

    port: int
    rules: Rules
    reasons: Callable[[], Awaitable[Mapping[str, str]]]
    statuses: Callable[[], Sequence[Status]] = tuple
    metrics: Metrics = field(default_factory=Metrics)
    routers: Sequence[APIRouter] = ()
    console: Asgi | None = None
    door: Asgi | None = None
    host_names: Sequence[str] = ()
    cors_origins: Sequence[str] = ()
    problems: Callable[[FastAPI], None] = install


def create_app(parts: Parts) -> Asgi:
    """Compose the application.

    Args:
        parts: What it is made of; a test brings its own.
    """
    app = build_routes(parts)
    guard = Guard(_with_door(app, parts), Places(app), parts.rules)
    speaking: ASGIApp = Speaking(guard)
    if parts.cors_origins:
        speaking = _cors(speaking, parts.cors_origins)
    measured = Measured(speaking, parts.metrics, _PARTS)
    return Names(Hardened(measured, _is_secure), parts.port, parts.host_names, parts.cors_origins)


def build_routes(parts: Parts) -> FastAPI:
    """All routes, not guarded: `create_app` puts the guard before them; a test looks at what they need."""
    app = FastAPI(
        title="Dozor",
        summary="One watch over servers, the web sites on them and the Telegram bots around them.",
        description=_ABOUT,
        version=__version__,
        openapi_url=None,  # served below, to those who are signed in
        docs_url=None,  # both pages load scripts from a CDN
        redoc_url=None,
        openapi_tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        servers=[{"url": "/", "description": "This Dozor."}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        max_body_size=parts.rules.most_body,
    )
    parts.problems(app)
    app.include_router(_life(parts))
    for router in parts.routers:
        app.include_router(router, prefix=API)
    app.include_router(_documents(app))
    unknown = _unknown(app.routes[:])
    for path in ("/api", "/api/{rest:path}"):
        app.add_api_route(
            path,
            unknown,
            include_in_schema=False,
            methods=[*_METHODS, "HEAD", "OPTIONS", "TRACE"],
            openapi_extra={**needs(SELF), FALLBACK: True},
        )
    if parts.console is not None:
        app.mount("/", _as_app(parts.console))
    return app


def _as_app(asgi: Asgi) -> ASGIApp:
    return asgi


def _with_door(app: FastAPI, parts: Parts) -> Asgi:
    """The application, with the pages before the console at their addresses."""
    door = parts.door
    if door is None:
        return app

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and parts.rules.is_door(scope["path"]):
            await door(scope, receive, send)
        else:
            await app(scope, receive, send)

    return serve


def _cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Lets pages of these sites call the API by tokens; cookies of ours are not sent from there."""
    opened = CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_METHODS,
        allow_headers=("Authorization", CSRF_HEADER),
        expose_headers=("RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"),
    )

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        is_api = scope["type"] == "http" and scope["path"].startswith("/api/")
        await (opened if is_api else app)(scope, receive, send)

    return serve


def _is_secure(scope: Scope) -> bool:
    caller = scope.get(CALLER)
    return isinstance(caller, Caller) and caller.secure


def _documents(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get(f"{API}/openapi.json", openapi_extra=needs(SELF))
    async def document() -> JSONResponse:
        """What the API takes and gives (OpenAPI 3.1)."""
        return JSONResponse(app.openapi(), headers={"Cache-Control": "no-store"})

    @router.get(f"{API}/docs", openapi_extra=needs(SELF))
    async def page() -> Response:
        """The same, for people."""
        return docs_page(app.openapi())

    return router


def _life(parts: Parts) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/health", methods=["GET", "HEAD"], openapi_extra=needs(PUBLIC))
    async def health() -> PlainTextResponse:
        """The process is alive: its loop answers."""
        return PlainTextResponse("ok\n")

    @router.api_route("/ready", methods=["GET", "HEAD"], openapi_extra=needs(PUBLIC))
    async def ready(request: Request) -> JSONResponse:
        """Whether the process does its work; why not is told to this machine and those who may know."""
        reasons = await parts.reasons()
        fine = not any(reasons.values())
        caller = caller_of(request.scope)
        who = caller.principal
        if not (caller.is_local or (who is not None and who.can("system.status"))):
            body: dict[str, Any] = {"ready": fine}
            return JSONResponse(body, status_code=200 if fine else 503, headers={"Cache-Control": "no-store"})
        body = {
            "ready": fine,
            "parts": {
                name: {"ready": not reason, **({"reason": reason} if reason else {})}
                for name, reason in reasons.items()
            },
            "services": {
                status.name: {
                    "state": status.state,
                    "since": status.since.isoformat(timespec="seconds"),
                    "restarts": status.restarts,
                    **({"reason": status.reason} if status.reason else {}),
                }
                for status in parts.statuses()
            },
        }
        return JSONResponse(body, status_code=200 if fine else 503, headers={"Cache-Control": "no-store"})

    @router.get("/metrics", openapi_extra=needs("system.status"))
    def metrics() -> Response:
        return Response(parts.metrics.text(), media_type=parts.metrics.content_type)

    return router


def _unknown(known: Sequence[BaseRoute]) -> Callable[[Request], Awaitable[None]]:
    """Refuses unknown addresses and methods of the API, which the console would answer with its page."""

    async def refuse(request: Request) -> None:
        asked = request.scope
        allowed = [
            method
            for method in _METHODS
            if any(route.matches({**asked, "method": method})[0] is Match.FULL for route in known)
        ]
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
        raise HTTPException(404)

    return refuse


async def starting_page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer until the console is there: a page that asks again by itself."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1013})
        return
    await answer(send, 503, _STARTING.encode(), kind="text/html; charset=utf-8", retry_after="1")


def late_console() -> Late:
    """The place that the console takes once it is loaded."""
    return Late(starting_page)
