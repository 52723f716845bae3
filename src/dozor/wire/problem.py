"""What every failure looks like: RFC 9457 problem details."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import ConfigDict, Field

from dozor.wire.base import Wire

ProblemType = Literal[
    "urn:dozor:problem:bad-request",
    "urn:dozor:problem:invalid-parameter",
    "urn:dozor:problem:not-authenticated",
    "urn:dozor:problem:invalid-token",
    "urn:dozor:problem:token-reused",
    "urn:dozor:problem:invalid-credentials",
    "urn:dozor:problem:totp-required",
    "urn:dozor:problem:forbidden",
    "urn:dozor:problem:csrf",
    "urn:dozor:problem:not-found",
    "urn:dozor:problem:method-not-allowed",
    "urn:dozor:problem:conflict",
    "urn:dozor:problem:too-large",
    "urn:dozor:problem:too-many-attempts",
    "urn:dozor:problem:too-many-requests",
    "urn:dozor:problem:query-cancelled",
    "urn:dozor:problem:query-id-taken",
    "urn:dozor:problem:job-failed",
    "urn:dozor:problem:unavailable",
    "urn:dozor:problem:busy",
    "urn:dozor:problem:internal",
    "about:blank",
]
"""Which failure it is; programs look at this, people read `title` and `detail`."""


class ParameterProblem(Wire):
    """One parameter that cannot be used."""

    parameter: str = Field(description="Name of the parameter.")
    value: str = Field(description="Its value as it came, at most 200 characters.")
    detail: str = Field(description="What is wrong with it.")
    hint: str = Field("", description="What would do.")


class Problem(Wire):
    """Why a call failed and what its sender can do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:dozor:problem:bad-request",
                    "title": "The question cannot be understood.",
                    "status": 400,
                    "detail": "Time 'yesterday' cannot be read.",
                    "hint": "Write ISO 8601, such as 2026-11-22T10:00 (UTC).",
                    "errors": [
                        {
                            "parameter": "since",
                            "value": "yesterday",
                            "detail": "Time 'yesterday' cannot be read.",
                            "hint": "Write ISO 8601, such as 2026-11-22T10:00 (UTC).",
                        }
                    ],
                }
            ]
        }
    )

    type: str = Field(
        description="Which failure it is: a stable name for programs. A newer server may know more of them.",
        examples=list(get_args(ProblemType)),
    )
    title: str = Field(description="The failure in a few words, the same for each of its type.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What failed and why, in the language of `Accept-Language`.")
    hint: str = Field("", description="The way out, in the same language.")
    errors: tuple[ParameterProblem, ...] = Field((), description="The parameters that are to blame.")
    retry_after: int | None = Field(None, description="Seconds after which to try again.")
    id: str | None = Field(None, description="Of an internal error: the id under which the log tells more.")
