"""The guard before the application: who asks, may they, do they ask too often.

    who asks (401) > is it really them (CSRF, 403) > may they (403) > too often (429) > the application

so that a refusal comes before 404, 405, 415 and 422 could tell a stranger anything. A route says what it
needs in one place, `openapi_extra=needs("traffic.read")`; the guard enforces it, the OpenAPI document tells
it, and the tests walk over it. A route that says nothing is refused to everybody. What is no route of the
application (the console, its files, its WebSocket) needs a session of the console.

Sources: RFC 6750 (Bearer), RFC 6585 (429), RFC 9110 section 11 (401), OWASP Cross-Site Request Forgery
Prevention (a signed token bound to the session).
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, Protocol
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.responses import Response

from dozor.infra import problems
from dozor.infra.admission import NEED, OR, PERSON, PUBLIC, SELF
from dozor.infra.callers import (
    ACCESS_COOKIE,
    CALLER,
    CSRF_HEADER,
    SESSION_COOKIE,
    Caller,
    Callers,
    Network,
    Principal,
    header_values,
)
from dozor.infra.limits import Limits, Verdict, network_of
from dozor.infra.problems import problem
from dozor.infra.server import Asgi, Message, Receive, Scope, Send
from dozor.kernel.errors import DozorError
from dozor.kernel.i18n import _

FALLBACK = "x-fallback"
"""Marks the routes that answer for addresses which are no others'."""

_SAFE = {"GET", "HEAD", "OPTIONS"}
_API = "/api"

_log = logging.getLogger(__name__)

Refusal = Literal["credentials", "csrf", "permission", "address", "limit"]


class Doorkeeper(Protocol):
    """Knows people, and notes what was refused."""

    async def bearer(self, token: str) -> Principal | None:
        """Whose access token or API key it is; None when it is none that is good."""

    async def console(self, cookie: str) -> Principal | None:
        """Whose console session it is; None when it is none that is good."""

    async def admits(self, caller: Caller) -> bool:
        """Whether this caller's address may sign in and use the console."""

    async def refused(self, why: Refusal, caller: Caller, action: str, permission: str = "") -> None:
        """Note a refusal; never raises.

        Args:
            why: The reason.
            caller: Who was refused.
            action: Method and template of the route.
            permission: The one that is missing.
        """


class Csrf(Protocol):
    """Knows the token that a page must send with what it changes."""

    def holds(self, session_id: str, token: str) -> bool:
        """Tell whether it is the session's token."""


# What is asked for


@dataclass(frozen=True, slots=True)
class Place:
    """What a request asks for.

    Args:
        route: Method and template, such as `GET /api/v1/people/{id}`.
        needs: What it needs, one of them; empty when that was never said.
        is_api: Whether it is below `/api`.
        is_known: Whether it is a route of the application at all.
    """

    route: str
    needs: tuple[str, ...]
    is_api: bool
    is_known: bool


