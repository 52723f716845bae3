"""Failures over HTTP as RFC 9457 problem details, in the language that the caller asked for.

    UsageError           400  bad-request, with the parameter if it is known (ParameterError)
    validation           422  invalid-parameter
    HTTPException        its own status
    IdTakenError         409  query-id-taken
    CancelledError       409  query-cancelled; not 503, which would make programs try again
    BusyError            503  busy
    UnavailableError     503  unavailable
    other DozorErrors    500  job-failed, in words
    anything else        500  internal: an id here, the traceback under that id in the log

`wire.problem.Problem` is the model of what is sent; it stands above this layer, since clients need it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dozor.infra.queries import BusyError, IdTakenError
from dozor.kernel.errors import CancelledError, DozorError, UnavailableError, UsageError
from dozor.kernel.i18n import LANGUAGES, N_, _, current_language, use_language

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_VALUE_CHARS = 200
_FIRST_ERROR = 400
_PATIENCE = 5
"""Seconds after which to try again when something is away."""


@dataclass(frozen=True)
class Kind:
    """A kind of failure: the last part of its `type`, its status, and its title in English."""

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """Its stable name for programs."""
        return f"urn:dozor:problem:{self.name}" if self.name else "about:blank"


BAD_REQUEST = Kind("bad-request", 400, N_("The question cannot be understood."))
INVALID = Kind("invalid-parameter", 422, N_("A parameter cannot be used."))
NOT_FOUND = Kind("not-found", 404, N_("There is no such thing."))
NOT_ALLOWED = Kind("method-not-allowed", 405, N_("This address takes another method."))
CANCELLED = Kind("query-cancelled", 409, N_("The query was called off."))
ID_TAKEN = Kind("query-id-taken", 409, N_("The id of the query is taken."))
JOB_FAILED = Kind("job-failed", 500, N_("The question could not be answered."))
UNAVAILABLE = Kind("unavailable", 503, N_("Something that is needed is away for now."))
BUSY = Kind("busy", 503, N_("Too many questions at once."))
INTERNAL = Kind("internal", 500, N_("Dozor made a mistake."))


class ParameterError(UsageError):
    """A parameter of a call holds what cannot be used.

    Args:
        parameter: Its name.
        value: Its value as it came.
        message: What is wrong, one line, already translated.
        hint: What would do.
    """

    def __init__(self, parameter: str, value: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.parameter = parameter
        self.value = value


class NotFoundError(DozorError):
    """There is no such thing, or not any more."""


_KINDS: Sequence[tuple[type[DozorError], Kind]] = (
    (NotFoundError, NOT_FOUND),
    (IdTakenError, ID_TAKEN),
    (UsageError, BAD_REQUEST),
    (CancelledError, CANCELLED),
    (BusyError, BUSY),
    (UnavailableError, UNAVAILABLE),
    (DozorError, JOB_FAILED),
)


def install(app: FastAPI) -> None:
    """Make every failure of the application a problem, and say so in its OpenAPI document."""
    app.add_exception_handler(DozorError, _of_dozor)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_middleware(Speaking)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # as FastAPI's docs show it


def problem(
    kind: Kind, detail: str, *, hint: str = "", headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """A failure as a response; `more` are members of `wire.problem.Problem`, left out when None."""
    body = {
        "type": kind.type,
        "title": _(kind.title),
        "status": kind.status,
        "detail": detail,
        "hint": hint,
        **{name: value for name, value in more.items() if value is not None},
    }
    sent = {
        "Content-Language": current_language(),
        "Cache-Control": "no-store",
        "Vary": "Accept-Language",
        "X-Content-Type-Options": "nosniff",
    }
    return JSONResponse(body, kind.status, media_type=MEDIA_TYPE, headers={**sent, **dict(headers or {})})


class Speaking:
    """Answers in the language of `Accept-Language`, also when the application made a mistake."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        with use_language(_wanted(Request(scope).headers.get("Accept-Language", ""))):
            try:
                await self._app(scope, receive, noting)
            except Exception as error:  # a mistake of ours: it is told once, here, and the process lives on
                id_ = secrets.token_hex(6)
                log.exception("Request %s of %r failed by a mistake.", id_, scope["path"], exc_info=error)
                if not started:  # else the missing end of the answer tells the caller
                    await _of_mistake(id_)(scope, receive, send)


def _wanted(accepted: str) -> str:
    """The language that the header wants most among those that we speak; English if none."""
    best, most = "en", 0.0
    for part in accepted.split(","):
        tag, _sep, weight = part.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        code = tag.strip().lower().partition("-")[0]
        if code in LANGUAGES and quality > most:
            best, most = code, quality
    return best


