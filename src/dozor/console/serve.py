"""The ASGI application of the console: Streamlit behind a strict policy.

pages            Streamlit's page with our name and the reader's language; 404s of deep links avoided
/preferences     remembers language and theme in the browser, and goes back
/static          Streamlit's files, compressed once
an unknown page  leads to the overview
everything else  Streamlit, with the headers of `SecurityHeaders`
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import mimetypes
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath
from typing import Any

import streamlit as st
from streamlit import config
from streamlit.file_util import get_static_dir

from dozor.console.failure import show_failure
from dozor.console.settings import PAGES, header, settings, wanted_language
from dozor.console.theme import streamlit_options, style_tokens
from dozor.kernel.i18n import LANGUAGES

Asgi = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]
_Scope = MutableMapping[str, Any]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Headers = list[tuple[bytes, bytes]]

HERE = Path(__file__).parent

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_PRELOADED_FONT = re.compile(r"<link\s+rel=\"preload\"[^>]*SourceSans[^>]*/>")
_AGENT_LINK = re.compile(
    r"<!--\s+Machine-readable pointer.*?-->\s*<link rel=\"service-desc\"[^>]*/>", re.DOTALL
)
_NOSCRIPT = re.compile(r"<noscript>.*?</noscript>", re.DOTALL)
_COMPRESSED = frozenset({".js", ".css", ".json", ".html", ".svg"})
_SMALLEST_COMPRESSED = 1_000  # bytes; below it the header costs more than it saves
_FOREVER = b"public, immutable, max-age=31536000"

_PREFERENCES = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Dozor</title>
<meta name="color-scheme" content="light dark"><script src="./app/static/preferences.js"></script></html>"""


