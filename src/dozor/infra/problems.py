"""Failures over HTTP as RFC 9457 problem details, in the language that the caller asked for.

    errors that say `problem`  the kind of that name, such as `forbidden`
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
from contextlib import nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dozor.infra.openapi import document_of
from dozor.infra.queries import BusyError, IdTakenError
from dozor.kernel.errors import CancelledError, DozorError, UnavailableError, UsageError
from dozor.kernel.i18n import LANGUAGES, N_, _, current_language, use_language
from dozor.kernel.masking import MASK, mask, names_secret

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_VALUE_CHARS = 200
_SPEAKING = "dozor.speaking"  # in the scope: the language is set already
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
NOT_AUTHENTICATED = Kind("not-authenticated", 401, N_("Sign in first."))
INVALID_TOKEN = Kind("invalid-token", 401, N_("The sign-in is not valid."))
TOKEN_REUSED = Kind("token-reused", 401, N_("A refresh token came twice."))
INVALID_CREDENTIALS = Kind("invalid-credentials", 401, N_("The sign-in failed."))
TOTP_REQUIRED = Kind("totp-required", 401, N_("A second factor is needed."))
FORBIDDEN = Kind("forbidden", 403, N_("This is not allowed."))
CSRF = Kind("csrf", 403, N_("The call lacks its CSRF token."))
TOO_LARGE = Kind("too-large", 413, N_("The body is too large."))
CONFLICT = Kind("conflict", 409, N_("It contradicts what is there."))
TOO_MANY_ATTEMPTS = Kind("too-many-attempts", 429, N_("Too many attempts have failed."))
TOO_MANY = Kind("too-many-requests", 429, N_("There are too many calls."))
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


_NAMED = {
    kind.name: kind
    for kind in (
        NOT_AUTHENTICATED, INVALID_TOKEN, TOKEN_REUSED, INVALID_CREDENTIALS, TOTP_REQUIRED, FORBIDDEN, CSRF,
        CONFLICT, TOO_MANY_ATTEMPTS, NOT_FOUND, INVALID, BAD_REQUEST,
    )
}  # fmt: skip
"""Kinds that an error may name by its attribute `problem`."""

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
    app.openapi = lambda: document_of(app)  # type: ignore[method-assign]  # as FastAPI's docs show it


def problem(
    kind: Kind, detail: str, *, hint: str = "", headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """A failure as a response; `more` are members of `wire.problem.Problem`, left out when None."""
    body = {
        "type": kind.type,
        "title": _(kind.title),
        "status": kind.status,
        "detail": mask(detail),
        "hint": mask(hint),
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
        # The one around the guard chooses the language; the one inside the application catches its
        # mistakes, before Starlette answers them with a plain text.
        wanted = None if _SPEAKING in scope else _wanted(Request(scope).headers.get("Accept-Language", ""))
        scope[_SPEAKING] = True
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        with use_language(wanted) if wanted else nullcontext():
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
    return response_to(error)


def response_to(error: DozorError) -> Response:
    """An expected failure as a response."""
    named = _NAMED.get(getattr(error, "problem", ""))
    kind = named or next(kind for type_, kind in _KINDS if isinstance(error, type_))
    more: dict[str, Any] = {}
    headers = {}
    if isinstance(error, ParameterError):
        more["errors"] = [_told(error.parameter, error.value, error.message, error.hint)]
    elif kind is INVALID:
        more["errors"] = [_told(getattr(error, "field", ""), "", error.message, error.hint)]
    wait = getattr(error, "retry_after", None)
    if isinstance(error, UnavailableError):
        wait = 1 if kind is BUSY else _PATIENCE
    if wait is not None:
        more["retry_after"] = wait
        headers["Retry-After"] = str(wait)
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="dozor"'
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
        case HTTPStatus.BAD_REQUEST:
            return problem(BAD_REQUEST, _("The body cannot be read."), hint=_("Send JSON in UTF-8."))
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return problem(TOO_LARGE, too_large())
        case status:
            kind = Kind("", status, HTTPStatus(status).phrase)
            return problem(kind, str(error.detail), headers=error.headers)


def too_large() -> str:
    """What is wrong with a body that is refused unread."""
    return _("The body is larger than anything that is asked for here.")


async def _of_validation(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    known = _parameters(request)
    errors = [_of_one(item, known) for item in error.errors()]
    first = errors[0]
    return problem(
        INVALID,
        _("Parameter '{name}' cannot be used. {fact}").format(name=first["parameter"], fact=first["detail"]),
        hint=first["hint"],
        errors=errors,
    )


def _of_one(item: Mapping[str, Any], known: Iterable[str]) -> dict[str, str]:
    # ("query", "where", 0): place, name, and the number of a repeated one.
    place, *names = item["loc"]
    name = str(names[0]) if names and item["type"] != "json_invalid" else str(place)
    # Bodies hold passwords and tokens: they are never sent back.
    shown = place != "body" and item["type"] != "missing"
    fact, hint = _words(item, name, known)
    return _told(name, str(item.get("input", "")) if shown else "", fact, hint)


_PLAIN: Mapping[str, tuple[str, str, str]] = {
    "bool": (N_("It is neither true nor false."), N_("Give {wanted}."), N_("true or false")),
    "greater_than_equal": (N_("It is too small."), N_("Give {least} or more."), ""),
    "int": (N_("It is not a whole number."), N_("Give {wanted}."), N_("a whole number")),
    "less_than_equal": (N_("It is too large."), N_("Give {most} or less."), ""),
    "list": (N_("It is no list."), N_("Give {wanted}."), N_("a list")),
    "missing": (N_("It is needed."), N_("Give a value."), ""),
    "object": (N_("It is not a JSON object."), N_("Send JSON as application/json."), ""),
    "string_pattern_mismatch": (N_("It holds signs that cannot stand here."), "", ""),
    "string_too_long": (N_("It is too long."), N_("Its length may be {most} at the most."), ""),
    "string_too_short": (N_("It is too short."), N_("Its length must be {least} at least."), ""),
    "text": (N_("It is no text."), N_("Give {wanted}."), N_("a text")),
    "uuid": (N_("It is not a random UUID (version 4)."), N_("Make one up anew for each query."), ""),
}
"""What is wrong, what would do, and what that is, by kind."""

_ALIKE = {
    "bool_parsing": "bool",
    "bool_type": "bool",
    "dict_type": "object",
    "int_from_float": "int",
    "int_parsing": "int",
    "int_parsing_size": "int",
    "int_type": "int",
    "json_invalid": "object",
    "list_type": "list",
    "model_attributes_type": "object",
    "model_type": "object",
    "string_type": "text",
    "string_unicode": "text",
    "tuple_type": "list",
    "uuid_parsing": "uuid",
    "uuid_type": "uuid",
    "uuid_version": "uuid",
}
"""Pydantic's kinds of errors that are told alike."""


