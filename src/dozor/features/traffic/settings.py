"""What can be set about web logs."""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from dozor.kernel.i18n import N_


class TrafficSettings(BaseModel):
    """Settings of the feature traffic: formats, the real client, countries, memory and workers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    log_format: Annotated[
        str,
        Field(
            description=N_(
                "Format of access logs: auto, combined, main, common, json, nginx-error, "
                "or an nginx log_format string."
            )
        ),
    ] = "auto"
    json_fields: Annotated[
        dict[str, str],
        Field(description=N_("Names of JSON log keys that differ from nginx's variables: key=variable.")),
    ] = {}
    trusted_proxies: Annotated[
        list[IPv4Network | IPv6Network],
        Field(description=N_("Networks of proxies whose X-Forwarded-For names the real client.")),
    ] = []
    country_database: Annotated[
        Path | None,
        Field(description=N_("MaxMind country database (.mmdb); without it the built-in table is used.")),
    ] = None
    memory_budget_mb: Annotated[
        int,
        Field(ge=64, description=N_("Memory in MiB that counting may take before it spills to disk.")),
    ] = 512
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description=N_("Threads that parse and detect."),
        json_schema_extra={"default": N_("number of cores")},
    )
