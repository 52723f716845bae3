"""Summaries for the tests of the report's faces: a busy day, an empty log, one line, hostile text."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dozor.features.traffic.model import (
    Attacker,
    AttackRow,
    Bucket,
    ErrorRow,
    Reject,
    Source,
    Summary,
    TopRow,
)

START = datetime(2026, 11, 21, tzinfo=UTC)
QUARTER = timedelta(minutes=15)

MARKUP = "/[red]alert[/red]/[link=https://evil.example]x[/link]"
TAG = '/search?q="><img src=x onerror=alert(1)><script>alert(2)</script>'
ANSI = "/\x1b[31mred\x1b[0m\x1b]0;owned\x07\x9b2J\rback"
RIGHT_TO_LEFT = "/invoice\u202etxt.exe\u2066\u200f"
TEMPLATE = "/{{ 7*7 }}{% raw %}"
HOSTILE = (MARKUP, TAG, ANSI, RIGHT_TO_LEFT, TEMPLATE)
LONG_PATH = "/статьи/" + "очень-длинный-раздел/" * 40 + "конец"


def busy() -> Summary:
    """A day of a shop: a rhythm, bots, a scan at night, a short outage, two sources, rejects."""
    timeline = tuple(_bucket(step) for step in range(96))
    requests = sum(bucket.requests for bucket in timeline)
    client_errors = sum(bucket.client_errors for bucket in timeline)
    server_errors = sum(bucket.server_errors for bucket in timeline)
    ok = requests - client_errors - server_errors
    return replace(
        empty(),
        requests=requests,
        rejected=14,
        unique_clients=5_842,
        bytes=sum(bucket.bytes for bucket in timeline),
        first=START + timedelta(seconds=2),
        last=START + timedelta(hours=23, minutes=59, seconds=58),
        status={
            "200": ok - 2_311 - 804,
            "301": 804,
            "304": 2_311,
            "403": 120,
            "404": client_errors - 120 - 31,
            "429": 31,
            "500": 19,
            "502": server_errors - 19,
        },
        methods={"GET": requests - 4_420, "POST": 4_000, "HEAD": 412, "": 8},
        bots=requests // 5,
        top_paths=(
            TopRow("/", 14_204, 402_113_002, 12, 0.034),
            TopRow("/catalog/", 9_120, 1_204_113_002, 3, 0.081),
            TopRow("/api/v1/cart", 6_012, 12_113_002, 402, 0.212),
            TopRow("/product/4711-зимняя-куртка", 3_119, 88_113_002, 0, 0.066),
            TopRow("/static/app.9f8c2d.js", 3_002, 902_113_002, 0, 0.002),
            TopRow("/robots.txt", 1_202, 1_113_002, 0, 0.001),
            TopRow(LONG_PATH, 914, 3_113_002, 0, 0.12),
            TopRow("/favicon.ico", 801, 113_002, 0, 0.001),
            TopRow("/login", 610, 2_113_002, 190, 0.4),
            TopRow("/wp-login.php", 402, 113_002, 402, 0.009),
        ),
        top_clients=(
            TopRow("45.146.164.110", 2_104, 1_113_002, 1_998),
            TopRow("66.249.66.1", 1_620, 60_113_002, 4),
            TopRow("2001:db8:85a3:8d3:1319:8a2e:370:7348", 940, 9_113_002, 2),
            TopRow("unix:", 800, 113_002, 0),
            TopRow("203.0.113.77", 312, 8_113_002, 0),
        ),
        top_countries=(
            TopRow("RU", 21_400, 1_402_113_002, 812),
            TopRow("DE", 9_204, 602_113_002, 96),
            TopRow("US", 6_020, 202_113_002, 41),
            TopRow("NL", 2_402, 12_113_002, 2_001),
            TopRow("", 990, 1_113_002, 2),
        ),
        top_agents=(
            TopRow("Chrome", 24_020, 1_402_113_002, 402),
            TopRow("Safari", 8_204, 602_113_002, 96),
            TopRow("Googlebot", 4_020, 202_113_002, 41),
            TopRow("Yandex Browser", 3_400, 102_113_002, 12),
            TopRow("curl", 402, 2_113_002, 201),
            TopRow("", 120, 113_002, 20),
        ),
        top_referers=(
            TopRow("https://yandex.ru/", 2_204, 22_113_002, 2),
            TopRow("https://www.google.com/search?q=зимняя+куртка", 1_804, 12_113_002, 1),
        ),
        top_hosts=(
            TopRow("shop.example", 38_000, 2_402_113_002, 2_900),
            TopRow("api.shop.example", 6_000, 102_113_002, 900),
        ),
        error_paths=(
            TopRow("/api/v1/cart", 6_012, 12_113_002, 402, 0.212),
            TopRow("/wp-login.php", 402, 113_002, 402, 0.009),
            TopRow("/.env", 212, 53_002, 212, 0.001),
            TopRow("/login", 610, 2_113_002, 190, 0.4),
        ),
        slow_paths=(
            TopRow("/export/orders.csv", 14, 92_113_002, 1, 8.412),
            TopRow("/api/v1/recommend", 402, 4_113_002, 3, 1.207),
            TopRow("/login", 610, 2_113_002, 190, 0.4),
        ),
        attacks=(
            AttackRow("sqli", 412, 3),
            AttackRow("traversal", 188, 4),
            AttackRow("bad_agent", 96, 2),
            AttackRow("xss", 41, 2),
            AttackRow("rce", 12, 1),
        ),
        weak_signs=(AttackRow("scanner", 614, 22), AttackRow("protocol", 8, 5)),
        attackers=(
            Attacker(
                client="45.146.164.110",
                country="NL",
                requests=2_104,
                attacks=540,
                classes=("sqli", "traversal"),
                score=0.98,
                first=START + timedelta(hours=3, minutes=31),
                last=START + timedelta(hours=4, minutes=2),
                example='45.146.164.110 - - [21/Nov/2026:03:31:07 +0000] "GET /item?id=7%2527%20UNION%20'
                'SELECT%20login,pass%20FROM%20users HTTP/1.1" 200 48213 "-" "Mozilla/5.0"',
                decoded="7' UNION SELECT login,pass FROM users",
                matched="' UNION SELECT login,pass FROM",
                rule="sqli-union-select",
            ),
            Attacker(
                client="2001:db8:bad::1",
                country="",
                requests=96,
                attacks=41,
                classes=("xss",),
                score=0.8,
                first=START + timedelta(hours=12),
                last=START + timedelta(hours=12, minutes=5),
                example="/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
                decoded="<script>alert(1)</script>",
                matched="<script>",
                rule="xss-script-tag",
            ),
        ),
        attack_requests=sum(bucket.attacks for bucket in timeline),
        timeline=timeline,
        step=QUARTER,
        reject_reasons={"fields": 9, "time": 5},
        reject_examples=(
            Reject("access.log", 412, "fields", "not a log line at all"),
            Reject("access.log", 9_001, "time", '10.0.0.1 - - [99/Foo/2026] "GET / HTTP/1.1" 200 1'),
        ),
        sources=(
            Source("/var/log/nginx/access.log", "combined", requests - 4_000, 14),
            Source("/var/log/nginx/access.log.1.gz", "combined", 4_000, 0),
        ),
        seconds=0.42,
        errors=(
            ErrorRow(
                "error",
                "upstream timed out (N: Connection timed out) while reading response header from upstream",
                276,
                START + timedelta(hours=15),
                START + timedelta(hours=15, minutes=29),
            ),
            ErrorRow("warn", "an upstream response is buffered to a temporary file", 12, START, START),
        ),
    )


def empty() -> Summary:
    """A log without a single line."""
    return Summary(
        requests=0,
        rejected=0,
        unique_clients=0,
        bytes=0,
        first=None,
        last=None,
        status={},
        methods={},
        bots=0,
        top_paths=(),
        top_clients=(),
        top_countries=(),
        top_agents=(),
        top_referers=(),
        top_hosts=(),
        error_paths=(),
        slow_paths=(),
        attacks=(),
        weak_signs=(),
        attackers=(),
        attack_requests=0,
        timeline=(),
        step=timedelta(minutes=1),
        reject_reasons={},
        reject_examples=(),
        sources=(Source("access.log", "combined", 0, 0),),
    )


def one_line() -> Summary:
    """A log of one request, answered well."""
    row = TopRow("/", 1, 612)
    return replace(
        empty(),
        requests=1,
        unique_clients=1,
        bytes=612,
        first=START,
        last=START,
        status={"200": 1},
        methods={"GET": 1},
        top_paths=(row,),
        top_clients=(replace(row, value="10.0.0.1"),),
        top_countries=(replace(row, value=""),),
        top_agents=(replace(row, value="Firefox"),),
        timeline=(Bucket(START, 1, 612, 1, 0, 0, 0),),
        sources=(Source("access.log", "combined", 1, 0),),
        seconds=0.001,
    )


def hostile() -> Summary:
    """Every text of the report is written by an attacker: tags, escapes, markup, direction marks."""
    rows = tuple(TopRow(text, 9 - place, 1_000, 1, 0.5) for place, text in enumerate(HOSTILE))
    attackers = tuple(
        Attacker(
            client=text,
            country="DE",
            requests=3,
            attacks=2,
            classes=("xss", text),
            score=1.0,
            first=START,
            last=START,
            example=f"GET {text} HTTP/1.1",
            decoded=f"before {text} after",
            matched=text,
            rule=text,
        )
        for text in HOSTILE
    )
    return replace(
        busy(),
        methods=dict.fromkeys(HOSTILE, 3),
        top_paths=rows,
        top_clients=rows,
        top_countries=rows,
        top_agents=rows,
        top_referers=rows,
        top_hosts=rows,
        error_paths=rows,
        slow_paths=rows,
        attacks=tuple(AttackRow(text, 2, 1) for text in HOSTILE),
        weak_signs=tuple(AttackRow(text, 2, 1) for text in HOSTILE),
        attackers=attackers,
        reject_reasons=dict.fromkeys(HOSTILE, 2),
        reject_examples=tuple(Reject(text, 1, text, text) for text in HOSTILE),
        sources=tuple(Source(text, text, 3, 2) for text in HOSTILE),
        errors=tuple(ErrorRow(text, text, 2, START, START) for text in HOSTILE),
    )


def huge() -> Summary:
    """Numbers beyond what columns are planned for, and a target of 64 kB in an attack."""
    factor = 100_000_000
    day = busy()
    target = "/" + "a" * 32_000 + "' UNION SELECT 1" + "b" * 32_000
    return replace(
        day,
        requests=day.requests * factor,
        rejected=10**12,
        unique_clients=10**11,
        bytes=day.bytes * factor,
        status={code: count * factor for code, count in day.status.items()},
        top_paths=tuple(
            replace(row, value=target, requests=row.requests * factor, bytes=row.bytes * factor)
            for row in day.top_paths
        ),
        timeline=tuple(
            replace(
                bucket,
                requests=bucket.requests * factor,
                ok=bucket.ok * factor,
                client_errors=bucket.client_errors * factor,
                server_errors=bucket.server_errors * factor,
            )
            for bucket in day.timeline
        ),
        attackers=(replace(day.attackers[0], example=target, decoded=target, matched="' UNION SELECT 1"),),
        seconds=7_265.5,
    )


def _bucket(step: int) -> Bucket:
    """One quarter of an hour: most visitors in the afternoon, an attack at 03:30, an outage at 15:00."""
    rhythm = 1 + math.cos((step / 96 - 0.64) * 2 * math.pi)
    requests = int(60 + 420 * rhythm + 37 * math.sin(step * 1.7))
    attacks = {13: 64, 14: 212, 15: 301, 16: 120, 48: 41}.get(step, 1 if step % 9 == 0 else 0)
    client_errors = requests // 40 + attacks
    server_errors = {60: 180, 61: 96}.get(step, step % 3)
    ok = requests
    total = ok + client_errors + server_errors
    return Bucket(START + step * QUARTER, total, total * 21_402, ok, client_errors, server_errors, attacks)
