"""The REST API over a real server: what it answers, what it refuses, and how questions end."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jsonschema
import pyarrow as pa
import pytest

from dozor.columns.record import RECORD
from dozor.features.traffic.adapters.json import to_json
from dozor.features.traffic.model import Condition, Dimension, Measure, Split, TopList
from dozor.features.traffic.ports import Watch
from dozor.infra.queries import QueryPool
from dozor.kernel.errors import CancelledError, JobError, UnavailableError, UsageError
from dozor.kernel.i18n import current_language
from tests.contract.traffic.served import NOON, FakeQueries, application, serve
from tests.unit.traffic import records, summaries

ROOT = "/api/v1/traffic"
ARROW = "application/vnd.apache.arrow.stream"
DEADLINE = 10  # s


class Site:
    """A server over queries that the test scripts."""

    def __init__(self, url: str, queries: FakeQueries) -> None:
        self.queries = queries
        self.http = httpx.Client(base_url=url, timeout=DEADLINE, trust_env=False)

    def get(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.get(path, headers=named)


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    queries = FakeQueries()
    with serve(queries) as url:
        site = Site(url, queries)
        yield site
        site.http.close()


@pytest.fixture
def site(server: Site) -> Site:
    server.queries.script.clear()
    server.queries.asked.clear()
    return server


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_arguments: object, **_named: object) -> Any:
        raise error

    return fail


class Slow:
    """A question that goes on until it is let go or called off, reporting half of its work."""

    def __init__(self) -> None:
        self.began, self.go, self.ended = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, *_arguments: object, watch: Watch, **_named: object) -> Any:
        self.began.set()
        try:
            while not self.go.wait(0.01):
                watch.progress(0.5)
            return summaries.one_line()
        finally:
            self.ended.set()


# The document


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    pool = QueryPool()
    app = application(FakeQueries(), pool)
    pool.close()
    return app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with what it refers to beside it."""
    return {**schema, "components": document["components"]}


def test_the_document_is_served_and_names_its_version(site: Site) -> None:
    document = site.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Dozor"


def test_the_schemas_of_the_document_are_valid_and_all_they_refer_to_is_there(
    document: dict[str, Any],
) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "(#[^"]+)"', json.dumps(document)):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert place


def test_every_operation_has_a_stable_id_a_tag_a_sentence_and_described_parameters(
    document: dict[str, Any],
) -> None:
    ids = [operation["operationId"] for _path, _method, operation in operations(document)]
    assert sorted(ids) == sorted(set(ids))
    for path, _method, operation in operations(document):
        assert operation["tags"], path
        assert operation["description"].endswith("."), path
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description") or parameter["name"] == "dimension", (path, parameter)
            assert parameter["required"] == (parameter["in"] == "path")
        named = set(re.findall(r"{(\w+)}", path))
        given = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "path"}
        assert named == given


def test_the_reference_names_every_route_and_parameter(document: dict[str, Any]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "api.md").read_text()
    for path, _method, operation in operations(document):
        assert f"`{path.removeprefix(ROOT + '/')}`" in page or path in page, path
        own = {one["name"] for one in operation.get("parameters", ())}
        shared = set(document_scope(document))
        for name in own - shared:
            assert f"`{name}`" in page or f"{{{name}}}" in page, (path, name)


def document_scope(document: dict[str, Any]) -> list[str]:
    return [one["name"] for one in document["paths"][f"{ROOT}/geography"]["get"]["parameters"]]


ADDRESSES = {
    f"{ROOT}/top/{{dimension}}": f"{ROOT}/top/country",
    f"{ROOT}/lines/{{id}}": f"{ROOT}/lines/a-7",
}
QUESTIONS = (
    "summary",
    "timeseries",
    "top/{dimension}",
    "geography",
    "findings",
    "changes",
    "lines",
    "lines/{id}",
    "errors",
    "errors/timeseries",
    "errors/lines",
    "rejects",
    "sources",
    "coverage",
)


