"""What the console was built with. Streamlit runs its script anew for every visit, so it is kept here."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from dozor.kernel.i18n import LANGUAGES

LANGUAGE_COOKIE = "dozor_lang"

TRAFFIC_PAGES = ("dynamics", "geography", "top", "anomalies", "errors", "lines")
ACCESS_PAGES = ("people", "sessions", "keys", "audit", "profile")
PAGES = ("", *TRAFFIC_PAGES, *ACCESS_PAGES)
"""Paths of the pages, the first being the overview."""


@dataclass(slots=True)
class Settings:
    """Set once by `serve.Console`, read by the script.

    Args:
        api_url: Address of the REST API, without `/api`.
        language: What to speak to a browser that asks for no language of ours.
        forward_secret: Proves to the API that a call comes from this console, which then says for whom.
    """

    api_url: str = "http://127.0.0.1:5000"
    language: str = "en"
    forward_secret: str = ""


settings = Settings()


def wanted_language(scope: MutableMapping[str, Any], otherwise: str) -> str:
    """The language that was chosen in this browser before, else the first of the browser's that we speak.

    Args:
        scope: Of an ASGI request.
        otherwise: What to speak to a browser that asks for none of ours.
    """
    try:
        cookies = SimpleCookie(header(scope, b"cookie").decode("latin-1"))
    except CookieError:
        cookies = SimpleCookie()
    wishes = [cookies[LANGUAGE_COOKIE].value] if LANGUAGE_COOKIE in cookies else []
    wishes += header(scope, b"accept-language").decode("latin-1").split(",")
    codes = (wish.strip()[:2].lower() for wish in wishes)
    return next((code for code in codes if code in LANGUAGES), otherwise)


def header(scope: MutableMapping[str, Any], name: bytes) -> bytes:
    """A header of an ASGI request; empty without it."""
    return next((value for key, value in scope["headers"] if key == name), b"")
