"""What can be set about web logs."""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from dozor.kernel.i18n import N_


class TrafficSettings(BaseModel):
    """Settings of the feature traffic: formats, the real client, countries, sources, the store, speed."""

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
    logs: Annotated[
        list[str],
        Field(
            description=N_("Logs that `dozor up` follows: paths, or patterns such as /var/log/nginx/*.log.")
        ),
    ] = []
    syslog_udp: Annotated[
        str | None,
        Field(description=N_("Address and port to receive syslog on by UDP, such as 127.0.0.1:5514.")),
    ] = None
    syslog_tcp: Annotated[
        str | None,
        Field(description=N_("Address and port to receive syslog on by TCP, such as 127.0.0.1:5514.")),
    ] = None
    clickhouse_url: Annotated[
        str | None,
        Field(
            description=N_(
                "ClickHouse server that keeps the events, such as http://db:8123/dozor; "
                "without it they are kept in the data folder."
            )
        ),
    ] = None
    clickhouse_user: Annotated[str, Field(description=N_("User of the ClickHouse server."))] = "default"
    clickhouse_password: Annotated[SecretStr | None, Field(description=N_("Password of that user."))] = None
    retention_days: Annotated[
        int, Field(ge=1, le=36500, description=N_("Days that stored events are kept."))
    ] = 30
    batch_delay_s: Annotated[
        float,
        Field(
            ge=0.01, le=60, description=N_("Seconds between two looks at a log: how long a new line waits.")
        ),
    ] = 0.1
    batch_mb: Annotated[
        int, Field(ge=1, le=256, description=N_("Most MiB of lines that are stored in one go."))
    ] = 16
    queue_batches: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description=N_("Batches of a source that may wait for the store before reading pauses."),
        ),
    ] = 4
    queue_mb: Annotated[
        int,
        Field(ge=1, le=10_000, description=N_("MiB of lines that may wait for the store, of all sources.")),
    ] = 64
    lag_warning_s: Annotated[
        float,
        Field(
            gt=0, description=N_("Warn when the oldest line that is not stored yet waits this many seconds.")
        ),
    ] = 30.0
