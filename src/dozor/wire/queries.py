"""Long queries: how far one is."""

from __future__ import annotations

from typing import Literal

from pydantic import UUID4, Field

from dozor.wire.base import Fraction, Seconds, Wire

QueryState = Literal["waiting", "running", "done", "cancelled", "failed"]


class QueryStatus(Wire):
    """A query that was sent with a `query_id`, up to five minutes after its end."""

    id: UUID4 = Field(description="The `query_id`.")
    state: QueryState = Field(
        description="`waiting` for a free place, `running`, or how it ended: `done`, `cancelled`, `failed`."
    )
    progress: Fraction = Field(description="Share of the work that is done, 0 to 1.")
    elapsed_seconds: Seconds = Field(description="Time since it came, until its end.")
