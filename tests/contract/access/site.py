"""The whole application in the process of the test: the guard, the API, the pages before the console."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from dozor.app.api import access_routers, api_routers
from dozor.app.door import PageTokens, build_rules
from dozor.app.server import Parts, create_app
from dozor.app.settings import Settings
from dozor.console.door import Door
from dozor.features.access.model import COMMAND_LINE, LOCAL
from dozor.features.traffic.ports import TrafficQueries
from dozor.infra.queries import QueryPool
from dozor.infra.server import Asgi, Receive, Scope, Send, answer
from tests.contract.traffic.served import STATUS, FakeQueries
from tests.unit.access.world import PASSWORD, World

BASE = "http://127.0.0.1:5000"
CONSOLE_SECRET = "what-the-console-names-itself-by"
LIFTED = {"enabled": False}


async def console(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands at the console's place and lets everybody in, so that only the guard keeps them out."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "subprotocol": scope["client"][0]})
        await send({"type": "websocket.close", "code": 1000})
        return
    await answer(send, 200, b"the console")


@dataclass
class Site:
    """An application over people in memory.

    Args:
        settings: Branches of the settings, by name.
        world: The people, and the time.
    """

    settings: Mapping[str, Any] = field(default_factory=lambda: {"limits": LIFTED})
    world: World = field(default_factory=World)

    def __post_init__(self) -> None:
        quick = {"bcrypt_rounds": 4, **self.settings.get("access", {})}
        chosen = Settings.model_validate({**self.settings, "access": quick})
        self.world.settings = chosen.access
        self.world.access = self.world.process()
        self.door = Door()
        self.pages = PageTokens(self.world.keys)
        self.pool = QueryPool()
        self.parts = Parts(
            port=5000,
            rules=build_rules(
                chosen,
                self.world.access,
                self.pages,
                console_secret=CONSOLE_SECRET,
                is_door=self.door.serves,
            ),
            reasons=self._reasons,
            routers=(
                *access_routers(chosen, self.world.access, self.pages),
                *api_routers(cast("TrafficQueries", FakeQueries()), lambda: (STATUS,), self.pool),
            ),
            console=console,
            door=self.door,
            host_names=chosen.door.host_names,
            cors_origins=chosen.access.cors_origins,
        )
        self.app: Asgi = create_app(self.parts)

    async def _reasons(self) -> Mapping[str, str]:
        return {"store": "Away."}

    def client(self, token: str = "", *, address: str = "127.0.0.1", base: str = BASE) -> httpx.AsyncClient:
        """A client of this application.

        Args:
            token: What it sends as `Authorization: Bearer`; nothing when empty.
            address: Where it asks from.
            base: Scheme, name and port that it asks for.
        """
        headers = {"Accept-Language": "en"} | ({"Authorization": f"Bearer {token}"} if token else {})
        transport = httpx.ASGITransport(cast("Any", self.app), client=(address, 40_000))
        return httpx.AsyncClient(transport=transport, base_url=base, headers=headers)

    async def token(self, role: str) -> str:
        """An access token of a new person with this role; of the owner for `owner`."""
        if role == "owner":
            if await self.world.access.setup.is_needed():
                await self.world.owner()
            return (await self.world.login()).access_token
        name = f"{role}-{len(await self.world.access.people.list())}"
        await self.world.person(name, role)
        return (await self.world.login(name)).access_token

    async def key(self, role: str = "admin", scopes: tuple[str, ...] = ()) -> str:
        """A new API key that belongs to nobody."""
        _key, secret = await self.world.access.keys.create(
            COMMAND_LINE, LOCAL, name="test", role=role, scopes=scopes, for_nobody=True
        )
        return secret

    async def websocket(
        self,
        path: str,
        cookie: str = "",
        *,
        host: str = "127.0.0.1:5000",
        address: str = "127.0.0.1",
        **more: str,
    ) -> dict[str, Any]:
        """The first answer to a WebSocket; `more` are headers, with underscores for dashes."""
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            said.append(dict(message))

        sent = {"host": host, **({"cookie": cookie} if cookie else {}), **more}
        headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()]
        scope = {
            "type": "websocket",
            "path": path,
            "headers": headers,
            "query_string": b"",
            "scheme": "ws",
            "client": (address, 40_000),
        }
        await self.app(scope, receive, send)
        return said[0]


def visit(story: Callable[[Site], Coroutine[Any, Any, None]], **settings: Any) -> Site:
    """Play a story in a new application; limits are lifted unless the settings say more."""

    async def main() -> Site:
        site = Site({"limits": LIFTED, **settings})
        try:
            await story(site)
        finally:
            site.pool.close()
        return site

    return asyncio.run(main())


async def sign_in(client: httpx.AsyncClient, username: str = "anna", **query: str) -> dict[str, Any]:
    """Sign in over HTTP: what is told."""
    answer = await client.post(
        "/api/v1/auth/login", params=query, json={"username": username, "password": PASSWORD}
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told
