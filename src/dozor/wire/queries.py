"""Long queries: how far one is."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from dozor.wire.base import Fraction, RandomId, Seconds, Wire

QueryState = Literal["waiting", "running", "done", "cancelled", "failed"]


class QueryStatus(Wire):
    """A query that was sent with a `query_id`, up to five minutes after its end."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "7f3d4c6a-2b1e-4f0a-9c55-1d2e3f405162",
                    "state": "running",
                    "progress": 0.42,
                    "elapsed_seconds": 1.8,
                }
            ]
        }
    )

    id: RandomId = Field(description="The `query_id`.")
    state: QueryState = Field(
        description="`waiting` for a free place, `running`, or how it ended: `done`, `cancelled`, `failed`."
    )
    progress: Fraction = Field(description="Share of the work that is done, 0 to 1.")
    elapsed_seconds: Seconds = Field(description="Time since it came, until its end.")
