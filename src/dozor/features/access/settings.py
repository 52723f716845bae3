"""What can be set about people, sessions and the audit trail."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from dozor.kernel.i18n import N_

_HOUR = 3600
_DAY = 86_400


class AccessSettings(BaseModel):
    """Settings of the feature access. Limits of calls and of sign-ins stand in the branch `limits`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    access_token_s: int = Field(
        1800,
        ge=60,
        le=_HOUR,
        description=N_("Seconds that an access token lives, an hour at the most."),
        json_schema_extra={"variable": "JWT_ACCESS_TOKEN_EXPIRES"},
    )
    refresh_token_s: int = Field(
        30 * _DAY,
        ge=_HOUR,
        le=365 * _DAY,
        description=N_("Seconds that a refresh token lives when it is not used."),
        json_schema_extra={"variable": "JWT_REFRESH_TOKEN_EXPIRES"},
    )
    session_timeout_s: int = Field(
        _DAY // 2,
        ge=60,
        le=365 * _DAY,
        description=N_("Seconds after which an unused console session ends."),
        json_schema_extra={"variable": "SESSION_TIMEOUT"},
    )
    console_days: Annotated[
        int, Field(ge=1, le=365, description=N_("Days after which a console session ends, used or not."))
    ] = 30
    admin_username: str | None = Field(
        None,
        description=N_(
            "Name of the owner that is made at start from ADMIN_PASSWORD_HASH when there is none."
        ),
        json_schema_extra={"variable": "ADMIN_USERNAME"},
    )
    admin_password_hash: SecretStr | None = Field(
        None,
        description=N_(
            "Password hash of that owner, bcrypt or werkzeug's pbkdf2:sha256; made anew at the first sign-in."
        ),
        json_schema_extra={"variable": "ADMIN_PASSWORD_HASH"},
    )
    previous_secret_keys: Annotated[
        list[SecretStr],
        Field(description=N_("Former SECRET_KEYs: what they signed or encrypted stays valid.")),
    ] = []
    console_networks: Annotated[
        list[IPv4Network | IPv6Network],
        Field(
            description=N_(
                "Networks that may use the console; none means all. This machine itself always may."
            )
        ),
    ] = []
    metrics_networks: Annotated[
        list[IPv4Network | IPv6Network],
        Field(description=N_("Networks that may read /metrics without a token, besides this machine.")),
    ] = []
    cors_origins: Annotated[
        list[str],
        Field(
            description=N_("Web origins that may call the API from a browser, such as https://example.com.")
        ),
    ] = []
    password_min_length: Annotated[
        int, Field(ge=8, le=128, description=N_("Fewest characters of a new password."))
    ] = 8
    bcrypt_rounds: Annotated[
        int,
        Field(ge=4, le=16, description=N_("Cost of password hashes: each step more takes twice as long.")),
    ] = 12
    audit_file: Annotated[
        Path | None,
        Field(
            description=N_("File that gets each audit record as a JSON line; audit.jsonl in the data folder.")
        ),
    ] = None
    audit_output: Annotated[
        Literal["file", "journald", "none"],
        Field(description=N_("Where audit records go besides the database: file, journald or none.")),
    ] = "file"
    abuse_refusals: Annotated[
        int,
        Field(
            ge=1,
            description=N_("Refused calls of one address in a minute that count as abuse of the limits."),
        ),
    ] = 60
