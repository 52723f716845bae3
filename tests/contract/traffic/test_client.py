"""The client against the real API: what its methods send, give and raise."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, get_args

import httpx
import pyarrow as pa
import pytest

from dozor import client as sdk
from dozor.client import Client, Scope, Span
from dozor.client.queries import new_id
from dozor.client.traffic import Traffic
from dozor.features.traffic.model import Condition, Dimension, Filters
from dozor.features.traffic.ports import Watch
from dozor.infra.queries import QueryPool
from dozor.kernel.errors import JobError, UnavailableError
from dozor.kernel.i18n import use_language
from dozor.wire import traffic as wire
from dozor.wire.base import Wire
from tests.contract.traffic.served import NOON, FakeQueries, application, serve
from tests.contract.traffic.test_api import Slow, raising
from tests.unit.traffic import records, summaries

DEADLINE = 10  # s
SCOPE = Scope(since=NOON - timedelta(hours=1), until="2026-11-22T12:00Z", where=("status >= 400",), path="/a")
MEANT = Filters(
    NOON - timedelta(hours=1), NOON, (Condition("status", ">=", 400), Condition("path", "=", "/a"))
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Client, FakeQueries]]:
    queries = FakeQueries()
    with serve(queries) as url, Client(url, timeout=DEADLINE) as client:
        yield client, queries


@pytest.fixture
def queries(served: tuple[Client, FakeQueries]) -> FakeQueries:
    queries = served[1]
    queries.script.clear()
    queries.asked.clear()
    return queries


@pytest.fixture
def client(served: tuple[Client, FakeQueries], queries: FakeQueries) -> Client:
    del queries
    return served[0]


SCOPED: dict[str, Callable[[Traffic, Scope], Any]] = {
    "summary": lambda traffic, scope: traffic.summary(scope),
    "timeseries": lambda traffic, scope: traffic.timeseries(scope, step="1m", split="status"),
    "timeseries_table": lambda traffic, scope: traffic.timeseries_table(scope),
    "top": lambda traffic, scope: traffic.top("path", scope, measure="errors", limit=5),
    "top_table": lambda traffic, scope: traffic.top_table("path", scope),
    "geography": lambda traffic, scope: traffic.geography(scope),
    "findings": lambda traffic, scope: traffic.findings(scope, limit=5),
    "lines": lambda traffic, scope: traffic.lines(scope, limit=5),
    "lines_table": lambda traffic, scope: traffic.lines_table(scope),
    "lines_batches": lambda traffic, scope: list(traffic.lines_batches(scope)),
}


@pytest.mark.parametrize("name", SCOPED)
def test_a_scope_means_the_same_to_every_method(client: Client, queries: FakeQueries, name: str) -> None:
    assert SCOPED[name](client.traffic, SCOPE)
    assert queries.scope == MEANT


def test_a_scope_need_not_be_given(client: Client, queries: FakeQueries) -> None:
    client.traffic.summary()
    assert queries.scope == Filters()


def test_the_summary_holds_the_numbers_of_the_report(client: Client) -> None:
    told = client.traffic.summary(Scope(since="24h"), compare=True)
    busy = summaries.busy()
    assert told.requests == busy.requests
    assert told.top_paths[0].value == busy.top_paths[0].value
    assert told.attacks[0].attack_class == "sqli"
    assert told.step_seconds == busy.step.total_seconds()
    assert told.first == datetime.fromisoformat("2026-11-21T00:00:02Z")
    assert told.previous is not None
    assert told.previous.requests == busy.requests


def test_changes_are_looked_for_in_both_stretches(client: Client, queries: FakeQueries) -> None:
    told = client.traffic.changes(SCOPE)
    assert told.items == ()
    stretches = {(arguments[0].since, arguments[0].until) for _name, arguments, _named in queries.asked}
    hour = timedelta(hours=1)
    assert stretches == {(NOON - hour, NOON), (NOON - 2 * hour, NOON - hour)}


@pytest.mark.parametrize("dimension", get_args(wire.DimensionName))
def test_every_dimension_can_be_counted_by(client: Client, queries: FakeQueries, dimension: Any) -> None:
    told = client.traffic.top(dimension)
    assert (told.rows[0].value, told.distinct, told.requests) == ("DE", 3, 14)
    assert queries.last[1][1] is Dimension(dimension)


def test_pages_of_lines_follow_each_other_by_their_cursor(client: Client, queries: FakeQueries) -> None:
    page = client.traffic.lines(limit=1)
    client.traffic.lines(limit=1, cursor=page.next)
    assert queries.last[2]["cursor"] == "after-7"
    line = client.traffic.line(page.items[0].id)
    assert line == page.items[0]
    assert line.evidence[0].where == "query:q"


def test_error_logs_are_asked_for_by_time_alone(client: Client, queries: FakeQueries) -> None:
    hour = NOON - timedelta(hours=1)
    assert client.traffic.errors(SCOPE, level="error").items[0].count == 2
    assert queries.last == ("error_groups", (hour, NOON), {"level": "error", "limit": 100})
    assert client.traffic.errors_timeseries(Span(since=hour), step="1h").series[0].name == "error"
    assert queries.last == ("error_timeline", (hour, None), {"step": timedelta(hours=1)})
    told = client.traffic.errors_lines(SCOPE, level="error", message="open() N", limit=7, cursor="after-1")
    assert told.items[0].message == "open() failed"
    named = {"level": "error", "message": "open() N", "limit": 7, "cursor": "after-1"}
    assert queries.last == ("error_lines", (hour, NOON), named)


def test_what_is_told_of_the_process_and_its_store(client: Client) -> None:
    assert client.traffic.sources().items[0].state == "following"
    assert client.traffic.coverage().last == NOON
    assert client.traffic.rejects(limit=3).items[0].reason == "fields"


def test_tables_have_the_columns_of_the_models(client: Client) -> None:
    assert client.traffic.top_table("country").column_names == list(sdk.CountedRow.model_fields)
    assert client.traffic.timeseries_table().num_rows == 4
    assert client.traffic.lines_table()["line"].to_pylist() == [1, 2, 3]


def test_leaving_a_stream_early_ends_its_query(client: Client, queries: FakeQueries) -> None:
    ended = threading.Event()

    def endless(*_arguments: object, watch: Watch, **_named: object) -> Iterator[pa.RecordBatch]:
        try:
            while True:
                watch.progress(0.0)
                yield records.batch([{"raw": "x" * 10_000}] * 100)
        finally:
            ended.set()

    queries.script["batches"] = endless
    with closing(client.traffic.lines_batches()) as batches:  # type: ignore[type-var]  # a generator
        assert next(batches).num_rows == 100
    assert ended.wait(DEADLINE)


def test_a_stream_that_breaks_off_is_noticed(client: Client, queries: FakeQueries) -> None:
    def half(*_arguments: object, **_named: object) -> Iterator[pa.RecordBatch]:
        yield records.batch([{"line": 1}])
        raise UnavailableError("The store went away.")

    queries.script["batches"] = half
    with pytest.raises(sdk.Unavailable, match="broke off"):
        client.traffic.lines_table()


def test_a_stream_that_never_began_says_why(client: Client, queries: FakeQueries) -> None:
    queries.script["batches"] = raising(UnavailableError("The store is away."))
    with pytest.raises(sdk.Unavailable, match="The store is away"):
        client.traffic.lines_table()


# Failures


def test_a_bad_parameter_is_named(client: Client) -> None:
    with pytest.raises(sdk.BadRequest, match="yesterday") as caught:
        client.traffic.summary(Scope(since="yesterday"))
    assert caught.value.problem is not None
    assert caught.value.problem.errors[0].parameter == "since"
    assert "ISO 8601" in caught.value.hint


def test_what_is_wrong_is_said_in_the_language_of_the_caller(client: Client) -> None:
    with use_language("ru"), pytest.raises(sdk.BadRequest, match="Время"):
        client.traffic.summary(Scope(since="yesterday"))


def test_a_line_that_is_gone_is_not_found(client: Client) -> None:
    with pytest.raises(sdk.NotFound, match="no line a/b\\?"):
        client.traffic.line("a/b?")


def test_a_store_that_is_away_says_when_to_try_again(client: Client, queries: FakeQueries) -> None:
    queries.script["*"] = raising(UnavailableError("The store is away."))
    with pytest.raises(sdk.Unavailable, match="The store is away") as caught:
        client.traffic.summary()
    assert caught.value.retry_after == 5


@pytest.mark.parametrize("error", [JobError("The query needs more memory."), ZeroDivisionError()])
def test_a_failure_of_the_server_is_no_failure_of_the_caller(
    client: Client, queries: FakeQueries, error: Exception
) -> None:
    queries.script["*"] = raising(error)
    with pytest.raises(sdk.ServerError):
        client.traffic.summary()


def test_a_query_is_watched_and_called_off_from_another_thread(client: Client, queries: FakeQueries) -> None:
    slow, name, raised = Slow(), new_id(), []
    queries.script["summary"] = slow

    def ask() -> None:
        try:
            client.traffic.summary(query_id=name)
        except sdk.ApiError as error:
            raised.append(error)

    asking = threading.Thread(target=ask, name="test-asker")
    asking.start()
    assert slow.began.wait(DEADLINE)
    assert client.queries.status(name).state == "running"
    with pytest.raises(sdk.BadRequest, match="under way"):
        client.traffic.findings(query_id=name)
    client.queries.cancel(name)
    asking.join(DEADLINE)
    assert isinstance(raised[0], sdk.Cancelled)
    assert client.queries.status(name).state == "cancelled"
    with pytest.raises(sdk.NotFound):
        client.queries.cancel(new_id())


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_a_server_that_is_not_there_is_unavailable_and_the_way_to_start_it_is_told() -> None:
    with Client(f"http://127.0.0.1:{closed_port()}") as client:
        with pytest.raises(sdk.Unavailable, match="cannot be reached") as caught:
            client.traffic.coverage()
        assert "dozor up" in caught.value.hint
        with pytest.raises(sdk.Unavailable):
            client.traffic.lines_table()


def test_a_server_that_does_not_answer_in_time_is_unavailable(
    served: tuple[Client, FakeQueries], queries: FakeQueries
) -> None:
    slow = Slow()
    queries.script["summary"] = slow
    with (
        Client(served[0].base_url, timeout=0.1) as hasty,
        pytest.raises(sdk.Unavailable, match="in time"),
    ):
        hasty.traffic.summary()
    assert slow.ended.wait(DEADLINE)


class Scripted(httpx.BaseTransport):
    """Answers or fails as scripted, call by call."""

    def __init__(self, *steps: httpx.Response | Exception) -> None:
        self.steps = list(steps)
        self.calls = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        del request
        self.calls += 1
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


COVERAGE = {"requests": 1, "first": None, "last": None, "rejected": 0, "errors": 0}


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.RemoteProtocolError("closed")])
def test_a_get_is_sent_again_when_no_connection_was_made_or_a_kept_one_was_closed(error: Exception) -> None:
    transport = Scripted(error, httpx.Response(200, json=COVERAGE))
    with Client(transport=transport) as client:
        assert client.traffic.coverage().requests == 1
    assert transport.calls == 2


def test_nothing_is_sent_again_for_ever() -> None:
    transport = Scripted(*[httpx.ConnectError("refused")] * 9)
    with Client(transport=transport) as client, pytest.raises(sdk.Unavailable):
        client.traffic.coverage()
    assert transport.calls == 3


def test_an_answer_that_came_in_part_is_not_asked_for_again() -> None:
    transport = Scripted(httpx.ReadError("reset"), httpx.Response(200, json=COVERAGE))
    with Client(transport=transport) as client, pytest.raises(sdk.Unavailable, match="broke off"):
        client.traffic.coverage()
    assert transport.calls == 1


def test_a_delete_is_sent_once() -> None:
    transport = Scripted(httpx.ConnectError("refused"), httpx.Response(204))
    with Client(transport=transport) as client, pytest.raises(sdk.Unavailable):
        client.queries.cancel(new_id())
    assert transport.calls == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, sdk.Unauthorized),
        (403, sdk.Forbidden),
        (404, sdk.NotFound),
        (429, sdk.Unavailable),
        (502, sdk.ServerError),
    ],
)
def test_a_failure_without_details_is_sorted_by_its_status(status: int, kind: type[sdk.ApiError]) -> None:
    transport = Scripted(httpx.Response(status, text="<html>"))
    with Client(transport=transport) as client, pytest.raises(kind, match=str(status)) as caught:
        client.traffic.coverage()
    assert caught.value.problem is None


@pytest.mark.parametrize("body", ["<html>", '{"requests": "many"}'])
def test_an_answer_of_something_else_is_a_failure_of_the_server(body: str) -> None:
    with (
        Client(transport=Scripted(httpx.Response(200, text=body))) as client,
        pytest.raises(sdk.ServerError, match="not what this version expects"),
    ):
        client.traffic.coverage()


def test_all_models_of_answers_can_be_had_from_the_client() -> None:
    models = {
        name
        for name, kind in vars(wire).items()
        if isinstance(kind, type) and issubclass(kind, Wire) and kind is not Wire
    }
    assert models <= set(sdk.__all__)
    assert all(hasattr(sdk, name) for name in sdk.__all__)


def test_every_route_has_a_method() -> None:
    pool = QueryPool()
    app = application(FakeQueries(), pool)
    pool.close()
    routes = {
        path.removeprefix("/api/v1/traffic/").replace("/", "_").partition("_{")[0]
        for path in app.openapi()["paths"]
        if path.startswith("/api/v1/traffic/")
    }
    assert routes <= {name for name in vars(Traffic) if not name.startswith("_")}
