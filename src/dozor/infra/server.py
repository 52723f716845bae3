"""The HTTP server of the process: its socket, its guard against other sites, and Uvicorn as a service.

bind > Server(service) > LoopbackOnly > the application, whose late parts stand behind a `Late`
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
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


class LoopbackOnly:
    """Answers only those who asked for this machine by its own name, from a page of its own.

    A page of another site can make a browser send requests here, by a name that resolves to 127.0.0.1
    (DNS rebinding) or by a WebSocket, which knows no same-origin rule. Both tell in Host or Origin.

    Args:
        app: What is guarded.
        port: The port that Host and Origin must name.
    """

    def __init__(self, app: Asgi, port: int) -> None:
        self._app = app
        names = ("localhost", "127.0.0.1", "[::1]")
        self._hosts = {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())  # noqa: PLR2004
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 403 (421 for a foreign Host)."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1").lower() for name, value in scope["headers"]}
        if headers.get(b"host", "") not in self._hosts:
            shown = ", ".join(sorted(self._hosts))
            await _refuse(scope, receive, send, 421, f"Ask by one of these names: {shown}.")
            return
        origin = headers.get(b"origin")
        unsafe = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if unsafe and origin is not None and origin not in self._origins:
            await _refuse(scope, receive, send, 403, "Requests from pages of other sites are refused.")
            return
        await self._app(scope, receive, send)


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