class Places:
    """Tells what requests ask for, by the routes of the application.

    Args:
        app: The application, complete.
    """

    def __init__(self, app: FastAPI) -> None:
        self._plain: dict[str, dict[str, tuple[str, ...]]] = {}
        self._patterns: list[tuple[re.Pattern[str], str, dict[str, tuple[str, ...]]]] = []
        found: dict[str, tuple[re.Pattern[str], dict[str, tuple[str, ...]]]] = {}
        for route in iter_route_contexts(app.routes):
            path, methods = route.path, route.methods
            extra = getattr(route, "openapi_extra", None) or {}
            if path is None or methods is None or extra.get(FALLBACK):
                continue
            need = extra.get(NEED)
            known = found.setdefault(path, (route.path_regex, {}))[1]
            for method in methods:
                known[method] = tuple(need.split(OR)) if isinstance(need, str) and need else ()
        for path, (pattern, methods_needs) in found.items():
            # Plain ones as well: their patterns fit more than themselves, such as a line break at the end.
            self._patterns.append((pattern, path, methods_needs))
            if "{" not in path:
                self._plain[path] = methods_needs

    def routes(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """All routes and what they need: method and template to need."""
        every = ((path, needs) for _pattern, path, needs in self._patterns)
        return {(method, path): need for path, methods in every for method, need in methods.items()}

    def find(self, method: str, path: str) -> Place:
        """What a request asks for."""
        is_api = path == _API or path.startswith(_API + "/")
        partial: tuple[str, dict[str, tuple[str, ...]]] | None = None
        for template, methods in self._candidates(path):
            if method in methods:
                return Place(f"{method} {template}", methods[method], is_api, is_known=True)
            partial = partial or (template, methods)
        if partial is not None:
            # Another method is refused with 405, but only to who may use one of those that exist.
            template, methods = partial
            every = tuple(dict.fromkeys(need for needs in methods.values() for need in needs))
            return Place(f"{method} {template}", every, is_api, is_known=True)
        return Place(
            f"{method} {_API if is_api else '/'}*", (SELF,) if is_api else (), is_api, is_known=False
        )

    def _candidates(self, path: str) -> Iterable[tuple[str, dict[str, tuple[str, ...]]]]:
        if (plain := self._plain.get(path)) is not None:
            yield path, plain
        for pattern, template, methods in self._patterns:
            if pattern.match(path):
                yield template, methods


# The guard


@dataclass(frozen=True)
class Rules:
    """What the guard goes by.

    Args:
        keeper: Knows people.
        limits: Counts calls.
        callers: Finds out where requests come from.
        csrf: Checks tokens of pages.
        is_door: Whether a path belongs to the pages before the console (`/login`), which all may see.
        metrics_networks: Who may read `/metrics` without signing in, besides this machine.
        unlimited: Paths that are not counted.
        entrances: Paths of the API by which one signs in, for admitted addresses alone.
        most_body: Bytes that the body of a call may have.
    """

    keeper: Doorkeeper
    limits: Limits
    callers: Callers
    csrf: Csrf
    is_door: Callable[[str], bool] = lambda _path: False
    metrics_networks: Sequence[Network] = ()
    unlimited: frozenset[str] = frozenset({"/health", "/ready", "/metrics"})
    entrances: frozenset[str] = frozenset()
    most_body: int = 1 << 20


class Guard:
    """Lets those requests through that may pass, and answers the others.

    Args:
        app: The application; it finds the `Caller` in the scope.
        places: What it consists of.
        rules: What the guard goes by.
    """

    def __init__(self, app: Asgi, places: Places, rules: Rules) -> None:
        self._app = app
        self._places = places
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "websocket":
                await self._websocket(scope, receive, send)
            case _:
                await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._rules.callers.of(scope)
        scope[CALLER] = caller
        try:
            refusal, verdict = await self._judge(scope, caller)
        except DozorError as error:
            refusal, verdict = problems.response_to(error), Verdict()
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        extra = [(name.lower().encode(), value.encode()) for name, value in verdict.headers.items()]
        await self._app(scope, receive, noting)
        if status == HTTPStatus.FORBIDDEN:  # what one may do to whom is decided by the services
            place = self._places.find(scope["method"], scope["path"])
            await self._rules.keeper.refused("permission", caller, place.route)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._rules.callers.of(scope)
        scope[CALLER] = caller
        cookie = caller.cookie(SESSION_COOKIE)
        keeper = self._rules.keeper
        try:
            caller.principal = await keeper.console(cookie) if cookie else None
            admitted = await keeper.admits(caller)
        except DozorError as error:
            _log.warning("A WebSocket was refused, since nobody can be known: %s", error)
            admitted = False
        if caller.principal is None or not admitted:
            await keeper.refused(
                "credentials" if admitted else "address", caller, f"WS {scope['path'][:100]}"
            )
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "Sign in first."})
            return
        # The console asks the API for whoever is behind this connection, and names their address.
        peer = scope.get("client")
        if caller.is_certain and peer is not None:
            scope = {**scope, "client": (caller.address, peer[1])}
        await self._app(scope, receive, send)

    async def _judge(self, scope: Scope, caller: Caller) -> tuple[Response | None, Verdict]:
        """The refusal of a request, or None, and how its limits stand."""
        path, rules = scope["path"], self._rules
        place = self._places.find(scope["method"], path)
        is_console = not (place.is_known or place.is_api)
        if (is_console or path in rules.entrances) and not await rules.keeper.admits(caller):
            await rules.keeper.refused("address", caller, place.route)
            return _address_refused(caller), Verdict()
        if is_console and rules.is_door(path):
            return None, Verdict()
        given = await self._identify(scope, caller, is_console=is_console)
        if PUBLIC not in place.needs and not self._is_scraper(path, caller):
            refusal = await self._refusal(scope, caller, place, given=given)
            if refusal is not None:
                return refusal, Verdict()
        if is_console or path in rules.unlimited:
            return None, Verdict()
        verdict = await rules.limits.take(_who(caller), route=place.route, allowance=_allowance(caller, path))
        if verdict.retry_after:
            await rules.keeper.refused("limit", caller, place.route)
            return too_many(verdict), verdict
        if _declared_size(scope) > rules.most_body:
            return problem(problems.TOO_LARGE, problems.too_large()), verdict
        return None, verdict

    async def _identify(self, scope: Scope, caller: Caller, *, is_console: bool) -> bool:
        """Find out who asks; tell whether they said who they are at all."""
        keeper = self._rules.keeper
        sent = [] if is_console else header_values(scope, b"authorization", split=False)
        if sent:  # who sends the header means it: no cookie stands in for a bad one
            scheme, _space, token = sent[0].partition(" ")
            if scheme.lower() == "bearer" and len(sent) == 1:
                caller.principal = await keeper.bearer(token.strip())
            return True
        token = "" if is_console else caller.cookie(ACCESS_COOKIE)
        if token:
            caller.principal = await keeper.bearer(token)
        cookie = caller.cookie(SESSION_COOKIE)
        if cookie and caller.principal is None:
            caller.principal = await keeper.console(cookie)
        caller.by_cookie = caller.principal is not None
        return bool(token or cookie)

    async def _refusal(self, scope: Scope, caller: Caller, place: Place, *, given: bool) -> Response | None:
        keeper = self._rules.keeper
        who = caller.principal
        if who is None:
            await keeper.refused("credentials", caller, place.route)
            return _sign_in_first(scope, given=given)
        if caller.by_cookie and scope["method"] not in _SAFE:
            sent = "".join(header_values(scope, CSRF_HEADER.lower().encode(), split=False)[:1])
            if who.session_id is None or not self._rules.csrf.holds(who.session_id, sent):
                await keeper.refused("csrf", caller, place.route)
                return csrf_refused()
        if not place.is_known and not place.is_api:
            return None  # the console, by its own session
        if any(_may(who, need) for need in place.needs):
            return None
        missing = place.needs[0] if place.needs else ""
        await keeper.refused("permission", caller, place.route, missing)
        return _forbidden(who, missing)

    def _is_scraper(self, path: str, caller: Caller) -> bool:
        if path != "/metrics" or caller.principal is not None:
            return False
        if caller.is_local:
            return True
        try:
            parsed = ipaddress.ip_address(caller.address)
        except ValueError:
            return False
        return any(parsed in network for network in self._rules.metrics_networks)


