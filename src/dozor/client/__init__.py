"""The typed client of Dozor's REST API: for the console, the command line and programs of users.

    from dozor.client import Client, Scope

    with Client("http://127.0.0.1:5000") as dozor:
        summary = dozor.traffic.summary(Scope(since="24h", country="DE"))
        print(summary.requests, summary.top_paths[0].value)

What methods return and take are the models of `dozor.wire`, named here too, so that nobody needs a second
import. Failures are the exceptions of `dozor.client.errors`.
"""

from dozor.client.client import Client
from dozor.client.errors import (
    ApiError,
    BadRequest,
    Cancelled,
    Forbidden,
    NotFound,
    ServerError,
    Unauthorized,
    Unavailable,
)
from dozor.wire.problem import ParameterProblem, Problem
from dozor.wire.queries import QueryStatus
from dozor.wire.traffic import (
    Attacker,
    AttackRow,
    Bucket,
    Change,
    Changes,
    CountedRow,
    Coverage,
    ErrorGroup,
    ErrorGroups,
    ErrorLine,
    ErrorLines,
    ErrorRow,
    Evidence,
    Finding,
    Findings,
    Geography,
    Line,
    Lines,
    Previous,
    Reject,
    Rejects,
    Scope,
    Series,
    Source,
    Sources,
    SourceStatus,
    Span,
    Summary,
    Timeline,
    TopList,
    TopRow,
)

__all__ = [
    "ApiError",
    "AttackRow",
    "Attacker",
    "BadRequest",
    "Bucket",
    "Cancelled",
    "Change",
    "Changes",
    "Client",
    "CountedRow",
    "Coverage",
    "ErrorGroup",
    "ErrorGroups",
    "ErrorLine",
    "ErrorLines",
    "ErrorRow",
    "Evidence",
    "Finding",
    "Findings",
    "Forbidden",
    "Geography",
    "Line",
    "Lines",
    "NotFound",
    "ParameterProblem",
    "Previous",
    "Problem",
    "QueryStatus",
    "Reject",
    "Rejects",
    "Scope",
    "Series",
    "ServerError",
    "Source",
    "SourceStatus",
    "Sources",
    "Span",
    "Summary",
    "Timeline",
    "TopList",
    "TopRow",
    "Unauthorized",
    "Unavailable",
]
