"""Requests and responses of `/api/v1/traffic`.

`Summary` is the object of `dozor report --json`, key for key (docs/reference/report-json.md). Sizes are
bytes of bodies, lists say the largest first, and an empty `value` means not known.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, ConfigDict, Field

from dozor.wire.base import Fraction, Instant, Moment, RandomId, Request, Seconds, Text, Wire

DimensionName = Literal[
    "path",
    "client",
    "country",
    "ua_family",
    "user_agent",
    "referer",
    "host",
    "method",
    "status",
    "protocol",
    "source",
    "class",
    "rule",
]
"""What requests can be counted by."""

MeasureName = Literal["requests", "bytes", "errors", "attacks", "seconds"]
"""What a top list is ordered by."""

SplitName = Literal["none", "status", "audience", "class", "country", "host", "source"]
"""What a time line is divided by."""

Level = Literal["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"]
"""A level of nginx's error log."""

MAX_TOP = 10_000
MAX_LINES = 1_000


def _exactly(what: str) -> Any:
    return Field(None, description=f"Only requests with exactly this: {what}.")


# Requests


class Nothing(Request):
    """A call without parameters."""


class Tracked(Request):
    """A call that may take long."""

    query_id: RandomId | None = Field(
        None,
        description="A random UUID (version 4) of the caller's, under which `/api/v1/queries/{id}` tells "
        "the progress and cancels.",
    )


class Span(Tracked):
    """A stretch of time."""

    since: Text | None = Field(
        None,
        description="First moment, inclusive: ISO 8601 (UTC without a zone), or `30m`, `24h`, `7d` ago.",
        examples=["24h", "2026-11-22T10:00"],
    )
    until: Text | None = Field(
        None, description="Moment after the last, exclusive; written like `since`.", examples=["30m"]
    )


class Scope(Span):
    """Which requests a question is about: a stretch of time and conditions that must all hold.

    A name of a field is a shorthand: `path=/login` is `where=path = "/login"`.
    """

    where: tuple[str, ...] = Field(
        (),
        description="Conditions `FIELD OP VALUE`, OP one of `= != < <= > >= ~` (`~` searches a regular "
        "expression). May be repeated: then all must hold.",
        examples=[["status >= 500", "path ~ ^/api"]],
    )
    line: Text | None = _exactly("number of the line in its source")
    line_offset: Text | None = _exactly("byte offset of the line in its source")
    raw: Text | None = _exactly("the whole line")
    ts: Text | None = _exactly("time, written like `since`")
    client: Text | None = _exactly("client")
    user: Text | None = _exactly("authenticated user")
    method: Text | None = _exactly("method")
    target: Text | None = _exactly("request target")
    path: Text | None = _exactly("path")
    query: Text | None = _exactly("what stands after `?`")
    protocol: Text | None = _exactly("protocol, such as `HTTP/1.1`")
    status: Text | None = _exactly("response status")
    bytes: Text | None = _exactly("body bytes sent")
    referer: Text | None = _exactly("referer")
    user_agent: Text | None = _exactly("user agent")
    host: Text | None = _exactly("virtual host")
    forwarded_for: Text | None = _exactly("X-Forwarded-For")
    request_time: Text | None = _exactly("request time in seconds")
    upstream_time: Text | None = _exactly("upstream time in seconds")
    country: Text | None = _exactly("country, ISO 3166-1 alpha-2")
    is_bot: Text | None = _exactly("`true` for programs, `false` for the others")
    ua_family: Text | None = _exactly("family of the agent, such as `Chrome`")
    rules: Text | None = _exactly("id of a rule that hit")
    classes: Text | None = _exactly("attack class")
    score: Text | None = _exactly("score, 0 to 1")
    attack: Text | None = _exactly("`true` for attacks, `false` for the others")
    source: Text | None = _exactly("the log it stands in")


FIELDS = tuple(name for name in Scope.model_fields if name not in {*Span.model_fields, "where"})
"""Fields of a request that a parameter of the same name filters."""