def _may(who: Principal, need: str) -> bool:
    match need:
        case "public" | "self":
            return True
        case "person":
            return who.kind == "person"
        case _:
            return who.can(need)


def _declared_size(scope: Scope) -> int:
    """Bytes that the body has by its header; one without is measured while it comes."""
    sent = header_values(scope, b"content-length")
    return int(sent[0]) if sent and sent[0].isdecimal() else 0


def _who(caller: Caller) -> str:
    """Whose calls a call is counted with."""
    who = caller.principal
    if who is None:
        return f"address {network_of(caller.address)}"
    return f"session {who.session_id}" if who.session_id else f"key {who.key_id}"


def _allowance(caller: Caller, path: str) -> str:
    if path.startswith("/api/v1/webhooks/"):
        return "webhooks"
    if path.startswith("/api/v1/agents/"):
        return "agents"
    who = caller.principal
    return "console" if who is not None and who.session_kind == "console" else "default"


# Refusals


def too_many(verdict: Verdict) -> Response:
    """The answer to a call that is one too many (RFC 6585)."""
    return problem(
        problems.TOO_MANY,
        _("There were too many calls."),
        hint=_("Try again in {seconds} s.").format(seconds=verdict.retry_after),
        headers=verdict.headers,
        retry_after=verdict.retry_after,
    )


def csrf_refused() -> Response:
    """The answer to a change that a cookie alone asks for."""
    return problem(
        problems.CSRF,
        _("A cookie alone may not change anything."),
        hint=_("Send the csrf_token of /api/v1/auth/me as X-CSRF-Token."),
    )


def _sign_in_first(scope: Scope, *, given: bool) -> Response:
    path = scope["path"]
    accepts = b",".join(value for name, value in scope["headers"] if name == b"accept")
    is_page = not path.startswith(_API) or path == "/api/v1/docs"
    if scope["method"] in {"GET", "HEAD"} and is_page and b"text/html" in accepts:
        query = scope.get("query_string", b"").decode("latin-1")
        wanted = quote(path + (f"?{query}" if query else ""), safe="")
        return Response(
            status_code=302, headers={"Location": f"/login?next={wanted}", "Cache-Control": "no-store"}
        )
    challenge = 'Bearer realm="dozor"' + (', error="invalid_token"' if given else "")
    if given:
        return problem(
            problems.INVALID_TOKEN,
            _("What you sign in with is not good, or not any more."),
            hint=_("Sign in again, or renew the token at /api/v1/auth/refresh."),
            headers={"WWW-Authenticate": challenge},
        )
    return problem(
        problems.NOT_AUTHENTICATED,
        _("Nobody is signed in."),
        hint=_("Sign in at /api/v1/auth/login, and send its access token in the header Authorization."),
        headers={"WWW-Authenticate": challenge},
    )


def _forbidden(who: Principal, missing: str) -> Response:
    if missing == PERSON:
        return problem(problems.FORBIDDEN, _("An API key may not do this."), hint=_("Sign in as a person."))
    return problem(
        problems.FORBIDDEN,
        _("{name} may not do this.").format(name=who.username),
        hint=_("It needs the permission {permission}.").format(permission=missing) if missing else "",
    )


def _address_refused(caller: Caller) -> Response:
    return problem(
        problems.FORBIDDEN,
        _("Nobody may sign in from {address}.").format(address=caller.address),
        hint=_(
            "The owner can add its network to access.console_networks, or run 'dozor access allow-list "
            "clear' on the server."
        ),
    )
