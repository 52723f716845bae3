"""Long queries: their progress and their end. Give a call a `query_id` of `new_id()` first."""

from __future__ import annotations

from uuid import UUID, uuid4

from dozor.client.connection import Connection
from dozor.wire.queries import QueryStatus


def new_id() -> UUID:
    """An id that nobody can guess."""
    return uuid4()


class Queries:
    """`/api/v1/queries`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def status(self, id: UUID) -> QueryStatus:  # noqa: A002 - the field's name
        """How far a query is.

        Raises:
            ApiError: NotFound when it has not come yet, or ended more than five minutes ago.
        """
        return self._connection.get(f"/api/v1/queries/{id}", QueryStatus)

    def cancel(self, id: UUID) -> None:  # noqa: A002
        """Call a query off; the call that waits for it raises `Cancelled`. One that ended stays as it is.

        Raises:
            ApiError: NotFound as above.
        """
        self._connection.delete(f"/api/v1/queries/{id}")
