"""What can be set about the state database and the cache that processes share.

They stand apart from the code that uses them, so that reading settings imports no database driver.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from dozor.kernel.i18n import N_


class DatabaseSettings(BaseModel):
    """Settings of the state database: where it is, and how many connections are kept to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[
        SecretStr | None,
        Field(
            description=N_(
                "Database of people, keys and the audit trail, such as postgresql://user:password@db/dozor; "
                "without it state.sqlite in the data folder."
            ),
            json_schema_extra={"variable": "DATABASE_URL"},
        ),
    ] = None
    pool_size: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description=N_("Connections to PostgreSQL that stay open."),
            json_schema_extra={"variable": "DATABASE_POOL_SIZE"},
        ),
    ] = 20
    max_overflow: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description=N_("Connections to PostgreSQL beyond those, closed after use."),
            json_schema_extra={"variable": "DATABASE_MAX_OVERFLOW"},
        ),
    ] = 30
    pool_timeout_s: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            description=N_("Seconds to wait for a free connection, or for one to open."),
            json_schema_extra={"variable": "DATABASE_POOL_TIMEOUT"},
        ),
    ] = 10.0
    pool_recycle_s: Annotated[
        int,
        Field(
            ge=0,
            description=N_("Seconds after which a connection is opened anew; 0 never."),
            json_schema_extra={"variable": "DATABASE_POOL_RECYCLE"},
        ),
    ] = 3600


class CacheSettings(BaseModel):
    """Settings of what several processes share at once: counts of requests, and revoked sessions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[
        SecretStr | None,
        Field(
            description=N_(
                "Valkey or Redis that several processes share, such as redis://localhost:6379/0; "
                "without it each process counts by itself."
            ),
            json_schema_extra={"variable": "REDIS_URL"},
        ),
    ] = None
    key_prefix: Annotated[
        str,
        Field(
            max_length=64,
            description=N_("What the names of Dozor's keys there begin with."),
            json_schema_extra={"variable": "CACHE_KEY_PREFIX"},
        ),
    ] = "dozor:"