def _of_mistake(id_: str) -> Response:
    return problem(
        INTERNAL,
        _("Something went wrong inside Dozor; its log tells more under the id {id}.").format(id=id_),
        hint=_("Please report it with that part of the log."),
        id=id_,
    )


async def _of_dozor(_request: Request, error: Exception) -> Response:
    if not isinstance(error, DozorError):
        raise error
    kind = next(kind for type_, kind in _KINDS if isinstance(error, type_))
    more: dict[str, Any] = {}
    headers = {}
    if isinstance(error, ParameterError):
        more["errors"] = [_told(error.parameter, error.value, error.message, error.hint)]
    if isinstance(error, UnavailableError):
        more["retry_after"] = 1 if kind is BUSY else _PATIENCE
        headers["Retry-After"] = str(more["retry_after"])
    if kind is JOB_FAILED:
        log.error("Request failed: %s", error)
    return problem(kind, error.message, hint=error.hint, headers=headers, **more)


async def _of_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            detail = _("There is no {path}.").format(path=request.url.path)
            return problem(NOT_FOUND, detail, hint=_("See /api/v1/openapi.json for all addresses."))
        case HTTPStatus.METHOD_NOT_ALLOWED:
            detail = _("{path} cannot be asked by {method}.").format(
                path=request.url.path, method=request.method
            )
            allowed = (error.headers or {}).get("Allow", "GET")
            hint = _("Use one of: {usable}.").format(usable=allowed)
            return problem(NOT_ALLOWED, detail, hint=hint, headers={"Allow": allowed})
        case status:
            kind = Kind("", status, HTTPStatus(status).phrase)
            return problem(kind, str(error.detail), headers=error.headers)


async def _of_validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    known = _parameters(request)
    errors = [_of_one(item, known) for item in error.errors()]
    first = errors[0]
    return problem(
        INVALID,
        _("Parameter '{name}': {fact}").format(name=first["parameter"], fact=first["detail"]),
        hint=first["hint"],
        errors=errors,
    )


def _of_one(item: Mapping[str, Any], known: Iterable[str]) -> dict[str, str]:
    # ("query", "where", 0): place, name, and the number of a repeated one.
    name = str(item["loc"][1]) if len(item["loc"]) > 1 else str(item["loc"][0])
    value = "" if item["type"] == "missing" else str(item.get("input", ""))
    fact, hint = _words(item, name, known)
    return _told(name, value, fact, hint)


def _words(item: Mapping[str, Any], name: str, known: Iterable[str]) -> tuple[str, str]:
    """What is wrong with a parameter, and what would do; pydantic's own words are English."""
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            near = get_close_matches(name, list(known), 1)
            hint = _("Did you mean '{near}'?").format(near=near[0]) if near else _("Leave it out.")
            return _("There is no such parameter here."), hint
        case "missing":
            return _("It is needed."), _("Give a value.")
        case "int_parsing" | "int_from_float":
            return _("It is not a whole number."), _("Give {wanted}.").format(wanted=_("a whole number"))
        case "bool_parsing":
            return _("It is neither true nor false."), _("Give {wanted}.").format(wanted=_("true or false"))
        case "greater_than_equal":
            return _("It is too small."), _("Give {least} or more.").format(least=context["ge"])
        case "less_than_equal":
            return _("It is too large."), _("Give {most} or less.").format(most=context["le"])
        case "literal_error" | "enum":
            usable = str(context["expected"]).replace("'", "").replace(" or ", ", ")
            return _("It is not one of the words that can stand here."), _("Use one of: {usable}.").format(
                usable=usable
            )
        case "string_too_long":
            return _("It is too long."), _("Its length may be {most} at the most.").format(
                most=context["max_length"]
            )
        case "uuid_parsing" | "uuid_version" | "uuid_type":
            return _("It is not a random UUID (version 4)."), _("Make one up anew for each query.")
        case _:
            return str(item["msg"]), ""


def _told(parameter: str, value: str, detail: str, hint: str) -> dict[str, str]:
    return {"parameter": parameter, "value": value[:_VALUE_CHARS], "detail": detail, "hint": hint}


def _parameters(request: Request) -> list[str]:
    """Names of the query parameters that the route knows."""
    route = request.scope.get("route")
    dependant = getattr(route, "dependant", None)
    if dependant is None:
        return []
    names: list[str] = []
    for parameter in dependant.query_params:
        model = parameter.field_info.annotation
        names += list(getattr(model, "model_fields", {})) or [parameter.alias]
    return names


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with failures under the media type that they have."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path in document.get("paths", {}).values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if status.isdecimal() and int(status) >= _FIRST_ERROR:
                        response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
        app.openapi_schema = document
    return app.openapi_schema
