from __future__ import annotations

import asyncio
import os
import socket
import threading

import httpx
import pytest

from dozor.infra.server import (
    Late,
    Message,
    Names,
    Receive,
    Scope,
    Send,
    Server,
    answer,
    bind,
    listener,
)
from dozor.kernel.errors import JobError, UsageError


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await answer(send, 200, b"hello")


def ask(method: str = "GET", **headers: str) -> int:
    async def main() -> int:
        transport = httpx.ASGITransport(Names(hello, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:5000") as client:
            return (await client.request(method, "/", headers=headers)).status_code

    return asyncio.run(main())


def open_websocket(**headers: str) -> str:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "path": "/", "headers": named}
    asyncio.run(Names(hello, 5000)(scope, receive, send))
    return str(sent[0]["type"])


@pytest.mark.parametrize(
    ("kind", "path", "answered"),
    [("http", "/api/v1/people", True), ("http", "/people", False), ("websocket", "/_stcore/stream", False)],
)
def test_a_listed_site_may_call_the_api_and_nothing_else(kind: str, path: str, *, answered: bool) -> None:
    asked: list[Scope] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        asked.append(scope)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        del message

    site = b"https://app.example.com"
    headers = [(b"host", b"127.0.0.1:5000"), (b"origin", site)]
    scope = {"type": kind, "path": path, "method": "POST", "headers": headers}
    asyncio.run(Names(noting, 5000, origins=[site.decode()])(scope, receive, send))
    assert bool(asked) == answered


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "LOCALHOST:5000"])
def test_this_machine_is_answered_by_its_own_names(host: str) -> None:
    assert ask(host=host) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5000", "localhost", "localhost:80", "127.0.0.1.evil.example:5000", ""],
)
def test_another_name_is_refused_as_it_may_be_rebound(host: str) -> None:
    assert ask(host=host) == 421


@pytest.mark.parametrize(
    ("method", "origin", "status"),
    [
        ("POST", "http://evil.example", 403),
        ("POST", "null", 403),
        ("DELETE", "https://localhost:5000", 403),
        ("POST", "http://localhost:5001", 403),
        ("POST", "http://localhost:5000", 200),
        ("GET", "http://evil.example", 200),
    ],
)
def test_other_sites_may_read_nothing_and_change_nothing(method: str, origin: str, status: int) -> None:
    # A GET is answered: without a CORS header the browser shows nothing of it to the other site.
    assert ask(method, origin=origin) == status


@pytest.mark.parametrize(
    ("headers", "came"),
    [
        ({"host": "localhost:5000"}, "websocket.accept"),
        ({"host": "localhost:5000", "origin": "http://localhost:5000"}, "websocket.accept"),
        ({"host": "localhost:5000", "origin": "http://evil.example"}, "websocket.close"),
        ({"host": "evil.example", "origin": "http://evil.example"}, "websocket.close"),
    ],
)
def test_a_websocket_of_another_site_is_closed(headers: dict[str, str], came: str) -> None:
    assert open_websocket(**headers) == came


def test_a_port_in_use_names_the_process() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert listener(port).endswith(f", process {os.getpid()}")
        with pytest.raises(JobError, match=rf"Port {port} is in use by .*, process {os.getpid()}\."):
            bind("127.0.0.1", port)


def test_nobody_listens_on_a_free_port() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
    assert listener(port) == ""


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Cannot listen on 192\.0\.2\.1: .*Set HOST"):
        bind("192.0.2.1", 0)


def test_a_server_lets_an_answer_under_way_finish() -> None:
    began = threading.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        began.set()
        await asyncio.sleep(0.3)
        await answer(send, 200, b"done")

    async def main() -> tuple[str, bool]:
        listening = bind("127.0.0.1", 0)
        port = listening.getsockname()[1]
        stop = asyncio.Event()
        serving = asyncio.create_task(Server(slow, listening).run(stop))
        async with httpx.AsyncClient() as client:
            asking = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/"))
            await asyncio.wait_for(asyncio.to_thread(began.wait), 10)
            stop.set()
            body = (await asking).text
        await serving
        with socket.socket() as probe:
            return body, probe.connect_ex(("127.0.0.1", port)) == 0

    assert asyncio.run(main()) == ("done", False)


def test_nobody_is_believed_about_addresses_by_the_server_itself() -> None:
    """Whom to believe is a setting, which the server does not know; Uvicorn believes all on loopback."""

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        await answer(send, 200, f"{scope['client'][0]} {scope['scheme']}".encode())

    async def main() -> str:
        listening, stop = bind("127.0.0.1", 0), asyncio.Event()
        port = listening.getsockname()[1]
        serving = asyncio.create_task(Server(told, listening).run(stop))
        sent = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        async with httpx.AsyncClient() as client:
            body = (await client.get(f"http://127.0.0.1:{port}/", headers=sent)).text
        stop.set()
        await serving
        return body

    assert asyncio.run(main()) == "127.0.0.1 http"


def test_an_application_that_comes_late_is_waited_for() -> None:
    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await answer(send, 503, b"wait", retry_after="1")

    late = Late(waiting)

    async def status() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(late), base_url="http://a") as client:
            return (await client.get("/")).status_code

    assert asyncio.run(status()) == 503
    late.app = hello
    assert asyncio.run(status()) == 200
