"""The HTTP server of the process: its socket, what keeps other sites out, and Uvicorn as a service.

bind > Server(service) > Names > Hardened > the application, whose late parts stand behind a `Late`
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dozor.kernel.errors import JobError, UsageError
from dozor.kernel.i18n import _

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

_BACKLOG = 512
_KEEP_ALIVE = 75  # seconds, longer than any client of ours keeps a connection: else both may end it at once
_LISTENING = "0A"  # of /proc/net/tcp
_SAFE = {"GET", "HEAD", "OPTIONS"}
_HTTP = 80
_PORT = re.compile(r":\d{1,5}$")


def bind(host: str, port: int) -> socket.socket:
    """Listen on `host` and `port`; 0 takes a free port.

    Raises:
        UsageError: The host is no address of this machine.
        JobError: The port is taken, and by whom if that can be found, or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets that say TCP: it would cost 40 ms an answer.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _not_bound(host, port, error) from error
    listening.settimeout(0)
    return listening


def _not_bound(host: str, port: int, error: OSError) -> JobError | UsageError:
    if error.errno == errno.EADDRINUSE:
        owner = listener(port)
        return JobError(
            _("Port {port} is in use by {owner}.").format(port=port, owner=owner)
            if owner
            else _("Port {port} is in use.").format(port=port),
            hint=_("Stop that process, or choose another port with --port."),
        )
    if error.errno == errno.EACCES:
        return JobError(
            _("This user may not listen on port {port}.").format(port=port),
            hint=_("Choose a port of 1024 or more with --port."),
        )
    return UsageError(
        _("Cannot listen on {host}: {reason}.").format(host=host, reason=error.strerror),
        hint=_("Set HOST to 127.0.0.1 or ::1."),
    )


def listener(port: int) -> str:
    """Name and id of the process that listens on a TCP port; empty when it cannot be found.

    It reads /proc, so it sees processes of other users only as root.
    """
    inodes = {
        fields[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in _rows(Path(table))
        if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port
    }
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(str(link.readlink()) in wanted for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text().strip()
                return _("{name}, process {pid}").format(name=name, pid=process.name)
    return ""


def _rows(table: Path) -> Iterator[list[str]]:
    with suppress(OSError):
        yield from (line.split() for line in table.read_text().splitlines()[1:])


class Server:
    """Serves an application on a bound socket until it is told to stop.

    Args:
        app: The application.
        listening: A socket of `bind`; closed at the end.
        drain: Seconds that answers under way may take when it stops.
    """

    name = "http"

    def __init__(self, app: Asgi, listening: socket.socket, *, drain: float = 5.0) -> None:
        self._app = app
        self._listening = listening
        self._drain = drain

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then let answers under way finish."""
        import uvicorn  # noqa: PLC0415 - only a process that serves pays for it

        class Served(uvicorn.Server):
            @contextmanager
            def capture_signals(self) -> Iterator[None]:
                """Leave signals to the supervisor."""
                yield

        config = uvicorn.Config(
            self._app,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # It would believe every process of this machine; whom to believe is known to `infra.callers`.
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(self._drain)),
            ws_max_size=64 << 20,
        )
        server = Served(config)
        # A restarted service needs a socket of its own: the server closes the one that it is given.
        serving = asyncio.create_task(server.serve(sockets=[self._listening.dup()]), name="http-server")
        try:
            await self._until(stop, serving)
            server.should_exit = True
            await serving
        finally:
            serving.cancel()
            if stop.is_set():
                self._listening.close()

    @staticmethod
    async def _until(stop: asyncio.Event, serving: asyncio.Task[None]) -> None:
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if serving.done() and not stop.is_set():
            serving.result()
            raise JobError(_("The HTTP server ended by itself."))


class Names:
    """Answers only those who asked for this process by a name of its own, from a page of its own.

    A page of another site can make a browser send requests here, by a name that resolves to our address
    (DNS rebinding) or by a WebSocket, which knows no same-origin rule. Both tell in Host or Origin.

    Args:
        app: What is guarded.
        port: The port that Host and Origin must name with names of this machine itself.
        names: Other names and addresses by which it may be asked, with whatever port.
        origins: Other sites whose pages may call the API, such as `https://example.com`.
    """

    def __init__(self, app: Asgi, port: int, names: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._app = app
        own = ("localhost", "127.0.0.1", "[::1]")
        self._hosts = {f"{name}:{port}" for name in own} | (set(own) if port == _HTTP else set())
        self._own = {f"http://{host}" for host in self._hosts}
        self._others = {origin.lower() for origin in origins}
        self._names = {f"[{name}]" if ":" in name else name for name in (each.lower() for each in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 403 (421 for a foreign Host)."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1").lower() for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if host not in self._hosts and _PORT.sub("", host) not in self._names:
            shown = ", ".join(sorted(self._hosts | self._names))
            await _refuse(scope, receive, send, 421, f"Ask by one of these names: {shown}.")
            return
        origin = headers.get(b"origin")
        unsafe = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if (
            unsafe
            and origin is not None
            and not (self._is_own(origin, host) or self._may_call(origin, scope))
        ):
            await _refuse(scope, receive, send, 403, "Requests from pages of other sites are refused.")
            return
        await self._app(scope, receive, send)

    def _is_own(self, origin: str, host: str) -> bool:
        if origin in self._own:
            return True
        # The page's own site; behind a proxy that speaks TLS it is https there and http here.
        return host not in self._hosts and origin in {f"http://{host}", f"https://{host}"}

    def _may_call(self, origin: str, scope: Scope) -> bool:
        """Whether another site may ask this: the API it may, the console and its WebSocket never."""
        return scope["type"] == "http" and scope["path"].startswith("/api/") and origin in self._others


class Hardened:
    """Adds to each answer the headers that keep browsers from harm, where it has none of its own.

    Args:
        app: What answers.
        is_secure: Whether a request came by TLS: then the browser shall never ask otherwise again.
    """

    _HEADERS = (
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    )
    _ONLY_TLS = (b"strict-transport-security", b"max-age=31536000")

    def __init__(self, app: Asgi, is_secure: Callable[[Scope], bool]) -> None:
        self._app = app
        self._is_secure = is_secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def hardening(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                there = {name.lower() for name, _value in headers}
                headers += [pair for pair in self._HEADERS if pair[0] not in there]
                if self._is_secure(scope):
                    headers.append(self._ONLY_TLS)
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, hardening)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": text[:120]})
        return
    await answer(send, status, text.encode() + b"\n")


async def answer(
    send: Send, status: int, body: bytes, *, kind: str = "text/plain; charset=utf-8", **headers: str
) -> None:
    """Send a whole small answer; `headers` have underscores for dashes."""
    named = {"content-type": kind, "content-length": str(len(body)), "cache-control": "no-store"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})


class Late:
    """Stands for an application that is not there yet, or not any more.

    Args:
        waiting: Answers until `app` is set.
    """

    def __init__(self, waiting: Asgi) -> None:
        self.app: Asgi | None = None
        self._waiting = waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on to the application, or say that it is on its way."""
        await (self.app or self._waiting)(scope, receive, send)
