"""The OpenAPI document: what FastAPI finds out, and what holds for all routes alike.

Routes say what they need (`infra.guard.needs`) and what they answer when they do their work; who may call
them, and what every call may meet (401, 403, 413, 422, 429, 500, 503), is added here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dozor.infra.admission import NEED, PUBLIC

MEDIA_TYPE = "application/problem+json"

_FIRST_ERROR = 400
_DONE = {"200": "The answer.", "201": "It was made.", "204": "Done; there is nothing to tell."}
_UNSAFE = {"post", "put", "patch", "delete"}
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_UNUSED = ("HTTPValidationError", "ValidationError")

_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token of `POST /api/v1/auth/login`, or an API key (`dz_…`).",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "dozor_access",
        "description": "The access token as a cookie (`?cookies=true`); `__Host-dozor_access` over TLS.",
    },
    "console": {
        "type": "apiKey",
        "in": "cookie",
        "name": "dozor_session",
        "description": "A session of the console; called `__Host-dozor_session` over TLS.",
    },
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "`csrf_token` of `GET /api/v1/auth/me`: for changes that a cookie signs in.",
    },
}

_RATE = {
    "RateLimit": {
        "description": 'The state: `"60s";r=99;t=1`, r calls left, t seconds until one more is free.',
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": 'The limits: `"60s";q=100;w=60`, q calls in w seconds.',
        "schema": {"type": "string"},
    },
}
_RETRY = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
}
_CHALLENGE = {
    "WWW-Authenticate": {"description": "`Bearer` (RFC 6750).", "schema": {"type": "string"}},
}

_EVERY: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "429": ("There were too many calls.", {**_RETRY, **_RATE}),
    "500": ("A mistake inside Dozor; its log tells more under the `id`.", {}),
    "503": ("Something that is needed is away for now.", _RETRY),
}
_GUARDED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "401": ("Nobody is signed in, or the token, key or session is not good any more.", _CHALLENGE),
    "403": ("It needs a permission that is missing, or its CSRF token.", {}),
}
_BODIED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "400": ("The body cannot be read.", {}),
    "413": ("The body is larger than anything that is asked for here.", {}),
}
_TAKING: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "422": ("A parameter is missing, unknown, out of range or of the wrong type.", {}),
}


def document_of(app: FastAPI) -> dict[str, Any]:
    """The document of an application, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            servers=app.servers,
            license_info=app.license_info,
        )
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for path in document.get("paths", {}).values():
            for method, operation in path.items():
                _complete(method, operation)
        for name in _UNUSED:
            schemas.pop(name, None)
        if any(NEED in operation for path in document["paths"].values() for operation in path.values()):
            components["securitySchemes"] = dict(_SCHEMES)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(method: str, operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    need = operation.get(NEED)
    common: dict[str, tuple[str, Mapping[str, Any]]] = {}
    if need is not None:
        common |= _EVERY
        operation["security"] = [] if need == PUBLIC else _security(method)
        if need != PUBLIC:
            common |= _GUARDED
        if "requestBody" in operation:
            common |= _BODIED
    if "requestBody" in operation or operation.get("parameters"):
        common |= _TAKING
    for status, (text, headers) in common.items():
        known = responses.get(status, {})
        told = text if "HTTPValidationError" in str(known) else known.get("description", text)
        responses[status] = {"description": told, **({"headers": dict(headers)} if headers else {})}
    for status, response in responses.items():
        if response.get("description") == "Successful Response":  # FastAPI's own words
            response["description"] = _DONE.get(status, "Done.")
        if status.isdecimal() and int(status) >= _FIRST_ERROR:
            response["content"] = {MEDIA_TYPE: {"schema": _PROBLEM}}
        elif need is not None:
            response.setdefault("headers", {}).update(_RATE)
    operation["responses"] = dict(sorted(responses.items()))


def _security(method: str) -> list[dict[str, list[str]]]:
    if method in _UNSAFE:
        return [{"bearer": []}, {"cookie": [], "csrf": []}, {"console": [], "csrf": []}]
    return [{"bearer": []}, {"cookie": []}, {"console": []}]