def address(route: str) -> str:
    path = f"{ROOT}/{route}"
    return ADDRESSES.get(path, path) + ("?since=2026-11-22T10:00" if route == "changes" else "")


def test_the_routes_are_those_of_the_issue(document: dict[str, Any]) -> None:
    assert {path for path, _method, _one in operations(document)} == {
        *(f"{ROOT}/{route}" for route in QUESTIONS),
        "/api/v1/queries/{id}",
    }


@pytest.mark.parametrize("route", QUESTIONS)
def test_an_answer_is_what_the_document_says(site: Site, document: dict[str, Any], route: str) -> None:
    response = site.get(address(route))
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    content = document["paths"][f"{ROOT}/{route}"]["get"]["responses"]["200"]["content"]
    schema = resolved(document, content["application/json"]["schema"])
    jsonschema.Draft202012Validator(schema).validate(response.json())


def refused(site: Site, route: str, status: int) -> httpx.Response:
    """Make a route answer with a status."""
    url = httpx.URL(address(route))
    match status:
        case 400:
            url = url.copy_merge_params({"until": "yesterday"})
        case 404:
            url = httpx.URL(f"{ROOT}/lines/gone")
        case 409:
            site.queries.script["*"] = raising(CancelledError("The query was called off."))
        case 422:
            url = url.copy_merge_params({"nonsense": "1"})
        case 500:
            site.queries.script["*"] = raising(ZeroDivisionError())
        case 503:
            site.queries.script["*"] = raising(UnavailableError("The store is away."))
    return site.get(str(url))


APART = {("sources", "500"), ("sources", "503")}
"""A mistake of ours, and state that is away, which the guard tells: tested apart."""

GUARDED = ("401", "403", "429")
"""What the guard answers, which does not stand before the routes here (tests/contract/access)."""


def test_every_status_that_the_document_names_is_produced(site: Site, document: dict[str, Any]) -> None:
    for route in QUESTIONS:
        for status, response in document["paths"][f"{ROOT}/{route}"]["get"]["responses"].items():
            if status in {"200", *GUARDED} or (route, status) in APART:
                continue
            site.queries.script.clear()
            answer = refused(site, route, int(status))
            assert answer.status_code == int(status), (route, answer.text)
            assert answer.headers["Content-Type"] in response["content"]
            schema = resolved(document, response["content"]["application/problem+json"]["schema"])
            jsonschema.Draft202012Validator(schema).validate(answer.json())


def test_sources_that_cannot_be_told_are_a_mistake_of_ours() -> None:
    with serve(FakeQueries(), sources=raising(ZeroDivisionError())) as url:
        assert httpx.get(f"{url}{ROOT}/sources", trust_env=False).status_code == 500


def test_the_sources_are_told_while_the_store_is_away(site: Site) -> None:
    site.queries.script["*"] = raising(UnavailableError("The store is away."))
    (source,) = site.get(f"{ROOT}/sources").json()["items"]
    assert source["state"] == "following"
    assert source["last_event"] == "2026-11-22T12:00:00.000Z"


# The answers


def test_a_small_answer_does_not_wait_for_the_callers_acknowledgement(site: Site) -> None:
    def took() -> float:
        began = time.perf_counter()
        site.get(f"{ROOT}/sources")
        return time.perf_counter() - began

    # Header and body are two segments; with Nagle's algorithm each answer takes 40 ms.
    assert min(took() for _ in range(10)) < 0.03


def test_the_summary_is_the_report_key_for_key(site: Site) -> None:
    assert site.get(f"{ROOT}/summary").json() == json.loads(to_json(summaries.busy()))