class SummaryRequest(Scope):
    """`GET summary`."""

    top: int = Field(10, ge=1, le=MAX_TOP, description="Rows of each list at the most.")
    compare: bool = Field(
        default=False,
        description="Adds `previous`: the stretch of the same length before `since`, which is needed then.",
    )


class TimelineRequest(Scope):
    """`GET timeseries`."""

    step: str | None = Field(
        None,
        description="Width of a step: `10s`, `1m`, `2h`, `1d`. Without it the width that gives at most 120.",
        examples=["5m"],
    )
    split: SplitName = Field("none", description="What to divide by; a series for each part.")


class TopRequest(Scope):
    """`GET top/{dimension}`."""

    measure: MeasureName = Field("requests", description="What to order by.")
    limit: int = Field(10, ge=1, le=MAX_TOP, description="Rows at the most.")


class FindingsRequest(Scope):
    """`GET findings`."""

    limit: int = Field(100, ge=1, le=MAX_TOP, description="Rows at the most.")


class LinesRequest(Scope):
    """`GET lines`."""

    limit: int = Field(100, ge=1, le=MAX_LINES, description="Rows of a page at the most.")
    cursor: str | None = Field(None, max_length=1_000, description="`next` of the page before.")


class ChangesRequest(Scope):
    """`GET changes`."""

    limit: int = Field(20, ge=1, le=1_000, description="Rows at the most.")


class ErrorsRequest(Span):
    """`GET errors`."""

    level: Level | None = Field(None, description="Only lines of this level.")
    limit: int = Field(100, ge=1, le=MAX_TOP, description="Rows at the most.")


class ErrorTimelineRequest(Span):
    """`GET errors/timeseries`."""

    step: str | None = Field(None, description="Width of a step, as of `timeseries`.", examples=["5m"])


class ErrorLinesRequest(Span):
    """`GET errors/lines`."""

    level: Level | None = Field(None, description="Only lines of this level.")
    message: str | None = Field(None, description="Only lines of this message, as `errors` tells it.")
    limit: int = Field(100, ge=1, le=MAX_LINES, description="Rows of a page at the most.")
    cursor: str | None = Field(None, max_length=1_000, description="`next` of the page before.")


class RejectsRequest(Tracked):
    """`GET rejects`."""

    limit: int = Field(100, ge=1, le=MAX_LINES, description="Rows at the most.")


# Responses: the summary


class TopRow(Wire):
    """A value, how often it was asked for and what it cost."""

    value: str = Field(description="The path, client, country ...; empty when not known.")
    requests: int = Field(description="Requests with it.")
    bytes: int = Field(description="Body bytes sent for them.")
    errors: int = Field(description="How many of them were answered 4xx or 5xx.")
    seconds: Seconds | None = Field(
        description="Their mean request time in seconds, null when the log has no times."
    )


class AttackRow(Wire):
    """One attack class."""

    attack_class: str = Field(
        validation_alias=AliasChoices("class", "attack_class"),
        serialization_alias="class",
        description="Attack class, such as `sqli`.",
    )
    requests: int = Field(description="Requests of the class; one of several classes counts in each.")
    clients: int = Field(description="Distinct clients behind them.")


class Attacker(Wire):
    """One client behind attacks, with one example of what it sent."""

    client: str = Field(description="Address, host name or `unix:`.")
    country: str = Field(description="ISO 3166-1 alpha-2.")
    requests: int = Field(description="All its requests.")
    attacks: int = Field(description="Those of them that are attacks.")
    classes: tuple[str, ...] = Field(description="Attack classes of its requests.")
    score: Fraction = Field(description="The highest score of its requests, 0 to 1.")
    first: Moment = Field(description="Its earliest attack.")
    last: Moment = Field(description="Its latest attack.")
    example: str = Field(description="One of its attacks, as written.")
    decoded: str = Field(description="The value that the rule saw, decoded.")
    matched: str = Field(description="The part of `decoded` that the rule matched.")
    rule: str = Field(description="Id of the rule.")


