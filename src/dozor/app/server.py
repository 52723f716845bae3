"""The web application of one process: health, figures, the API of all features, and the console.

LoopbackOnly > Measured > FastAPI: /health /ready /metrics /api/v1/... and last the console at /
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp

from dozor import __version__
from dozor.infra.metrics import Measured, Metrics
from dozor.infra.problems import install
from dozor.infra.server import Asgi, Late, LoopbackOnly, Receive, Scope, Send, answer
from dozor.infra.supervisor import Status

API = "/api/v1"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PARTS = ("/api/v1/traffic", "/api", "/health", "/ready", "/metrics", "/static", "/app/static", "/_stcore")

_STARTING = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Dozor</title>
<meta http-equiv="refresh" content="1"><meta name="color-scheme" content="light dark">
<style>body{font:14px system-ui,sans-serif;display:grid;place-items:center;height:90vh}</style>
<p>Dozor is starting. &middot; Дозор запускается.</p></html>"""


@dataclass(frozen=True)
class Parts:
    """What the application is made of.

    Args:
        port: The port that requests must name in Host.
        reasons: What is not ready: part to reason, an empty text for a part that is ready.
        statuses: The services and their states.
        metrics: The process' figures.
        routers: API of the features, each with its own prefix below `API`.
        console: The console, or None.
        problems: Makes failures of the API problem details.
    """

    port: int
    reasons: Callable[[], Awaitable[Mapping[str, str]]]
    statuses: Callable[[], Sequence[Status]] = tuple
    metrics: Metrics = field(default_factory=Metrics)
    routers: Sequence[APIRouter] = ()
    console: Asgi | None = None
    problems: Callable[[FastAPI], None] = install


def create_app(parts: Parts) -> Asgi:
    """Compose the application.

    Args:
        parts: What it is made of; a test brings its own.
    """
    app = FastAPI(
        title="Dozor",
        version=__version__,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # both pages load scripts from a CDN
        redoc_url=None,
    )
    parts.problems(app)
    app.include_router(_life(parts))
    for router in parts.routers:
        app.include_router(router, prefix=API)
    unknown = _unknown(app.routes[:])
    for path in ("/api", "/api/{rest:path}"):
        app.add_api_route(path, unknown, include_in_schema=False, methods=list(_METHODS))
    if parts.console is not None:
        app.mount("/", _as_app(parts.console))
    return LoopbackOnly(Measured(app, parts.metrics, _PARTS), parts.port)


def _as_app(asgi: Asgi) -> ASGIApp:
    return asgi


def _life(parts: Parts) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.api_route("/health", methods=["GET", "HEAD"])
    async def health() -> PlainTextResponse:
        """The process is alive: its loop answers."""
        return PlainTextResponse("ok\n")

    @router.api_route("/ready", methods=["GET", "HEAD"])
    async def ready() -> JSONResponse:
        reasons = await parts.reasons()
        fine = not any(reasons.values())
        body: dict[str, Any] = {
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

    @router.get("/metrics")
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
