"""The record: one request of a web log as a row of Arrow columns.

A batch passes three pure steps; each adds its group of columns and leaves the others alone:

    bytes --parse--> PARSED --enrich--> ENRICHED --detect--> RECORD

Text columns are `string_view`, so that a value of a line is a view into the bytes that were read
and costs 16 bytes. Missing text is the empty string (a lone `-` in a log is missing); missing
numbers are null. Empty and missing are one thing in web logs.

| column | type | meaning |
|---|---|---|
| line | int64 | number of the line in its source, from 1; blank lines count |
| line_offset | int64 | byte offset of the line in its source, after decompression |
| raw | string_view | the line as written, without its line end |
| ts | timestamp[ms, UTC] | when the server logged the request; never null |
| client | string_view | peer; after enrich the real client behind trusted proxies, in normal form |
| user | string_view | authenticated user |
| method | string_view | as written; empty for junk that is no request line |
| target | string_view | the request target as written; for junk the raw text |
| path | string_view | the target up to its first `?`, as written |
| query | string_view | the target after its first `?`, as written |
| protocol | string_view | `HTTP/1.1` and so on; empty for HTTP/0.9 and for junk |
| status | uint16 | response status; never null |
| bytes | int64 | body bytes sent; `-` is 0; never null |
| referer | string_view | |
| user_agent | string_view | |
| host | string_view | virtual host |
| forwarded_for | string_view | X-Forwarded-For as written |
| request_time | float32 | seconds, null when not logged |
| upstream_time | float32 | seconds, summed over upstream tries, null when not logged |
| country | string | ISO 3166-1 alpha-2 of `client`, empty when unknown or private |
| is_bot | bool | the agent says that it is a program |
| ua_family | string | short name of the agent: `Chrome`, `Googlebot`, `curl` |
| rules | list<string> | ids of the rules that hit, ascending |
| classes | list<string> | attack classes of these rules, ascending |
| score | float32 | 0 to 1; the line by itself is an attack from 0.5 |
| evidence | list<struct<where, decoded, matched, rule>> | why, the strongest first, at most 8 |
"""

from __future__ import annotations

import pyarrow as pa

ATTACK_SCORE = 0.5
"""A line is an attack by itself from this score on."""

_TEXT = pa.string_view()

PARSED = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        pa.field("line_offset", pa.int64(), nullable=False),
        pa.field("raw", _TEXT, nullable=False),
        pa.field("ts", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("client", _TEXT, nullable=False),
        pa.field("user", _TEXT, nullable=False),
        pa.field("method", _TEXT, nullable=False),
        pa.field("target", _TEXT, nullable=False),
        pa.field("path", _TEXT, nullable=False),
        pa.field("query", _TEXT, nullable=False),
        pa.field("protocol", _TEXT, nullable=False),
        pa.field("status", pa.uint16(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("referer", _TEXT, nullable=False),
        pa.field("user_agent", _TEXT, nullable=False),
        pa.field("host", _TEXT, nullable=False),
        pa.field("forwarded_for", _TEXT, nullable=False),
        pa.field("request_time", pa.float32()),
        pa.field("upstream_time", pa.float32()),
    ]
)

EVIDENCE = pa.struct(
    [
        pa.field("where", pa.string()),
        pa.field("decoded", pa.string()),
        pa.field("matched", pa.string()),
        pa.field("rule", pa.string()),
    ]
)

ENRICH_COLUMNS = pa.schema(
    [
        pa.field("country", pa.string(), nullable=False),
        pa.field("is_bot", pa.bool_(), nullable=False),
        pa.field("ua_family", pa.string(), nullable=False),
    ]
)

DETECT_COLUMNS = pa.schema(
    [
        pa.field("rules", pa.list_(pa.string()), nullable=False),
        pa.field("classes", pa.list_(pa.string()), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("evidence", pa.list_(EVIDENCE), nullable=False),
    ]
)

ENRICHED = pa.schema([*PARSED, *ENRICH_COLUMNS])
RECORD = pa.schema([*ENRICHED, *DETECT_COLUMNS])

REJECT = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        pa.field("line_offset", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
    ]
)
"""A line that is no request: `reason` is a short stable key such as `time` or `fields`."""