class Bucket(Wire):
    """One step of the summary's time line."""

    start: Moment = Field(description="Start of the step.")
    requests: int = Field(description="Requests in it.")
    bytes: int = Field(description="Body bytes sent.")
    ok: int = Field(description="Answers 1xx to 3xx.")
    client_errors: int = Field(description="Answers 4xx.")
    server_errors: int = Field(description="Answers 5xx.")
    attacks: int = Field(description="Attacks; counted beside their status, not instead of it.")


class Reject(Wire):
    """A line that could not be parsed."""

    source: str = Field(description="Where the line stands.")
    line: int = Field(description="Its number, from 1.")
    reason: str = Field(description="A short stable key, such as `fields` or `time`.")
    raw: str = Field(description="The line.")


class Source(Wire):
    """A log that requests came from."""

    name: str = Field(description="The file, or `-` for the standard input.")
    format: str = Field(description="The format that its lines were parsed with.")
    requests: int = Field(description="Parsed lines that the filters let through.")
    rejected: int = Field(description="Lines that could not be parsed.")
    parsed: int = Field(description="Lines that could be parsed, before the filters.")


class ErrorRow(Wire):
    """One message of nginx's error logs."""

    level: str = Field(description="nginx's level, such as `error` or `crit`.")
    message: str = Field(description="The message, its numbers folded so that equal ones count together.")
    count: int = Field(description="How often it stood there.")
    first: Moment = Field(description="Its earliest line.")
    last: Moment = Field(description="Its latest line.")


class Previous(Wire):
    """The main numbers of the stretch of the same length before, to compare with."""

    since: Instant = Field(description="Its first moment, inclusive.")
    until: Instant = Field(description="The moment after its last.")
    requests: int = Field(description="Requests.")
    unique_clients: int = Field(description="Distinct clients.")
    bytes: int = Field(description="Body bytes sent.")
    client_errors: int = Field(description="Answers 4xx.")
    server_errors: int = Field(description="Answers 5xx.")
    attack_requests: int = Field(description="Requests that are attacks.")
    bots: int = Field(description="Requests whose agent says that it is a program.")


class Summary(Wire):
    """All that `dozor report --json` says, over the requests in scope."""

    requests: int = Field(description="Parsed lines that the filters let through.")
    rejected: int = Field(description="Lines that could not be parsed; filters do not change it.")
    unique_clients: int = Field(description="Distinct addresses, host names and `unix:`.")
    bytes: int = Field(description="Body bytes sent.")
    first: Moment | None = Field(description="Time of the earliest request.")
    last: Moment | None = Field(description="Time of the latest request.")
    status: dict[str, int] = Field(description="Requests by status code.")
    methods: dict[str, int] = Field(description="Requests by method; empty for junk.")
    bots: int = Field(description="Requests whose agent says that it is a program.")
    top_paths: tuple[TopRow, ...] = Field(description="Paths: the target up to `?`, as written.")
    top_clients: tuple[TopRow, ...] = Field(description="Clients.")
    top_countries: tuple[TopRow, ...] = Field(description="Countries of the clients, ISO 3166-1 alpha-2.")
    top_agents: tuple[TopRow, ...] = Field(description="Agents by family, such as `Chrome` or `curl`.")
    top_referers: tuple[TopRow, ...] = Field(description="Referers.")
    top_hosts: tuple[TopRow, ...] = Field(description="Virtual hosts.")
    error_paths: tuple[TopRow, ...] = Field(description="Paths with the most 4xx and 5xx answers.")
    slow_paths: tuple[TopRow, ...] = Field(description="Paths with the longest mean request time.")
    attacks: tuple[AttackRow, ...] = Field(description="Classes of the requests that are attacks.")
    weak_signs: tuple[AttackRow, ...] = Field(
        description="Classes of the requests that rules hit without making an attack of them."
    )
    attackers: tuple[Attacker, ...] = Field(description="Clients behind attacks.")
    attack_requests: int = Field(description="Requests that are attacks; several classes count once.")
    timeline: tuple[Bucket, ...] = Field(description="The time line, without gaps, at most 120 steps.")
    step_seconds: Seconds = Field(
        validation_alias=AliasChoices("step_seconds", "step"),
        serialization_alias="step_seconds",
        description="Length of a step in seconds.",
    )
    reject_reasons: dict[str, int] = Field(description="Rejected lines by reason.")
    reject_examples: tuple[Reject, ...] = Field(description="Some of the rejected lines.")
    sources: tuple[Source, ...] = Field(description="The logs that are kept.")
    errors: tuple[ErrorRow, ...] = Field(description="Messages of nginx's error logs, most frequent first.")
    elapsed_seconds: Seconds = Field(
        validation_alias=AliasChoices("elapsed_seconds", "seconds"),
        serialization_alias="elapsed_seconds",
        description="How long the question took, in seconds.",
    )
    previous: Previous | None = Field(
        None, description="The stretch of the same length before; only with `compare=true`."
    )


