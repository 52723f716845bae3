from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from dozor.infra import problems
from dozor.infra.queries import BusyError, IdTakenError
from dozor.kernel.errors import CancelledError, JobError, UnavailableError, UsageError
from dozor.kernel.i18n import current_language
from dozor.wire.problem import Problem

ERRORS: Mapping[str, Exception] = {
    "usage": UsageError("Time 'x' cannot be read.", hint="Write ISO 8601."),
    "parameter": problems.ParameterError("since", "x" * 300, "It is no time.", hint="Write ISO 8601."),
    "missing": problems.NotFoundError("There is no line 7."),
    "taken": IdTakenError("A query with that id is under way."),
    "cancelled": CancelledError("The query was called off."),
    "away": UnavailableError("The store is away."),
    "busy": BusyError("32 questions wait already."),
    "job": JobError("The archive is cut short."),
    "bug": ZeroDivisionError("a secret of the program"),
}


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(10, ge=1, le=100)
    word: Literal["this", "that"] = "this"
    flag: bool = False
    text: str = Field("", max_length=3)


def app() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)
    problems.install(app)

    @app.get("/fails/{name}")
    async def fails(name: str) -> None:
        raise ERRORS[name]

    @app.get("/takes")
    async def takes(_asked: Annotated[Parameters, Query()]) -> str:
        return current_language()

    @app.get("/breaks")
    async def breaks() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"half"
            raise ZeroDivisionError

        return StreamingResponse(pieces())

    return app


def get(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app())
        async with httpx.AsyncClient(transport=transport, base_url="http://dozor") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, headers=named)

    return asyncio.run(main())


def told(response: httpx.Response) -> Problem:
    """The problem; nothing is sent that the model does not know."""
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json().keys() <= Problem.model_fields.keys()
    problem = Problem.model_validate_json(response.content)
    assert problem.status == response.status_code
    return problem


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("usage", 400, "bad-request"),
        ("parameter", 400, "bad-request"),
        ("missing", 404, "not-found"),
        ("taken", 409, "query-id-taken"),
        ("cancelled", 409, "query-cancelled"),
        ("away", 503, "unavailable"),
        ("busy", 503, "busy"),
        ("job", 500, "job-failed"),
    ],
)
def test_every_expected_failure_has_its_status_and_says_its_words(name: str, status: int, kind: str) -> None:
    problem = told(get(f"/fails/{name}"))
    assert problem.status == status
    assert problem.type == f"urn:dozor:problem:{kind}"
    error = ERRORS[name]
    assert problem.detail == error.message  # type: ignore[attr-defined]
    assert problem.hint == error.hint  # type: ignore[attr-defined]


def test_a_bad_parameter_is_named_with_its_value_cut_to_a_readable_length() -> None:
    (blamed,) = told(get("/fails/parameter")).errors
    assert (blamed.parameter, blamed.value) == ("since", "x" * 200)
    assert (blamed.detail, blamed.hint) == ("It is no time.", "Write ISO 8601.")


@pytest.mark.parametrize(("name", "seconds"), [("away", 5), ("busy", 1)])
def test_what_is_away_says_when_to_try_again(name: str, seconds: int) -> None:
    response = get(f"/fails/{name}")
    assert response.headers["Retry-After"] == str(seconds)
    assert told(response).retry_after == seconds


def test_a_bug_tells_an_id_and_only_the_log_tells_more(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        response = get("/fails/bug")
    problem = told(response)
    assert problem.type == "urn:dozor:problem:internal"
    assert problem.id
    assert "secret" not in response.text
    (record,) = [record for record in caplog.records if record.name == "dozor.infra.problems"]
    assert problem.id in record.getMessage()
    assert record.exc_info is not None
    assert "a secret of the program" in str(record.exc_info[1])


def test_a_bug_in_the_middle_of_an_answer_leaves_it_without_an_end(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Mapping[str, Any]] = []

    async def main() -> None:
        scope = {"type": "http", "method": "GET", "path": "/breaks", "query_string": b"", "headers": []}

        async def receive() -> dict[str, str]:
            await asyncio.sleep(10)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await app()(scope, receive, send)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert [message.get("body") for message in sent] == [None, b"half"]
    assert "failed by a mistake" in caplog.text


@pytest.mark.parametrize(
    ("query", "parameter", "value", "detail", "hint"),
    [
        ("limit=0", "limit", "0", "It is too small.", "Give 1 or more."),
        ("limit=101", "limit", "101", "It is too large.", "Give 100 or less."),
        ("limit=ten", "limit", "ten", "It is not a whole number.", "Give a whole number."),
        (
            "word=those",
            "word",
            "those",
            "It is not one of the words that can stand here.",
            "Use one of: this, that.",
        ),
        ("flag=perhaps", "flag", "perhaps", "It is neither true nor false.", "Give true or false."),
        ("text=long", "text", "long", "It is too long.", "Its length may be 3 at the most."),
        ("limt=3", "limt", "3", "There is no such parameter here.", "Did you mean 'limit'?"),
        ("zzz=3", "zzz", "3", "There is no such parameter here.", "Leave it out."),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_named_with_the_way_out(
    query: str, parameter: str, value: str, detail: str, hint: str
) -> None:
    problem = told(get(f"/takes?{query}"))
    assert problem.status == 422
    assert problem.type == "urn:dozor:problem:invalid-parameter"
    (blamed,) = problem.errors
    assert (blamed.parameter, blamed.value) == (parameter, value)
    assert (blamed.detail, blamed.hint) == (detail, hint)
    assert problem.detail == f"Parameter '{parameter}' cannot be used. {detail}"


def test_all_bad_parameters_are_named_at_once() -> None:
    problem = told(get("/takes?limit=0&word=those"))
    assert [error.parameter for error in problem.errors] == ["limit", "word"]


def test_unknown_addresses_and_methods_are_problems_too() -> None:
    assert told(get("/nowhere")).type == "urn:dozor:problem:not-found"
    response = get("/takes", "DELETE")
    assert told(response).type == "urn:dozor:problem:method-not-allowed"
    assert response.headers["Allow"] == "GET"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("de, en;q=0.5, ru;q=0.7", "ru"),
        ("de", "en"),
        ("", "en"),
        ("ru;q=0, en;q=0.1", "en"),
        ("ru;q=nonsense", "en"),
        ("*", "en"),
    ],
)
def test_the_caller_is_answered_in_the_language_that_it_wants_most(accepted: str, language: str) -> None:
    assert get("/takes", Accept_Language=accepted).json() == language
    assert get("/fails/bug", Accept_Language=accepted).headers["Content-Language"] == language


def test_the_document_says_that_failures_are_problem_details() -> None:
    one = app()

    @one.get("/with", responses={400: {"model": Problem}})
    async def documented() -> None: ...

    responses = one.openapi()["paths"]["/with"]["get"]["responses"]
    assert responses["400"]["content"].keys() == {"application/problem+json"}
    assert responses["200"]["content"].keys() == {"application/json"}
