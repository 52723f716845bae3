"""What routes may need, and what can be set about who is let in, under which names, and how often.

It stands apart from the code that uses it, so that reading settings imports nothing that counts or serves.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dozor.kernel.i18n import N_

SELF = "self"
"""Needed by routes about the caller: to be signed in is enough, by an API key too."""

PERSON = "person"
"""Needed by routes about the caller that no API key may use, such as a change of the password."""

PUBLIC = "public"
"""Needed by routes that are for everybody."""

NEED = "x-permission"
"""Where a route's need stands in the OpenAPI document."""


OR = " | "
"""Between needs of a route any of which is enough."""


def needs(*permissions: str) -> dict[str, Any]:
    """What a route needs, for its `openapi_extra`.

    Args:
        permissions: A permission such as `traffic.read`, or `SELF`, `PERSON` or `PUBLIC`; of several any
            one is enough.
    """
    return {NEED: OR.join(permissions)}


class DoorSettings(BaseModel):
    """Under which names this process is asked, and through whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host_names: list[str] = Field(
        [],
        description=N_(
            "Names or addresses by which browsers and programs ask for Dozor from other machines, such as "
            "dozor.example.com; requests for other names are refused."
        ),
        json_schema_extra={"variable": "ALLOWED_HOSTS"},
    )
    trusted_proxies: list[IPv4Network | IPv6Network] = Field(
        [],
        description=N_("Proxies before Dozor whose X-Forwarded-For and X-Forwarded-Proto are believed."),
    )


def _readable(text: str) -> str:
    from limits import parse_many  # noqa: PLC0415 - only who sets a limit pays for it

    parse_many(text)
    return text


Allowance = Annotated[str, AfterValidator(_readable)]
"""How often, as settings say it: `5/15 minutes`, or several: `100/minute; 1000/hour`."""


class LimitsSettings(BaseModel):
    """How often callers may ask."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=True, description=N_("Whether calls and failed logins are limited; false lifts all limits.")
    )
    default: Allowance = Field(
        "100/minute; 1000/hour",
        description=N_("Calls of the API by one session or key, or by one address without them."),
    )
    routes: dict[str, Allowance] = Field(
        {"GET /api/v1/bots": "60/minute"},
        description=N_("Limits of single routes in place of the default, by method and path."),
    )
    login: Allowance = Field(
        "5/15 minutes", description=N_("Failed logins from one address, and for one account.")
    )
    console: Allowance = Field("1200/minute", description=N_("Calls by one session of the console."))
    agents: Allowance = Field("600/minute", description=N_("Calls by one agent on another server."))
    webhooks: Allowance = Field("6000/minute", description=N_("Calls of webhooks from one address."))