# Responses: the rest


class CountedRow(Wire):
    """One value and what was counted of it."""

    value: str = Field(description="The value; empty when not known.")
    requests: int = Field(description="Requests with it.")
    bytes: int = Field(description="Body bytes sent for them.")
    errors: int = Field(description="How many of them were answered 4xx or 5xx.")
    attacks: int = Field(description="How many of them are attacks.")
    clients: int = Field(description="Distinct clients behind them: exact up to 100,000, then within 2 %.")
    seconds: Seconds | None = Field(
        description="Mean request time in seconds, null when the log has no times."
    )


class TopList(Wire):
    """The first values by a measure, and what they leave out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "rows": [
                        {
                            "value": "/login",
                            "requests": 4210,
                            "bytes": 9120300,
                            "errors": 37,
                            "attacks": 12,
                            "clients": 318,
                            "seconds": 0.021,
                        }
                    ],
                    "distinct": 1204,
                    "requests": 81204,
                }
            ]
        }
    )

    rows: tuple[CountedRow, ...] = Field(description="The values, the most first, equal ones by value.")
    distinct: int = Field(description="How many values there are in all.")
    requests: int = Field(description="All requests in scope, those of other values included.")


class Series(Wire):
    """One line of a time line; each list has a number per step."""

    name: str = Field(description="Which part it is, such as `5xx` or `DE`; empty when it is all.")
    requests: tuple[int, ...] = Field(description="Requests of each step (of an error log: lines).")
    bytes: tuple[int, ...] = Field(description="Body bytes of each step.")
    clients: tuple[int, ...] = Field(description="Distinct clients of each step.")


class Timeline(Wire):
    """Steps without gaps, and a series for each part of the split."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "start": ["2026-11-22T10:00:00Z", "2026-11-22T10:01:00Z"],
                    "step_seconds": 60,
                    "series": [
                        {"name": "ok", "requests": [812, 790], "bytes": [910200, 880100], "clients": [64, 61]}
                    ],
                }
            ]
        }
    )

    start: tuple[Moment, ...] = Field(description="Start of each step.")
    step_seconds: Seconds = Field(
        validation_alias=AliasChoices("step_seconds", "step"),
        serialization_alias="step_seconds",
        description="Width of a step in seconds.",
    )
    series: tuple[Series, ...] = Field(description="At most 8 and `other`.")


class Geography(Wire):
    """Requests by country of the client."""

    countries: tuple[CountedRow, ...] = Field(
        description="Countries (ISO 3166-1 alpha-2 as `value`), the most requests first."
    )
    unknown: CountedRow = Field(description="Clients without a country: private, unknown, no address.")
    requests: int = Field(description="All requests in scope.")