class Console:
    """Streamlit's application as Dozor serves it.

    Args:
        api_url: Address of the REST API, without `/api`.
        language: What to speak to a browser that asks for no language of ours.
        forward_secret: Proves to the API that a call comes from this console, which then says for whom.
    """

    def __init__(self, api_url: str, *, language: str = "en", forward_secret: str = "") -> None:
        settings.api_url, settings.language, settings.forward_secret = api_url, language, forward_secret
        self._streamlit = st.App(HERE / "script" / "main.py", on_script_error=show_failure)
        # As flags, they also win over a config.toml that lies in the working directory.
        config.get_config_options(force_reparse=True, options_from_flags=streamlit_options())
        index = (Path(get_static_dir()) / "index.html").read_text(encoding="utf-8")
        style = style_tokens() + (HERE / "static" / "console.css").read_text(encoding="utf-8")
        version = hashlib.sha256(style.encode()).hexdigest()[:12]
        self._pages = {language: _own_page(index, language, version) for language in LANGUAGES}
        self._files = _CompressedFiles(
            Path(get_static_dir()), HERE / "static", {"app/static/console.css": style.encode()}
        )
        self._app = SecurityHeaders(self._serve, content_security_policy(index))

    def lifespan(self) -> Callable[[Any], AbstractAsyncContextManager[None]]:
        """The start and stop of Streamlit, for the lifespan of the application that mounts this."""
        return self._streamlit.lifespan()

    async def __call__(self, scope: _Scope, receive: Any, send: _Send) -> None:
        """Serve one request, WebSocket or lifespan."""
        if scope["type"] == "http":
            await self._app(scope, receive, send)
        else:
            await self._streamlit(scope, receive, send)

    async def _serve(self, scope: _Scope, receive: Any, send: _Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        if scope["method"] in {"GET", "HEAD"}:
            if path in PAGES:
                language = wanted_language(scope, settings.language)
                await _answer(scope, send, self._pages[language], _html(language))
                return
            if path == "preferences":
                await _answer(scope, send, _PREFERENCES, _html("en"))
                return
            if (found := self._files.find(path, scope)) is not None:
                await _answer(scope, send, *found)
                return
            # Streamlit would show its own page, in English and without our style.
            if "/" not in path and header(scope, b"sec-fetch-mode") == b"navigate":
                await _lead_home(scope, send)
                return
        await self._streamlit(scope, receive, send)


class SecurityHeaders:
    """Adds the headers that keep a page from loading, sending or showing anything that is not ours.

    Args:
        app: What answers.
        policy: The Content-Security-Policy.
    """

    def __init__(self, app: Asgi, policy: str) -> None:
        self._app = app
        self._headers: _Headers = [
            (b"content-security-policy", policy.encode("ascii")),
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ]
        self._names = {name for name, _value in self._headers} | {b"access-control-allow-origin"}

    async def __call__(self, scope: _Scope, receive: Any, send: _Send) -> None:
        """Hand on to the application; its own headers of these names give way."""

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                others = [pair for pair in message["headers"] if pair[0].lower() not in self._names]
                message = {**message, "headers": [*others, *self._headers]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


def content_security_policy(index: str) -> str:
    """The policy under which Streamlit's page works, its inline scripts allowed by their hashes.

    Args:
        index: Streamlit's `index.html`.
    """
    scripts = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
        for script in _INLINE_SCRIPT.findall(index)
    ]
    hashes = "".join(f" 'sha256-{digest}'" for digest in scripts)
    return (
        f"default-src 'none'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    )


def _own_page(index: str, language: str, version: str) -> bytes:
    """Streamlit's page with our name, style and language, without what it loads and nobody sees."""
    page = index.replace('<html lang="en">', f'<html lang="{language}">')
    page = page.replace("<title>Streamlit</title>", "<title>Dozor</title>")
    page = page.replace("./favicon.png", "./app/static/mark.svg")
    style = f'<link rel="stylesheet" href="./app/static/console.css?{version}">'
    page = page.replace("</head>", f"  {style}\n  </head>")
    for unwanted in (_PRELOADED_FONT, _AGENT_LINK):
        page = unwanted.sub("", page)
    words = {
        "en": "The console needs JavaScript. The same numbers: dozor report, or /api/v1/traffic/summary.",
        "ru": "Консоли нужен JavaScript. Те же числа дают dozor report и /api/v1/traffic/summary.",  # noqa: RUF001
    }
    return _NOSCRIPT.sub(f"<noscript><p>{words[language]}</p></noscript>", page).encode()


class _CompressedFiles:
    """Streamlit's and our own static files, each compressed at the first call for it and kept.

    Args:
        streamlit: The folder that `static/` stands in.
        ours: The folder that is `app/static/`.
        made: Files that are made here, by path.
    """

    def __init__(self, streamlit: Path, ours: Path, made: Mapping[str, bytes]) -> None:
        self._roots = {"static/": streamlit / "static", "app/static/": ours}
        self._known = {path: _packed(path, plain) for path, plain in made.items()}

    def find(self, path: str, scope: _Scope) -> tuple[bytes, _Headers] | None:
        """The file's bytes and headers; None when there is none of that name."""
        prefix = next((prefix for prefix in self._roots if path.startswith(prefix)), None)
        if prefix is None:
            return None
        if path not in self._known:
            root = self._roots[prefix].resolve()
            try:
                file = (root / path.removeprefix(prefix)).resolve()
                if not file.is_relative_to(root) or not file.is_file():
                    return None
            except (OSError, ValueError):  # a name that no file can have: a zero byte in it, or too long
                return None
            self._known[path] = _packed(path, file.read_bytes())
        plain, packed = self._known[path]
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        headers: _Headers = [(b"content-type", kind.encode("ascii")), (b"vary", b"accept-encoding")]
        # Streamlit's names carry a hash of what is in them, ours do not.
        headers.append((b"cache-control", _FOREVER if prefix == "static/" else b"max-age=3600"))
        if packed is not None and b"gzip" in header(scope, b"accept-encoding"):
            return packed, [*headers, (b"content-encoding", b"gzip")]
        return plain, headers


def _packed(path: str, plain: bytes) -> tuple[bytes, bytes | None]:
    wanted = PurePosixPath(path).suffix in _COMPRESSED and len(plain) >= _SMALLEST_COMPRESSED
    return plain, gzip.compress(plain, 6, mtime=0) if wanted else None


async def _answer(scope: _Scope, send: _Send, body: bytes, headers: _Headers) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode("ascii"))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _lead_home(scope: _Scope, send: _Send) -> None:
    home = f"{scope.get('root_path', '')}/".encode("latin-1")
    headers: _Headers = [(b"location", home), (b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 302, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _html(language: str) -> _Headers:
    return [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-language", language.encode("ascii")),
        (b"cache-control", b"no-cache"),
        (b"vary", b"cookie, accept-language"),
    ]
