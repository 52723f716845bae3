"""What annotate and findings promise to the pipeline."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from dozor.columns.record import DETECT_COLUMNS
from dozor.features.threats.core.rules import load_rules
from dozor.features.threats.model import RuleSet
from dozor.features.threats.service import Detector
from dozor.testing.threats import InMemoryScanner
from tests.unit.threats.requests import Annotate, Line, batch_of

ATTACK = Line(target="/item?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20&page=2")
CLEAN = Line(target="/item?id=1&q=foo+bar%20baz", user_agent="Mozilla/5.0 (X11; Linux x86_64)")


def test_the_batch_keeps_its_columns_and_gains_the_record_s(detector: Detector) -> None:
    batch = batch_of([ATTACK, CLEAN])
    annotated = detector.annotate(batch)
    assert annotated.schema.names == [*batch.schema.names, *DETECT_COLUMNS.names]
    for field in DETECT_COLUMNS:
        assert annotated.schema.field(field.name) == field
    assert annotated.select(batch.schema.names) == batch


@pytest.mark.parametrize("kind", [pa.string_view(), pa.string(), pa.large_string()])
def test_all_kinds_of_text_column_give_the_same(detector: Detector, kind: pa.DataType) -> None:
    rows = detector.annotate(batch_of([CLEAN, ATTACK], kind)).select(DETECT_COLUMNS.names).to_pylist()
    assert rows[0] == {"rules": [], "classes": [], "score": 0.0, "evidence": []}
    assert rows[1]["classes"] == ["sqli"]
    assert rows[1]["score"] > 0.85


def test_an_empty_batch_stays_empty(detector: Detector) -> None:
    assert detector.annotate(batch_of([])).num_rows == 0


def test_evidence_names_the_argument_the_decoded_text_and_the_match(annotate: Annotate) -> None:
    evidence = annotate([ATTACK])[0]["evidence"][0]
    assert evidence["where"] == "query:id"
    assert evidence["decoded"] == "1' UNION SELECT password FROM users-- "
    assert "UNION SELECT" in evidence["matched"]
    assert evidence["rule"] == "sqli-union-select"


def test_evidence_comes_from_the_field_that_holds_the_attack(annotate: Annotate) -> None:
    agent, referer = annotate(
        [Line(user_agent="sqlmap/1.8#stable"), Line(referer="https://x.example/?q=<script>alert(1)</script>")]
    )
    assert agent["evidence"][0]["where"] == "user_agent"
    assert agent["classes"] == ["bad_agent"]
    assert referer["evidence"][0]["where"] == "referer"


def test_a_line_of_several_classes_has_them_all(annotate: Annotate) -> None:
    both = Line(target="/?a=%3Cscript%3Ealert(1)%3C/script%3E", user_agent="Nikto/2.1")
    assert annotate([both])[0]["classes"] == ["bad_agent", "xss"]


def test_scanning_alone_is_never_an_attack(annotate: Annotate) -> None:
    scan = Line(target="/.git/config.php.bak?author=1", user_agent="CensysInspect/1.1")
    row = annotate([scan])[0]
    assert set(row["classes"]) == {"scanner"}
    assert 0.3 < row["score"] < 0.5


def test_a_bad_agent_is_an_attack_by_itself(annotate: Annotate) -> None:
    assert annotate([Line(user_agent="gobuster/3.6")])[0]["score"] >= 0.5


@pytest.mark.parametrize(
    "agent",
    [
        "curl/8.5.0",
        "python-requests/2.32.3",
        "Go-http-client/2.0",
        "Wget/1.21.4",
        "okhttp/4.12.0",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
        "Opera/9.80 (MTK; Opera Mini/2.1199/34.1244; U; id) Presto/2.8.119 Version/11.10",
        "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; {1A030500-6279-11D8-91F9-00055D306537})",
        "Mozilla/4.0 (compatible; MSIE 6.0; Windows 98; AT&T CSM6.0)",
    ],
)
def test_libraries_browsers_and_crawlers_are_no_attackers(annotate: Annotate, agent: str) -> None:
    assert annotate([Line(user_agent=agent)])[0]["rules"] == []


@pytest.mark.parametrize(
    "target",
    [
        "/static/css/main.3f2a1b.css",
        "/wiki/%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82",
        "/search?q=O%27Brien+and+sons&sort=price",
        "/search?q=union+of+workers",
        "/search?q=select+a+table+or+chair",
        "/r?url=https%3A%2F%2Fshop.example%2Fa%3Fb%3Dc%26d%3De",
        "/?utm_campaign=Feed:+site/main+(site.example+-+A+Name)",
        "/?token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "/list?filter[price][gte]=10&filter[price][lte]=20",
        "/?q=%22exact+phrase%22&id=10&page=2",
        "/map?bbox=-1.5,50.2,3.4,60.1&zoom=7",
        "/a?date=2026-11-22T10:30:00%2B02:00",
    ],
)
def test_everyday_targets_are_clean(annotate: Annotate, target: str) -> None:
    assert annotate([Line(target=target)])[0]["score"] < 0.3


def test_junk_is_weak_and_of_class_protocol(annotate: Annotate) -> None:
    hello, empty = annotate([Line(method="", target=r"\x16\x03\x01\x02"), Line(method="", target="")])
    assert "protocol-tls-hello" in hello["rules"]
    assert hello["evidence"][0]["where"] == "request"
    assert set(hello["classes"]) == set(empty["classes"]) == {"protocol"}
    assert max(hello["score"], empty["score"]) < 0.5


@pytest.mark.parametrize(
    "greeting",
    [
        r"\x16\x03\x01\x00\xEE\x01\x00\x00\xEA\x03\x03",
        r"\x03\x00\x00/*\xE0\x00\x00\x00\x00\x00Cookie: mstshash=Administr",
        r"\x00\x00\x00T\xFFSMBr\x00\x00",
        "SSH-2.0-Go",
    ],
)
def test_a_greeting_of_another_protocol_is_no_attack(annotate: Annotate, greeting: str) -> None:
    (verdict,) = annotate([Line(method="", target=greeting)])
    assert verdict["score"] < 0.5
    assert verdict["classes"] == ["protocol"]


def test_an_odd_method_is_weak(annotate: Annotate) -> None:
    row = annotate([Line(method="TRACE")])[0]
    assert row["rules"] == ["protocol-odd-method"]
    assert row["score"] < 0.5


def test_bytes_that_are_no_text_and_line_feeds_do_no_harm(detector: Detector) -> None:
    batch = batch_of([Line(target="/a\n' or 1=1--\n"), CLEAN, ATTACK])
    scores: list[Any] = detector.annotate(batch).column("score").to_pylist()
    assert scores[0] >= 0.5
    assert scores[1] == 0
    assert scores[2] >= 0.5


def test_a_very_long_target_is_found_out_at_its_end(annotate: Annotate) -> None:
    padded = "/?" + "&".join(f"a{n}=1" for n in range(9000)) + "&id=1%27%20or%20%271%27=%271"
    row = annotate([Line(target=padded)])[0]
    assert row["score"] >= 0.5
    assert all(len(item["decoded"]) <= 300 for item in row["evidence"])


def test_threads_share_a_detector(detector: Detector) -> None:
    batches = [batch_of([ATTACK, Line(target=f"/p?id={n}'--"), CLEAN] * 20) for n in range(24)]
    alone = [detector.annotate(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detector.annotate, batches)) == alone


def test_a_forgetful_cache_changes_nothing(rules: RuleSet) -> None:
    few = RuleSet(tuple(rule for rule in rules.rules if rule.id.startswith("sqli-")), rules.hints)
    batch = batch_of([ATTACK, CLEAN, Line(target="/?q=admin'--")])
    small, large = Detector(few, InMemoryScanner, cache_size=0), Detector(few, InMemoryScanner)
    assert small.annotate(batch) == large.annotate(batch) == large.annotate(batch)
    assert large.annotate(batch).column("score")[0].as_py() >= 0.5


def _with_clients(batch: pa.RecordBatch, clients: list[str]) -> pa.RecordBatch:
    seconds = [datetime(2026, 11, 22, 10, 0, n, tzinfo=UTC) for n in range(batch.num_rows)]
    named = batch.append_column("client", pa.array(clients, pa.string_view()))
    return named.append_column("ts", pa.array(seconds, pa.timestamp("ms", tz="UTC")))


def test_findings_are_one_per_client_and_class(detector: Detector) -> None:
    lines = [ATTACK, ATTACK, Line(user_agent="sqlmap/1.8"), CLEAN]
    clients = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
    findings = detector.findings(detector.annotate(_with_clients(batch_of(lines), clients)))
    assert [(f.subject.name, f.kind, f.count) for f in findings] == [
        ("192.0.2.1", "threats.sqli", 2),
        ("192.0.2.2", "threats.bad_agent", 1),
    ]
    first = findings[0]
    assert (first.last - first.first).total_seconds() == 1
    assert first.score > 0.85
    assert first.evidence[0].where == "query:id"
    assert first.severity == max(r.severity for r in load_rules().rules if r.id == "sqli-union-select")