def test_a_comparison_adds_the_main_numbers_of_the_stretch_before(site: Site) -> None:
    told = site.get(f"{ROOT}/summary?since=2026-11-22T10:00&until=2026-11-22T11:00&compare=true").json()
    busy = summaries.busy()
    assert told["previous"] == {
        "since": "2026-11-22T09:00:00.000Z",
        "until": "2026-11-22T10:00:00.000Z",
        "requests": busy.requests,
        "unique_clients": busy.unique_clients,
        "bytes": busy.bytes,
        "client_errors": sum(n for status, n in busy.status.items() if status[0] == "4"),
        "server_errors": sum(n for status, n in busy.status.items() if status[0] == "5"),
        "attack_requests": busy.attack_requests,
        "bots": busy.bots,
    }
    assert site.queries.scope.since == datetime(2026, 11, 22, 9, tzinfo=UTC)


def test_countries_are_told_apart_from_clients_without_one(site: Site) -> None:
    told = site.get(f"{ROOT}/geography").json()
    assert [country["value"] for country in told["countries"]] == ["DE", "FR"]
    assert told["unknown"]["requests"] == 4
    assert told["requests"] == 14


def test_without_requests_of_no_country_the_unknown_ones_are_none(site: Site) -> None:
    site.queries.script["top"] = lambda *_a, **_n: TopList((), 0, 0)
    assert site.get(f"{ROOT}/geography").json()["unknown"]["requests"] == 0


def test_a_page_of_lines_has_items_and_the_cursor_of_the_next(site: Site) -> None:
    told = site.get(f"{ROOT}/lines?limit=5&cursor=after-3&path=/").json()
    assert told.keys() == {"items", "next"}
    assert told["next"] == "after-7"
    (item,) = told["items"]
    assert (item["id"], item["line"], item["ts"]) == ("a-7", 7, "2026-11-22T12:00:00.000Z")
    assert item["score"] == 0.9
    (_name, _arguments, named) = site.queries.last
    assert (named["limit"], named["cursor"]) == (5, "after-3")


@pytest.mark.parametrize(
    ("query", "conditions"),
    [
        ("path=/login", [Condition("path", "=", "/login")]),
        ("status=404", [Condition("status", "=", 404)]),
        ("attack=true&is_bot=false", [Condition("is_bot", "=", False), Condition("attack", "=", True)]),  # noqa: FBT003
        (
            "where=status >= 500&where=path ~ ^/api",
            [Condition("status", ">=", 500), Condition("path", "~", "^/api")],
        ),
        ("where=host = shop&country=DE", [Condition("host", "=", "shop"), Condition("country", "=", "DE")]),
        ("path=", [Condition("path", "=", "")]),
        ("user_agent= padded ", [Condition("user_agent", "=", " padded ")]),
        ("user_agent='quoted'", [Condition("user_agent", "=", "'quoted'")]),
        ('user_agent=a"b', [Condition("user_agent", "=", 'a"b')]),
        ("path=/a%0Ab", [Condition("path", "=", "/a\nb")]),
        ("path=/%D0%B4%D0%BE%D0%BC", [Condition("path", "=", "/дом")]),
        ("score=0.5", [Condition("score", "=", 0.5)]),
        ("ts=2026-11-22T12:00", [Condition("ts", "=", NOON)]),
        ("source=/var/log/a.log", [Condition("source", "=", "/var/log/a.log")]),
    ],
)
def test_filters_reach_the_store_as_they_are_meant(
    site: Site, query: str, conditions: list[Condition]
) -> None:
    assert site.get(f"{ROOT}/lines?{query}").status_code == 200
    assert list(site.queries.scope.where) == conditions


@pytest.mark.parametrize(
    "text", ["2026-11-22T12:00", "2026-11-22T12:00Z", "2026-11-22T15:00%2B03:00", "2026-11-22T15:00+03:00"]
)
def test_a_time_may_have_a_zone_even_if_its_plus_was_lost(site: Site, text: str) -> None:
    assert site.get(f"{ROOT}/lines?since={text}").status_code == 200
    assert site.queries.scope.since == NOON


