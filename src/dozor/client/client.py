"""The client: one per process, since its connections are kept (a new one costs 20 ms a call)."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dozor.client.connection import Connection
from dozor.client.queries import Queries
from dozor.client.traffic import Traffic

if TYPE_CHECKING:
    import httpx


class Client:
    """Calls a Dozor server; safe for several threads.

    Texts of failures come in the language of the calling context (`kernel.i18n`).

    Args:
        base_url: Address of the server, without `/api`.
        timeout: Seconds without a byte after which a call is given up.
        headers: Sent with every call.
        transport: Instead of the network, for tests.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:5000",
        *,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(base_url, timeout=timeout, headers=headers, transport=transport)
        self.base_url = base_url
        self.traffic = Traffic(self._connection)
        self.queries = Queries(self._connection)

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