class Finding(Wire):
    """One client and one attack class over the stretch of time, with the strongest example."""

    fingerprint: str = Field(description="Names client and class: the same at every call.")
    attack_class: str = Field(
        validation_alias=AliasChoices("class", "attack_class"),
        serialization_alias="class",
        description="Attack class, such as `sqli`.",
    )
    client: str = Field(description="Address, host name or `unix:`.")
    country: str = Field(description="ISO 3166-1 alpha-2, empty when unknown.")
    severity: str = Field(description="`info`, `low`, `medium`, `high` or `critical`.")
    score: Fraction = Field(description="The highest score of its requests, 0 to 1.")
    requests: int = Field(description="Its requests of this class that are attacks.")
    first: Instant = Field(description="The earliest of them.")
    last: Instant = Field(description="The latest of them.")
    status: dict[str, int] = Field(description="These requests by status code.")
    rules: tuple[str, ...] = Field(description="Ids of the rules that hit.")
    example: str = Field(description="The line with the highest score, as written.")
    where: str = Field(description="Where the rule found it, such as `query:id`.")
    decoded: str = Field(description="The value that the rule saw, decoded.")
    matched: str = Field(description="The part of `decoded` that the rule matched.")
    rule: str = Field(description="Id of the rule.")


class Findings(Wire):
    """Findings, the highest score first, then the most requests."""

    items: tuple[Finding, ...]


class Evidence(Wire):
    """Why a line is what its classes say."""

    where: str = Field(description="Where the rule found it, such as `query:id`.")
    decoded: str = Field(description="The value that the rule saw, decoded.")
    matched: str = Field(description="The part of `decoded` that the rule matched.")
    rule: str = Field(description="Id of the rule.")


class Line(Wire):
    """One request of a web log."""

    id: str = Field(description="Names the line for ever: for `lines/{id}`.")
    source: str = Field(description="The log that it stands in.")
    line: int = Field(description="Number of the line in its source, from 1; blank lines count.")
    line_offset: int = Field(description="Byte offset of the line in its source, after decompression.")
    raw: str = Field(description="The line as written, without its line end.")
    ts: Instant = Field(description="When the server logged the request.")
    client: str = Field(description="The real client behind trusted proxies.")
    user: str = Field(description="Authenticated user.")
    method: str = Field(description="As written; empty for junk that is no request line.")
    target: str = Field(description="The request target as written; for junk the raw text.")
    path: str = Field(description="The target up to its first `?`, as written.")
    query: str = Field(description="The target after its first `?`, as written.")
    protocol: str = Field(description="`HTTP/1.1` and so on; empty for HTTP/0.9 and for junk.")
    status: int = Field(description="Response status.")
    bytes: int = Field(description="Body bytes sent.")
    referer: str
    user_agent: str
    host: str = Field(description="Virtual host.")
    forwarded_for: str = Field(description="X-Forwarded-For as written.")
    request_time: Seconds | None = Field(description="Seconds, null when not logged.")
    upstream_time: Seconds | None = Field(
        description="Seconds, summed over upstream tries, null when not logged."
    )
    country: str = Field(description="ISO 3166-1 alpha-2, empty when unknown or private.")
    is_bot: bool = Field(description="The agent says that it is a program.")
    ua_family: str = Field(description="Short name of the agent: `Chrome`, `Googlebot`, `curl`.")
    rules: tuple[str, ...] = Field(description="Ids of the rules that hit, ascending.")
    classes: tuple[str, ...] = Field(description="Attack classes of these rules, ascending.")
    score: Fraction = Field(description="0 to 1; the line by itself is an attack from 0.5.")
    evidence: tuple[Evidence, ...] = Field(description="Why, the strongest first, at most 8.")


class Lines(Wire):
    """A page of requests, the newest first."""

    items: tuple[Line, ...]
    next: str | None = Field(description="Cursor of the page after this one, null when it is the last.")


class ErrorGroup(Wire):
    """One message of nginx's error logs, numbers folded, in the stretch of time."""

    level: str = Field(description="nginx's level, such as `error` or `crit`.")
    message: str = Field(description="The message, its numbers folded so that equal ones count together.")
    count: int = Field(description="How often it stood there.")
    first: Moment = Field(description="Its earliest line.")
    last: Moment = Field(description="Its latest line.")
    hosts: tuple[str, ...] = Field(description="Virtual hosts that it names, at most 5.")
    steps: tuple[int, ...] = Field(description="How often in each of 24 equal steps of the stretch.")
    example: str = Field(description="One of its lines as written.")