def test_a_span_is_counted_back_from_now(site: Site) -> None:
    before = datetime.now(UTC)
    site.get(f"{ROOT}/lines?since=2h&until=1h")
    scope = site.queries.scope
    assert scope.since is not None
    assert scope.until is not None
    assert timedelta() <= scope.since + timedelta(hours=2) - before < timedelta(seconds=DEADLINE)
    assert timedelta() <= scope.until + timedelta(hours=1) - before < timedelta(seconds=DEADLINE)


def test_grouping_reaches_the_store(site: Site) -> None:
    site.get(f"{ROOT}/timeseries?step=5m&split=audience&since=2h")
    (name, _arguments, named) = site.queries.last
    assert (name, named["step"], named["split"]) == ("timeline", timedelta(minutes=5), Split.AUDIENCE)
    site.get(f"{ROOT}/top/class?measure=attacks&limit=3")
    (name, arguments, named) = site.queries.last
    assert (name, arguments[1], named["measure"], named["limit"]) == (
        "top",
        Dimension.CLASS,
        Measure.ATTACKS,
        3,
    )


@pytest.mark.parametrize(
    ("query", "parameter", "value", "words"),
    [
        ("summary?since=yesterday", "since", "yesterday", "ISO 8601"),
        ("summary?until=99999999999w", "until", "99999999999w", "ISO 8601"),
        ("summary?where=status", "where", "status", "FIELD OP VALUE"),
        ("summary?where=statsu = 1", "where", "statsu = 1", "'status'"),
        ("summary?where=path < 1", "where", "path < 1", "= != ~"),
        ("summary?where=path ~ (", "where", "path ~ (", "regular expression"),
        ("summary?status=teapot", "status", "teapot", "whole number"),
        ("summary?compare=true", "since", "", "Give since"),
        ("changes", "since", "", "Give since"),
        ("timeseries?step=soon", "step", "soon", "10s"),
        ("timeseries?step=0s", "step", "0s", "10s"),
        ("timeseries?step=1s&since=2026-01-01&until=2026-12-31", "step", "1s", "10000"),
        ("timeseries?step=1s", "step", "1s", "10000"),
        ("errors/timeseries?step=1s&since=30d", "step", "1s", "10000"),
    ],
)
def test_a_word_that_cannot_be_used_is_named_with_the_way_out(
    site: Site, query: str, parameter: str, value: str, words: str
) -> None:
    response = site.get(f"{ROOT}/{query}")
    assert response.status_code == 400, response.text
    (blamed,) = response.json()["errors"]
    assert (blamed["parameter"], blamed["value"]) == (parameter, value)
    assert words in blamed["detail"] + blamed["hint"]


@pytest.mark.parametrize("route", ["lines", "errors/lines"])
def test_a_cursor_that_the_store_did_not_give_is_named(site: Site, route: str) -> None:
    site.queries.script["*"] = raising(UsageError("This is no cursor.", hint="Begin anew."))
    response = site.get(f"{ROOT}/{route}?cursor=made-up")
    assert response.status_code == 400
    (blamed,) = response.json()["errors"]
    assert (blamed["parameter"], blamed["value"]) == ("cursor", "made-up")


def test_a_question_that_cannot_be_answered_says_why(site: Site) -> None:
    site.queries.script["*"] = raising(JobError("The query needs more memory.", hint="Ask for less."))
    told = site.get(f"{ROOT}/summary").json()
    assert (told["type"], told["detail"]) == ("urn:dozor:problem:job-failed", "The query needs more memory.")


def test_what_is_said_about_filters_is_in_the_language_of_the_caller(site: Site) -> None:
    response = site.get(f"{ROOT}/summary?since=yesterday", Accept_Language="ru")
    assert "Время" in response.json()["detail"]
    site.queries.script["*"] = lambda *_a, **_n: raising(UsageError(current_language()))()
    assert site.get(f"{ROOT}/summary", Accept_Language="ru").json()["detail"] == "ru"


# Arrow


def table(response: httpx.Response) -> pa.Table:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == ARROW
    with pa.ipc.open_stream(response.content) as reader:
        return reader.read_all()


