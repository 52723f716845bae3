from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import unquote_plus

import iptocc
import numpy as np
import polars as pl
import pytest

from dozor.features.traffic.core.demo import (
    DemoFormat,
    DemoOptions,
    World,
    access_lines,
    backfill,
    build_world,
    error_lines,
    label_lines,
    stream,
)
from dozor.features.traffic.core.demo.attackers import AGENT_CLASS, embed
from dozor.features.traffic.core.demo.tables import SITE

END = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SAMPLES = {
    "sqli": ["/item?id=1%27%20OR%201=1--", "1 UNION SELECT login FROM people"],
    "xss": ["<script>alert('п')</script>"],
    "traversal": ["/static/../../etc/passwd", "../../etc/shadow"],
    AGENT_CLASS: ['evil "quoted" scanner\\1.0'],
}
BEHAVIOURS = {"brute_force", "page_scan", "slow_scan", "crawl_burst", "traffic_burst", "junk"}
COMBINED = re.compile(
    r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "((?:[^"\\]|\\x[0-9A-F]{2})*)" (\d{3}) (\d+) '
    r'"((?:[^"\\]|\\x[0-9A-F]{2})*)" "((?:[^"\\]|\\x[0-9A-F]{2})*)"'
)


def world(seed: int = 7, requests_per_day: int = 20_000) -> World:
    return build_world(DemoOptions(seed, requests_per_day), SAMPLES)


@pytest.fixture(scope="module")
def day() -> pl.DataFrame:
    return next(backfill(world(), END, 1))


def moments(events: pl.DataFrame) -> list[datetime]:
    return [datetime.fromtimestamp(t / 1000, tz=UTC) for t in events["t"]]


def test_the_same_seed_and_options_give_the_same_bytes() -> None:
    first, again = (
        [access_lines(day, DemoFormat.MAIN).to_list() for day in backfill(world(), END, 2)] for _ in range(2)
    )
    assert first == again


def test_another_seed_gives_other_lines() -> None:
    one, other = (next(backfill(world(seed), END, 1)) for seed in (1, 2))
    assert one["request"].to_list() != other["request"].to_list()


def test_days_join_in_order_without_leaving_the_window() -> None:
    days = list(backfill(world(), END, 3))
    assert len(days) == 3
    together = pl.concat(days)
    assert together["t"].is_sorted()
    times = moments(together)
    assert END - timedelta(days=3) <= times[0]
    assert times[-1] < END
    for number, day in enumerate(days):
        assert moments(day)[0] >= END - timedelta(days=3 - number)


def test_a_visit_goes_on_after_the_end_of_its_day() -> None:
    first, second = backfill(world(requests_per_day=50_000), END, 2)
    minute = 60_000
    before = first.filter(pl.col("t") >= pl.col("t").last() - 5 * minute)
    after = second.filter(pl.col("t") < pl.col("t").first() + 5 * minute)
    browsing = set(before.filter(pl.col("ut") == "-")["client"])
    assert browsing & set(after["client"])


def test_a_week_has_about_the_requests_that_were_asked_for() -> None:
    total = sum(len(day) for day in backfill(world(), END, 7))
    assert total == pytest.approx(7 * 20_000, rel=0.08)


def test_the_small_hours_are_quiet_and_the_evening_is_busy(day: pl.DataFrame) -> None:
    people = day.filter(pl.col("label") == "")
    hours = Counter(moment.hour for moment in moments(people))
    night = sum(hours[hour] for hour in (23, 0, 1, 2))
    evening = sum(hours[hour] for hour in (15, 16, 17, 18))
    assert evening > 2 * night


def test_every_attack_class_and_behaviour_stands_in_a_day(day: pl.DataFrame) -> None:
    assert set(day["label"]) == {"", *SAMPLES, *BEHAVIOURS}


def test_every_attack_class_and_behaviour_stands_even_in_a_small_day() -> None:
    small = next(backfill(world(requests_per_day=500), END, 1))
    assert set(small["label"]) == {"", *SAMPLES, *BEHAVIOURS}


def test_traffic_is_mostly_benign(day: pl.DataFrame) -> None:
    assert len(day.filter(pl.col("label") == "")) > 0.9 * len(day)


def test_attacks_carry_their_samples_as_they_are_or_embedded(day: pl.DataFrame) -> None:
    sent = day.filter(pl.col("label") == "sqli")["request"].to_list()
    assert any("/item?id=1%27%20OR%201=1--" in request for request in sent)
    assert any("UNION%20SELECT" in request or "UNION+SELECT" in request for request in sent)
    assert len({request.split("?")[0] for request in sent}) > 3
    assert all(request.count(" ") == 2 for request in sent)