class ErrorGroups(Wire):
    """Messages, the most frequent first."""

    items: tuple[ErrorGroup, ...]


class ErrorLine(Wire):
    """One line of an nginx error log; facts that it does not tell are empty."""

    source: str = Field(description="The log that it stands in.")
    line: int = Field(description="Number of its first line, from 1.")
    line_offset: int = Field(description="Byte offset of its first line in its source.")
    ts: Instant = Field(description="When it was logged.")
    level: str = Field(description="nginx's level, such as `error` or `crit`.")
    pid: int = Field(description="Process.")
    tid: int = Field(description="Thread.")
    connection: int | None = Field(description="Number of the connection; null outside of one.")
    message: str = Field(description="What happened, continuation lines included.")
    client: str = Field(description="Address.")
    server: str = Field(description="Name of the server block.")
    request: str = Field(description="Request line.")
    upstream: str = Field(description="Address and path at the upstream.")
    host: str = Field(description="Host header.")
    referrer: str = Field(description="Referer header.")


class ErrorLines(Wire):
    """A page of lines of error logs, the newest first."""

    items: tuple[ErrorLine, ...]
    next: str | None = Field(description="Cursor of the page after this one, null when it is the last.")


class Rejects(Wire):
    """The latest lines that were no requests."""

    items: tuple[Reject, ...]


class SourceStatus(Wire):
    """A log that is followed, and how it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "/var/log/nginx/access.log",
                    "format": "combined",
                    "state": "following",
                    "reason": "",
                    "lag_bytes": 0,
                    "lag_seconds": 0,
                    "lines": 81204,
                    "rejected": 2,
                    "last_event": "2026-11-22T12:00:00.123Z",
                    "offset": 18204113,
                    "size": 18204113,
                }
            ]
        }
    )

    name: str = Field(description="What people call it: a path, or `-`.")
    format: str = Field(description="The format that its lines are parsed with; empty when not known yet.")
    state: str = Field(description="`starting`, `following`, `behind`, `waiting`, `paused` or `failed`.")
    reason: str = Field(description="Why it is not following, in words; empty when it is.")
    lag_bytes: int = Field(description="Bytes written to the log and not stored yet.")
    lag_seconds: Seconds | None = Field(
        description="Age of the oldest line not stored yet, 0 when there is none, null when not known."
    )
    lines: int = Field(description="Lines stored since the start of the process.")
    rejected: int = Field(description="Lines that were no requests, since then.")
    last_event: Instant | None = Field(description="Time of the latest line stored, null before the first.")
    offset: int = Field(0, description="Bytes read of the file that is written at present.")
    size: int = Field(0, description="Size of that file in bytes.")


class Sources(Wire):
    """The logs that are followed."""

    items: tuple[SourceStatus, ...]


class Coverage(Wire):
    """What the store holds."""

    requests: int = Field(description="Requests.")
    first: Instant | None = Field(description="Time of the earliest; null when there are none.")
    last: Instant | None = Field(description="Time of the latest.")
    rejected: int = Field(description="Lines that were no requests.")
    errors: int = Field(description="Lines of error logs.")


class Change(Wire):
    """A value that is asked for more or less than in the stretch before."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"dimension": "path", "value": "/wp-login.php", "requests": 912, "before": 3, "share": 0.41}
            ]
        }
    )

    dimension: Literal["path", "client", "country", "status", "ua_family"]
    value: str = Field(description="The value; empty when not known.")
    requests: int = Field(description="Requests with it now.")
    before: int = Field(description="Requests with it in the stretch before.")
    share: Fraction = Field(
        description="Its part of all that moved in its dimension, 0 to 1: |now - before| of it over the "
        "sum of |now - before| of all values."
    )


class Changes(Wire):
    """What differs from the stretch of the same length before, the largest share first."""

    since: Instant = Field(description="First moment of this stretch.")
    until: Instant = Field(description="The moment after its last.")
    requests: int = Field(description="Requests of this stretch.")
    before: int = Field(description="Requests of the stretch before.")
    items: tuple[Change, ...]