def test_all_lines_come_as_an_arrow_stream_batch_by_batch(site: Site) -> None:
    got = table(site.get(f"{ROOT}/lines?since=2026-11-22", Accept=ARROW))
    assert got["line"].to_pylist() == [1, 2, 3]
    assert site.queries.last[0] == "batches"
    assert site.queries.scope.since == datetime(2026, 11, 22, tzinfo=UTC)


def test_no_lines_are_a_stream_of_all_columns_without_rows(site: Site) -> None:
    site.queries.script["batches"] = lambda *_a, **_n: iter(())
    got = table(site.get(f"{ROOT}/lines", Accept=ARROW))
    assert got.num_rows == 0
    assert got.column_names == [*RECORD.names, "source"]


def test_a_large_batch_is_sent_in_pieces_that_carry_their_own_rows_alone(site: Site) -> None:
    rows = [{"line": n, "raw": f"{n:0100}"} for n in range(20_000)]
    site.queries.script["batches"] = lambda *_a, **_n: iter([records.batch(rows)])
    response = site.get(f"{ROOT}/lines", Accept=ARROW)
    with pa.ipc.open_stream(response.content) as reader:
        sizes = [len(batch) for batch in reader]
    assert sum(sizes) == 20_000
    assert len(sizes) == 3
    assert len(response.content) < 20_000 * 600


def test_lists_and_time_lines_come_as_tables(site: Site) -> None:
    got = table(site.get(f"{ROOT}/top/country", Accept=ARROW))
    assert got.to_pylist()[0] == {
        "value": "DE",
        "requests": 9,
        "bytes": 900,
        "errors": 1,
        "attacks": 2,
        "clients": 3,
        "seconds": 0.25,
    }
    rows = table(site.get(f"{ROOT}/timeseries", Accept=ARROW)).to_pylist()
    assert [(row["series"], row["start"], row["requests"]) for row in rows] == [
        ("ok", NOON, 3),
        ("ok", NOON + timedelta(minutes=1), 4),
        ("5xx", NOON, 0),
        ("5xx", NOON + timedelta(minutes=1), 1),
    ]


@pytest.mark.parametrize("accept", ["application/json", f"application/json, {ARROW}", "*/*", "text/html"])
def test_who_does_not_ask_for_arrow_first_gets_json(site: Site, accept: str) -> None:
    assert site.get(f"{ROOT}/lines", Accept=accept).headers["Content-Type"] == "application/json"


def test_a_stream_has_no_pages(site: Site) -> None:
    response = site.get(f"{ROOT}/lines?limit=5", Accept=ARROW)
    assert response.status_code == 400
    assert response.json()["errors"][0]["parameter"] == "limit"


def test_a_store_that_is_away_before_the_first_batch_is_told_by_the_status(site: Site) -> None:
    site.queries.script["batches"] = raising(UnavailableError("The store is away."))
    response = site.get(f"{ROOT}/lines", Accept=ARROW)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"


def test_a_store_that_goes_away_in_the_middle_breaks_the_answer_off(site: Site) -> None:
    def half(*_arguments: object, **_named: object) -> Iterator[pa.RecordBatch]:
        yield records.batch([{"line": 1}])
        raise UnavailableError("The store went away.")

    site.queries.script["batches"] = half
    with pytest.raises(httpx.RemoteProtocolError):
        site.get(f"{ROOT}/lines", Accept=ARROW)


def test_a_reader_who_hangs_up_ends_the_stream_which_never_ran_ahead(site: Site) -> None:
    made: list[int] = []
    ended = threading.Event()
    big = records.batch([{"raw": "x" * 10_000}] * 100)

    def endless(*_arguments: object, watch: Watch, **_named: object) -> Iterator[pa.RecordBatch]:
        try:
            while True:
                watch.progress(0.0)
                made.append(1)
                yield big
        finally:
            ended.set()

    site.queries.script["batches"] = endless
    with site.http.stream("GET", f"{ROOT}/lines", headers={"Accept": ARROW}) as response:
        next(response.iter_raw())
        # Megabytes may lie in the buffers of the sockets, but not an endless number of them.
        before = -1
        while len(made) != before:
            before = len(made)
            ended.wait(0.2)
        assert before < 100
    assert ended.wait(DEADLINE)