def _words(item: Mapping[str, Any], name: str, known: Iterable[str]) -> tuple[str, str]:
    """What is wrong with a parameter, and what would do; pydantic's own words are English."""
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            near = get_close_matches(name, list(known), 1)
            hint = _("Did you mean '{near}'?").format(near=near[0]) if near else _("Leave it out.")
            return _("There is no such parameter here."), hint
        case "literal_error" | "enum":
            usable = str(context["expected"]).replace("'", "").replace(" or ", ", ")
            return _("It is not one of the words that can stand here."), _("Use one of: {usable}.").format(
                usable=usable
            )
        case kind:
            found = _PLAIN.get(_ALIKE.get(kind, kind))
            if found is None:
                return str(item["msg"]), ""
            fact, hint, wanted = found
            named = {
                "wanted": _(wanted) if wanted else "",
                "least": context.get("ge", context.get("min_length")),
                "most": context.get("le", context.get("max_length")),
            }
            return _(fact), _(hint).format(**named) if hint else ""


def _told(parameter: str, value: str, detail: str, hint: str) -> dict[str, str]:
    return {
        "parameter": parameter,
        "value": (MASK if value and names_secret(parameter) else mask(value))[:_VALUE_CHARS],
        "detail": mask(detail),
        "hint": mask(hint),
    }


def _parameters(request: Request) -> list[str]:
    """Names of the query parameters that the route knows."""
    route = request.scope.get("route")
    dependant = getattr(route, "dependant", None)
    if dependant is None:
        return []
    names: list[str] = []
    for parameter in [*dependant.query_params, *dependant.body_params]:
        model = parameter.field_info.annotation
        names += list(getattr(model, "model_fields", {})) or [parameter.alias]
    return names