def test_methods_of_the_protocol_class_are_sent_as_methods() -> None:
    samples = {"protocol": ["TRACE", "%c0%af", ""]}
    events = next(backfill(build_world(DemoOptions(1, 2_000), samples), END, 1))
    sent = events.filter(pl.col("label") == "protocol")["request"].to_list()
    assert "TRACE / HTTP/1.1" in sent
    assert all("%25c0%25af" in request for request in sent if not request.startswith("TRACE"))


@pytest.mark.parametrize("sample", ["//evil.example/x", "/bin/id -a", "1 OR 1=1", "../etc/passwd"])
def test_values_become_arguments_and_only_paths_of_the_site_are_targets(sample: str) -> None:
    target = embed(np.random.default_rng(1), sample)
    assert sample in {
        unquote_plus(value) for _, _, value in (part.partition("=") for part in target.split("&"))
    }


def test_bad_agents_are_sent_as_agents(day: pl.DataFrame) -> None:
    agents = set(day.filter(pl.col("label") == AGENT_CLASS)["agent"])
    assert agents == set(SAMPLES[AGENT_CLASS])


def test_guessed_passwords_are_posts_to_the_login_form(day: pl.DataFrame) -> None:
    guessing = day.filter(pl.col("label") == "brute_force")
    assert set(guessing["request"]) == {"POST /login HTTP/1.1"}
    assert set(guessing["status"]) <= {401, 503, 302}


def test_a_page_scan_asks_one_client_s_worth_of_paths_that_do_not_exist(day: pl.DataFrame) -> None:
    campaign = day.filter(pl.col("label") == "page_scan").filter(
        pl.col("campaign") == pl.col("campaign").first()
    )
    assert campaign["client"].n_unique() == 1
    assert campaign["request"].n_unique() == len(campaign)
    assert set(campaign["status"]) <= {403, 404}


def test_a_slow_scan_waits_minutes_between_requests(day: pl.DataFrame) -> None:
    campaign = day.filter(pl.col("label") == "slow_scan").filter(
        pl.col("campaign") == pl.col("campaign").first()
    )
    median = campaign["t"].diff().median()
    assert isinstance(median, float)
    assert median > 3 * 60_000


def test_without_samples_the_behaviours_remain() -> None:
    events = next(backfill(build_world(DemoOptions(1, 2_000), {}), END, 1))
    assert set(events["label"]) == {"", *BEHAVIOURS}


def test_visitors_come_back_from_many_places_with_many_agents(day: pl.DataFrame) -> None:
    people = day.filter(pl.col("request").str.ends_with("HTTP/2.0"))
    assert people["client"].n_unique() < len(people) / 8
    assert people["agent"].n_unique() > 30
    clients = people["client"].unique().to_list()
    assert any(":" in client for client in clients)
    assert len(set(iptocc.country_code(clients))) > 10


def test_pages_refer_to_the_page_before_them(day: pl.DataFrame) -> None:
    pages = day.filter(pl.col("request").str.contains(r"^GET /(?:product|catalog)/\S+ HTTP/2.0"))
    within = pages.filter(pl.col("referer").str.starts_with(f"https://{SITE}/"))
    assert len(within) > len(pages) / 3
    visited = set(day["request"].str.extract(r"^GET ([^\s?]+)"))
    referers = set(within["referer"].str.extract(r"^https://[^/]+([^\s?]*)"))
    assert referers <= visited


def test_assets_are_revalidated_without_a_body(day: pl.DataFrame) -> None:
    unchanged = day.filter(pl.col("status") == 304)
    assert len(unchanged) > 100
    assert set(unchanged["bytes"]) == {0}


def test_crawlers_read_robots_txt_and_say_who_they_are(day: pl.DataFrame) -> None:
    readers = day.filter(pl.col("request") == "GET /robots.txt HTTP/1.1")
    assert any("Googlebot" in agent for agent in readers["agent"])


def test_combined_lines_have_the_shape_that_nginx_writes(day: pl.DataFrame) -> None:
    lines = access_lines(day, DemoFormat.COMBINED).to_list()
    assert len(lines) == len(day)
    for line in lines:
        assert COMBINED.fullmatch(line), line
        assert line.isascii()


def test_main_lines_end_in_forwarded_for_and_times(day: pl.DataFrame) -> None:
    tail = re.compile(r'"-" rt=\d+\.\d{3} ut="(?:-|\d+\.\d{3})"')
    for line, plain in zip(
        access_lines(day, DemoFormat.MAIN), access_lines(day, DemoFormat.COMBINED), strict=True
    ):
        assert line.startswith(plain + " ")
        assert tail.fullmatch(line.removeprefix(plain + " ")), line