# Long questions


def test_a_question_can_be_watched_until_its_answer(site: Site) -> None:
    slow, name = Slow(), uuid4()
    site.queries.script["summary"] = slow
    assert site.get(f"/api/v1/queries/{name}").status_code == 404
    answers: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: answers.append(site.get(f"{ROOT}/summary?query_id={name}")), name="test-asker"
    )
    asking.start()
    assert slow.began.wait(DEADLINE)
    told: dict[str, Any] = {}
    while told.get("progress") != 0.5:
        told = site.get(f"/api/v1/queries/{name}").json()
    assert told["id"] == str(name)
    assert told["state"] == "running"
    assert told["elapsed_seconds"] >= 0
    taken = site.get(f"{ROOT}/coverage?query_id={name}")
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:dozor:problem:query-id-taken")
    slow.go.set()
    asking.join(DEADLINE)
    assert answers[0].status_code == 200
    told = site.get(f"/api/v1/queries/{name}").json()
    assert (told["state"], told["progress"]) == ("done", 1.0)


def test_a_question_can_be_called_off(site: Site) -> None:
    slow, name = Slow(), uuid4()
    site.queries.script["summary"] = slow
    answers: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: answers.append(site.get(f"{ROOT}/summary?query_id={name}")), name="test-asker"
    )
    asking.start()
    assert slow.began.wait(DEADLINE)
    assert site.http.delete(f"/api/v1/queries/{name}").status_code == 204
    asking.join(DEADLINE)
    assert answers[0].status_code == 409
    assert answers[0].json()["type"] == "urn:dozor:problem:query-cancelled"
    assert slow.ended.wait(DEADLINE)
    assert site.get(f"/api/v1/queries/{name}").json()["state"] == "cancelled"


@pytest.mark.parametrize("accept", ["application/json", ARROW])
def test_hanging_up_calls_a_question_off(site: Site, accept: str) -> None:
    slow = Slow()
    site.queries.script["top"] = slow
    url = site.http.base_url
    with socket.create_connection((url.host, url.port or 0), DEADLINE) as raw:
        head = f"GET {ROOT}/top/path HTTP/1.1\r\nHost: {url.host}\r\nAccept: {accept}\r\n\r\n"
        raw.sendall(head.encode())
        assert slow.began.wait(DEADLINE)
    assert slow.ended.wait(DEADLINE)


@pytest.mark.parametrize("name", ["1", "not-a-uuid", "6fa459ea-ee8a-1ca4-894e-db77e160355e"])
def test_an_id_that_could_be_guessed_is_refused(site: Site, name: str) -> None:
    assert site.get(f"{ROOT}/summary?query_id={name}").status_code == 422
    for method in ("GET", "DELETE"):
        assert site.http.request(method, f"/api/v1/queries/{name}").status_code == 422


def test_nobody_can_call_off_what_is_not_there(site: Site) -> None:
    response = site.http.delete(f"/api/v1/queries/{uuid4()}")
    assert (response.status_code, response.json()["type"]) == (404, "urn:dozor:problem:not-found")


def test_too_many_questions_are_sent_away_for_a_moment() -> None:
    slow = Slow()
    queries = FakeQueries({"summary": slow})
    with serve(queries, pool=QueryPool(threads=1, waiting=0)) as url:
        site = Site(url, queries)
        asking = threading.Thread(target=lambda: site.get(f"{ROOT}/summary"), name="test-asker")
        asking.start()
        assert slow.began.wait(DEADLINE)
        response = site.get(f"{ROOT}/coverage")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert response.json()["type"] == "urn:dozor:problem:busy"
        slow.go.set()
        asking.join(DEADLINE)
        site.http.close()
