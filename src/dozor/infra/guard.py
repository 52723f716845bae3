"""The guard before the application: who asks, may they, do they ask too often.

A route says what it needs in one place, `openapi_extra=needs("traffic.read")`; the guard enforces it, the
OpenAPI document tells it, and the tests walk over it. A route that says nothing is refused to everybody.
"""

from __future__ import annotations

from typing import Any

SELF = "self"
"""Needed by routes about the caller: to be signed in is enough."""

PUBLIC = "public"
"""Needed by routes that are for everybody."""

PERMISSION = "x-permission"
"""Where a route's need stands in the OpenAPI document."""


def needs(permission: str) -> dict[str, Any]:
    """What a route needs, for its `openapi_extra`.

    Args:
        permission: A permission such as `traffic.read`, or `SELF`, or `PUBLIC`.
    """
    extra: dict[str, Any] = {PERMISSION: permission}
    if permission == PUBLIC:
        extra["security"] = []
    return extra


def holds(permissions: tuple[str, ...] | frozenset[str], wanted: str) -> bool:
    """Whether one of the permissions is the wanted one, `*`, or `prefix.*` of it."""
    return any(
        held in {"*", wanted} or (held.endswith(".*") and wanted.startswith(held[:-1]))
        for held in permissions
    )
