"""Failures of a call, sorted by what the caller should do.

ApiError          every failure of a call; `problem` holds what the server said
  BadRequest      the parameters are wrong: change them (400, 405, 422)
    Conflict      it contradicts what is there, such as a name that is taken (409)
  Unauthorized    nobody is signed in, or what was typed is wrong (401)
    TotpRequired  the password is right, a code of the second factor is missing (401)
  Forbidden       who is signed in may not do this (403)
  NotFound        there is no such thing (404)
  Cancelled       the query was called off (409)
  Unavailable     no answer for now: wait `retry_after` seconds and try again (503, no connection)
    TooManyRequests  more calls, or failed logins, than are allowed (429, RFC 6585)
  ServerError     a bug or an answer that is none; `problem.id` names it in the server's log (the rest)
"""

from __future__ import annotations

from dozor.kernel.errors import DozorError
from dozor.wire.problem import Problem


class ApiError(DozorError):
    """A call failed.

    Args:
        message: What failed and why, one line, in the reader's language.
        hint: What the reader can do about it.
        problem: What the server said; None when it said nothing that could be read.
        retry_after: Seconds after which to try again, if the server said so.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        problem: Problem | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.problem = problem
        self.retry_after = retry_after if problem is None else problem.retry_after or retry_after


class BadRequest(ApiError):  # noqa: N818 - a status by its name, as the others below
    """The parameters are wrong; `problem.errors` names them."""


class Conflict(BadRequest):
    """It contradicts what is there: a name that is taken, a role that people have."""


class Unauthorized(ApiError):  # noqa: N818
    """Nobody is signed in, or a name, password or code is wrong."""


class TotpRequired(Unauthorized):
    """The password is right; sign in again with a code of the second factor."""


class Forbidden(ApiError):  # noqa: N818
    """Who is signed in may not do this."""


class NotFound(ApiError):  # noqa: N818
    """There is no such thing."""


class Cancelled(ApiError):  # noqa: N818
    """The query was called off, by whoever knew its id."""


class Unavailable(ApiError):  # noqa: N818
    """No answer for now: the server is away or busy, or its store is."""


class TooManyRequests(Unavailable):
    """More calls, or failed logins, than are allowed; `retry_after` tells when to come again."""


class ServerError(ApiError):
    """The server failed in a way that it did not foresee."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: BadRequest,
    409: Cancelled,
    422: BadRequest,
    429: TooManyRequests,
    503: Unavailable,
}


_BY_TYPE: dict[str, type[ApiError]] = {
    "urn:dozor:problem:query-id-taken": BadRequest,
    "urn:dozor:problem:conflict": Conflict,
    "urn:dozor:problem:totp-required": TotpRequired,
}


def error_of(
    status: int, problem: Problem | None, fallback: str, *, retry_after: int | None = None
) -> ApiError:
    """The exception for an answer.

    Args:
        status: The HTTP status, 400 or more.
        problem: What the server said, if it could be read.
        fallback: What to say when it could not.
        retry_after: What the header of this name says.
    """
    kind = _BY_STATUS.get(status, ServerError)
    if problem is None:
        return kind(fallback, retry_after=retry_after)
    kind = _BY_TYPE.get(problem.type, kind)
    return kind(problem.detail, hint=problem.hint, problem=problem, retry_after=retry_after)
