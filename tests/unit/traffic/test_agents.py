"""Agents: the family that a person would say, and programs that say so."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.traffic.core.agents import MAX_FAMILY, PROGRAMS, describe_agents

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8)"
_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"

BROWSERS = [
    (f"{_WINDOWS} {_WEBKIT} Chrome/140.0.0.0 Safari/537.36", "Chrome"),
    (f"{_IPHONE} CriOS/140.0 Mobile/15E148 Safari/604.1", "Chrome"),
    (f"{_WINDOWS} {_WEBKIT} Chrome/140.0.0.0 Safari/537.36 Edg/140.0", "Edge"),
    (f"{_WINDOWS} {_WEBKIT} Chrome/140.0.0.0 Safari/537.36 OPR/120.0", "Opera"),
    ("Opera/9.80 (Windows NT 6.1) Presto/2.12 Version/12.16", "Opera"),
    (f"{_WINDOWS} {_WEBKIT} Chrome/140.0.0.0 YaBrowser/25.8 Safari/537.36", "Yandex Browser"),
    (f"{_ANDROID} {_WEBKIT} SamsungBrowser/28.0 Chrome/130.0 Mobile Safari/537.36", "Samsung Internet"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox"),
    (f"{_IPHONE} Version/17.5 Mobile/15E148 Safari/604.1", "Safari"),
    (f"{_IPHONE} Mobile/15E148", "Safari"),
    (
        f"{_ANDROID} AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30",
        "Android Browser",
    ),
    ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)", "Internet Explorer"),
    (f"Mozilla/5.0 (Linux; Android 9; CUBOT_X19) {_WEBKIT} Chrome/100.0 Mobile Safari/537.36", "Chrome"),
    (f"Mozilla/5.0 (Linux; Android 9; Cubot) {_WEBKIT} Chrome/100.0 Mobile Safari/537.36", "Chrome"),
]

SELF_DECLARED = [
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
    (f"{_ANDROID} {_WEBKIT} Chrome/140.0 Mobile Safari/537.36 (compatible; Googlebot/2.1)", "Googlebot"),
    ("Googlebot-Image/1.0", "Googlebot"),
    (
        f"Mozilla/5.0 {_WEBKIT}; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/1",
        "bingbot",
    ),
    ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "YandexBot"),
    ("curl/8.9.1", "curl"),
    ("Wget/1.21.4", "Wget"),
    ("python-requests/2.32.3", "python-requests"),
    ("Go-http-client/2.0", "Go-http-client"),
    ("Go 1.1 package http", "Go-http-client"),
    ("ApacheBench/2.3", "ApacheBench"),
    ("Mozilla/5.0 (compatible;PetalBot;+https://webmaster.petalsearch.com/site/petalbot)", "PetalBot"),
    (f"{_WINDOWS} {_WEBKIT} HeadlessChrome/140.0 Safari/537.36", "HeadlessChrome"),
    ("Feedbin - 1 subscribers", "Feedbin"),
    ("Mozilla/5.0 (compatible; WhollyNewBot/0.1)", "WhollyNewBot"),
    ("my-own-crawler", "my-own-crawler"),
    ("Mozilla/5.0 (compatible; Nameless/1.0; someone@example.org)", "Nameless"),
    ("Sentinel/3 (+https://example.org/about)", "Sentinel"),
]


def describe(*agents: str) -> list[tuple[str, bool]]:
    return describe_agents(pl.Series(agents, dtype=pl.String)).rows()


@pytest.mark.parametrize(("agent", "family"), BROWSERS)
def test_browsers_are_named_and_no_programs(agent: str, family: str) -> None:
    assert describe(agent) == [(family, False)]


@pytest.mark.parametrize(("agent", "family"), SELF_DECLARED)
def test_programs_that_say_so_are_named_and_believed(agent: str, family: str) -> None:
    assert describe(agent) == [(family, True)]


def test_an_empty_agent_says_nothing() -> None:
    assert describe("") == [("", False)]


@pytest.mark.parametrize(
    ("agent", "family"),
    [
        ("SomeApp/4.1 CFNetwork/1494 Darwin/23.4.0", "SomeApp"),
        ("  'quoted/1.0", "quoted"),
        ("() { :; }; echo", "echo"),
        ("\x1b[31mred", "31mred"),
        ("x" * 200, "x" * MAX_FAMILY),
        ("\U0001f600", ""),
        ("Mozilla/5.0", "Mozilla"),
    ],
)
def test_an_unknown_agent_is_called_by_its_first_product_token(agent: str, family: str) -> None:
    assert describe(agent) == [(family, False)]


def test_every_pattern_of_the_table_leads_to_its_own_family() -> None:
    plain = {name: pattern for name, pattern in PROGRAMS.items() if pattern.replace("-", "").isalnum()}
    assert len(plain) > 50
    assert describe(*plain.values()) == [(name, True) for name in plain]


@given(agents=st.lists(st.text(max_size=60), unique=True))
def test_families_are_short_and_plain_whatever_is_sent(agents: list[str]) -> None:
    described = describe(*agents)
    assert len(described) == len(agents)
    for family, _is_program in described:
        assert len(family) <= MAX_FAMILY
        assert family.isascii()
        assert family.isprintable()
    assert describe(*agents) == described


def test_more_agents_than_are_remembered_are_described_all_the_same() -> None:
    agents = [f"Mozilla/5.0 (compatible; Odd{n}bot/1.0)" for n in range(40_000)]
    assert describe(*agents) == [(f"Odd{n}bot", True) for n in range(40_000)]
    assert describe(agents[0], agents[-1]) == [("Odd0bot", True), ("Odd39999bot", True)]
