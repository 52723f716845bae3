"""The client: one per process, since its connections are kept (a new one costs 20 ms a call)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dozor.client.access import Access
from dozor.client.connection import Connection
from dozor.client.identity import Anonymous, Bearer, BrowserLike, Identity, SignedIn
from dozor.client.queries import Queries
from dozor.client.tokens import InMemoryTokens, TokenKeeper
from dozor.client.traffic import Traffic
from dozor.wire.access import Login, Me, Refresh, Tokens

if TYPE_CHECKING:
    import httpx


class Calls:
    """All calls, in the name of somebody.

    Args:
        connection: To the server, with who calls.
    """

    def __init__(self, connection: Connection) -> None:
        self.access = Access(connection)
        self.traffic = Traffic(connection)
        self.queries = Queries(connection)


class Client(Calls):
    """Calls a Dozor server; safe for several threads.

    Say who calls in one of four ways: by `token`, by `username` and `password`, by `tokens` of an earlier
    login, or by `cookies`. Texts of failures come in the language of the calling context (`kernel.i18n`).

    Args:
        base_url: Address of the server, without `/api`.
        token: An API key, or an access token that is renewed elsewhere.
        username: Who signs in, at the first call; tokens are refreshed by themselves then.
        password: Their password.
        totp: A code of their second factor, for that one login.
        tokens: Where tokens of a login are kept; in memory by default.
        cookies: Of a browser; calls that change something get the CSRF token.
        timeout: Seconds without a byte after which a call is given up.
        headers: Sent with every call.
        transport: Instead of the network, for tests.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:5000",
        *,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        totp: str | None = None,
        tokens: TokenKeeper | None = None,
        cookies: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url
        self._nobody = Connection(base_url, timeout=timeout, headers=headers, transport=transport)
        login = None
        if username is not None:
            login = Login.model_construct(username=username, password=password or "", totp=totp)
        if token is not None:
            identity: Identity = Bearer(token)
        elif cookies is not None:
            identity = BrowserLike(cookies, self._me_of(cookies, {}))
        elif login is not None or tokens is not None:
            identity = SignedIn(tokens or InMemoryTokens(), self._post, login)
        else:
            identity = Anonymous()
        super().__init__(self._nobody.bound(identity))

    def with_cookies(self, cookies: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Calls:
        """The same connections in the name of the person whose cookies these are.

        Args:
            cookies: Of their browser.
            headers: Sent with every call of theirs.
        """
        identity = BrowserLike(cookies, self._me_of(cookies, headers or {}))
        return Calls(self._nobody.bound(identity, headers))

    def close(self) -> None:
        """Close all connections."""
        self._nobody.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, path: str, body: Login | Refresh) -> Tokens:
        return self._nobody.send("POST", path, Tokens, body)

    def _me_of(self, cookies: Mapping[str, str], headers: Mapping[str, str]) -> Callable[[], Me]:
        def me() -> Me:
            asking = self._nobody.bound(BrowserLike(cookies, me), headers)
            return Access(asking).me()

        return me
