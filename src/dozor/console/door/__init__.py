"""The pages in front of the console: sign in, set up, sign out. They need no session, and no Streamlit.

    /login   name and password, then the second factor; `?next=` names the page of the console to go to
    /setup   makes the owner; the token stands after `#`, which no server and no log sees
    /logout  ends the session
    /door/*  their scripts and styles

All they do goes through the REST API, from the browser. They hold nothing that is secret.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dozor.console.settings import PAGES, wanted_language
from dozor.console.theme import font_faces_css, style_tokens
from dozor.kernel.i18n import LANGUAGES, _, use_language

HERE = Path(__file__).parent
PAGES_OF_DOOR = ("login", "setup", "logout")
"""Their paths."""

FILES = "door/"
"""Prefix of their files."""

LANGUAGE_NAMES = {"en": "English", "ru": "Русский"}
"""Languages by their own names."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)
"""Their Content-Security-Policy: nothing inline, nothing foreign."""

_COMPRESSED = frozenset({".js", ".css", ".svg"})
_Scope = MutableMapping[str, Any]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_HEADERS: list[tuple[bytes, bytes]] = [
    (b"content-security-policy", POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]


class Door:
    """The pages as an ASGI application, HTTP alone; it answers what `serves` names, else 404.

    Args:
        language: What to speak to a browser that asks for no language of ours.
    """

    def __init__(self, *, language: str = "en") -> None:
        self._language = language
        self._files = _files()
        digest = hashlib.sha256(b"".join(self._files[name] for name in sorted(self._files)))
        self._version = digest.hexdigest()[:12]
        self._packed = {
            name: gzip.compress(plain, 6, mtime=0)
            for name, plain in self._files.items()
            if Path(name).suffix in _COMPRESSED
        }
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
        )
        self._templates.globals["_"] = _
        self._pages: dict[tuple[str, str], bytes] = {}

    @staticmethod
    def serves(path: str) -> bool:
        """Whether a path, without the one that the application is mounted at, is one of these pages."""
        name = path.lstrip("/")
        return name in PAGES_OF_DOOR or name.startswith(FILES)

    async def __call__(self, scope: _Scope, receive: Any, send: _Send) -> None:
        """Answer one request."""
        del receive
        name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        if scope["method"] not in {"GET", "HEAD"}:
            await _answer(scope, send, 405, b"", [(b"allow", b"GET, HEAD")])
        elif name in PAGES_OF_DOOR:
            language = wanted_language(scope, self._language)
            await _answer(scope, send, 200, self._page(name, language), _html(language))
        elif name.startswith(FILES) and name.removeprefix(FILES) in self._files:
            await self._file(scope, send, name.removeprefix(FILES))
        else:
            await _answer(scope, send, 404, b"", [])

    def _page(self, name: str, language: str) -> bytes:
        if (name, language) not in self._pages:
            with use_language(language):
                page = self._templates.get_template(f"{name}.html").render(
                    page=name,
                    pages=[page for page in PAGES if page],
                    language=language,
                    languages=[(code, LANGUAGE_NAMES[code]) for code in LANGUAGES],
                    version=self._version,
                )
            self._pages[name, language] = page.encode()
        return self._pages[name, language]

    async def _file(self, scope: _Scope, send: _Send, name: str) -> None:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = [
            (b"content-type", f"{kind}; charset=utf-8".encode() if "text" in kind else kind.encode()),
            (b"vary", b"accept-encoding"),
            (b"cache-control", b"public, max-age=3600"),
        ]
        accepted = next((value for key, value in scope["headers"] if key == b"accept-encoding"), b"")
        if name in self._packed and b"gzip" in accepted:
            packed = self._packed[name]
            await _answer(scope, send, 200, packed, [*headers, (b"content-encoding", b"gzip")])
        else:
            await _answer(scope, send, 200, self._files[name], headers)


def _files() -> dict[str, bytes]:
    """The pages' scripts and styles, and what they share with the console."""
    files = {file.name: file.read_bytes() for file in (HERE / "static").iterdir()}
    shared = HERE.parent / "static"
    for name in ("mark.svg", *(file.name for file in shared.glob("*.woff2"))):
        files[name] = (shared / name).read_bytes()
    files["door.css"] = (style_tokens() + font_faces_css()).encode() + files["door.css"]
    return files


async def _answer(
    scope: _Scope, send: _Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    sent = [*headers, *_HEADERS, (b"content-length", str(len(body)).encode("ascii"))]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _html(language: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-language", language.encode("ascii")),
        (b"cache-control", b"no-cache"),
        (b"vary", b"cookie, accept-language"),
    ]