def test_json_lines_hold_the_same_requests_as_combined_lines(day: pl.DataFrame) -> None:
    for row, line in zip(day.iter_rows(named=True), access_lines(day, DemoFormat.JSON), strict=True):
        read: dict[str, Any] = json.loads(line)
        assert read["request"] == row["request"]
        assert read["status"] == row["status"]
        assert read["body_bytes_sent"] == row["bytes"]
        assert read["http_user_agent"] == ("" if row["agent"] == "-" else row["agent"])
        stamp = datetime.fromisoformat(read["time_iso8601"])
        assert stamp == datetime.fromtimestamp(row["t"] // 1000, tz=UTC)


def test_quotes_backslashes_and_bytes_are_escaped_as_nginx_does(day: pl.DataFrame) -> None:
    lines = access_lines(day, DemoFormat.COMBINED)
    by_label = dict(zip(day["label"], lines, strict=True))
    assert r'"evil \x22quoted\x22 scanner\x5C1.0"' in by_label[AGENT_CLASS]
    junk = "\n".join(line for line, label in zip(lines, day["label"], strict=True) if label == "junk")
    assert r'"\x16\x03\x01\x00\xEE' in junk
    assert '] "" 400 157 "-" "-"' in junk


def test_non_ascii_samples_are_sent_as_utf_8() -> None:
    events = next(backfill(build_world(DemoOptions(1, 500), {AGENT_CLASS: ["п"]}), END, 1))
    lines = access_lines(events.filter(pl.col("label") == AGENT_CLASS), DemoFormat.COMBINED)
    assert all(line.endswith(r'"\xD0\xBF"') for line in lines)


def test_labels_name_the_line_the_label_and_the_campaign(day: pl.DataFrame) -> None:
    labels = [json.loads(line) for line in label_lines(day, first_line=101)]
    assert len(labels) == len(day.filter(pl.col("label") != ""))
    for entry in labels:
        row = day.row(entry["line"] - 101, named=True)
        assert (entry["label"], entry["campaign"]) == (row["label"], row["campaign"])
        assert entry["campaign"].startswith(entry["label"] + "-")


def test_every_error_entry_has_its_request_in_the_access_log(day: pl.DataFrame) -> None:
    entries = error_lines(day, first_line=1)
    faulty = day.filter(pl.col("fault") != "")
    assert len(entries) == len(faulty)
    for entry, row in zip(entries, faulty.iter_rows(named=True), strict=True):
        stamp = datetime.strptime(entry[:19], "%Y/%m/%d %H:%M:%S").replace(tzinfo=UTC)
        assert stamp == datetime.fromtimestamp(row["t"] // 1000, tz=UTC)
        assert f"client: {row['client']}," in entry


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (502, "connect() failed (111: Connection refused) while connecting to upstream"),
        (503, "limiting requests, excess: "),
        (504, "upstream timed out (110: Connection timed out)"),
        (413, "client intended to send too large body: "),
    ],
)
def test_server_errors_are_explained_in_the_error_log(status: int, message: str) -> None:
    events = next(backfill(world(requests_per_day=60_000), END, 1)).filter(pl.col("status") == status)
    entries = error_lines(events, first_line=1)
    assert entries
    assert len(entries) == len(events)
    assert all(message in entry for entry in entries)


def test_a_missing_file_is_named_in_the_error_log(day: pl.DataFrame) -> None:
    entries = error_lines(day.filter(pl.col("fault") == "open"), first_line=1)
    named = re.compile(r'open\(\) "/var/www/shop/[^"]+" failed \(2: No such file or directory\), client: ')
    assert entries
    assert all(named.search(entry) for entry in entries)


def test_a_time_out_takes_the_time_that_nginx_waits() -> None:
    events = next(backfill(world(requests_per_day=60_000), END, 1)).filter(pl.col("status") == 504)
    assert all(60 <= seconds < 61 for seconds in events["rt"])


def test_a_stream_starts_at_once_and_keeps_its_rate() -> None:
    tables = pl.concat(islice(stream(world(), END, rate=20), 10))
    times = moments(tables)
    assert END <= times[0] < END + timedelta(seconds=5)
    assert tables["t"].is_sorted()
    assert len(tables) / 600 == pytest.approx(20, rel=0.35)


def test_a_stream_holds_attacks_too() -> None:
    tables = pl.concat(islice(stream(world(), END, rate=50), 5))
    assert set(SAMPLES) <= set(tables["label"])
