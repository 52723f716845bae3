"""User agents: a short family name, and whether the agent says that it is a program.

An honest program names itself (`Googlebot`, `curl`), calls itself a bot, crawler, feed reader,
monitor or library, or leaves an address to write to. A program that poses as a browser is not
found here; that is a question of behaviour. An empty agent says nothing, and several log formats
have no agent at all, so it is no bot and has no family.

The tables are data: a family's name and the pattern that tells it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import polars as pl

MAX_FAMILY = 32
"""Longest family name in characters."""

PROGRAMS = {
    # Search engines and their helpers.
    "Googlebot": "Googlebot(?:-Image|-News|-Video)?",
    "AdsBot-Google": "AdsBot-Google(?:-Mobile)?",
    "Mediapartners-Google": "Mediapartners-Google",
    "APIs-Google": "APIs-Google",
    "FeedFetcher-Google": "Feedfetcher-Google",
    "GoogleOther": "GoogleOther(?:-Image|-Video)?",
    "Google-InspectionTool": "Google-InspectionTool",
    "Google-Read-Aloud": "Google-Read-Aloud",
    "Google-Site-Verification": "Google-Site-Verification",
    "bingbot": "bingbot",
    "BingPreview": "BingPreview",
    "msnbot": "msnbot(?:-media)?",
    "YandexBot": "YandexBot",
    "YandexImages": "YandexImages",
    "YandexMetrika": "YandexMetrika",
    "YandexDirect": "YandexDirect(?:Dyn)?",
    "YandexMobileBot": "YandexMobileBot",
    "YandexFavicons": "YandexFavicons",
    "YandexWebmaster": "YandexWebmaster",
    "Yahoo! Slurp": "Yahoo! Slurp",
    "Baiduspider": "Baiduspider(?:-image|-render)?",
    "DuckDuckBot": "DuckDuckBot(?:-Https)?",
    "Applebot": "Applebot(?:-Extended)?",
    "Mail.RU_Bot": "Mail\\.RU_Bot",
    "PetalBot": "PetalBot",
    "SeznamBot": "SeznamBot",
    "Sogou": "Sogou web spider",
    "Qwantify": "Qwantify",
    "archive.org_bot": "archive\\.org_bot",
    "ia_archiver": "ia_archiver",
    # Readers of whole sites for language models.
    "GPTBot": "GPTBot",
    "ChatGPT-User": "ChatGPT-User",
    "OAI-SearchBot": "OAI-SearchBot",
    "ClaudeBot": "ClaudeBot",
    "Claude-User": "Claude-User",
    "PerplexityBot": "PerplexityBot",
    "CCBot": "CCBot",
    "Bytespider": "Bytespider",
    "Amazonbot": "Amazonbot",
    "meta-externalagent": "meta-externalagent",
    # Previews of links.
    "facebookexternalhit": "facebookexternalhit",
    "Twitterbot": "Twitterbot",
    "LinkedInBot": "LinkedInBot",
    "TelegramBot": "TelegramBot",
    "WhatsApp": "WhatsApp",
    "Slackbot": "Slackbot(?:-LinkExpanding)?",
    "Discordbot": "Discordbot",
    "vkShare": "vkShare",
    "SkypeUriPreview": "SkypeUriPreview",
    # Research of links and markets.
    "AhrefsBot": "AhrefsBot",
    "SemrushBot": "SemrushBot",
    "MJ12bot": "MJ12bot",
    "DotBot": "DotBot",
    "DataForSeoBot": "DataForSeoBot",
    "Screaming Frog": "Screaming Frog",
    # Monitors.
    "UptimeRobot": "UptimeRobot",
    "Pingdom": "Pingdom",
    "StatusCake": "StatusCake",
    "Site24x7": "Site24x7",
    "Better Uptime": "Better Uptime",
    "Uptime-Kuma": "Uptime-Kuma",
    "GoogleHC": "GoogleHC",
    "ELB-HealthChecker": "ELB-HealthChecker",
    "kube-probe": "kube-probe",
    "Prometheus": "Prometheus",
    "Blackbox Exporter": "Blackbox[ -]Exporter",
    "Zabbix": "Zabbix",
    "Nagios": "check_http",
    "Monit": "monit/",
    "Let's Encrypt": "Let's Encrypt validation server",
    # Clients and libraries.
    "curl": "libcurl|curl",
    "Wget": "Wget",
    "HTTPie": "HTTPie",
    "python-requests": "python-requests",
    "python-httpx": "python-httpx",
    "aiohttp": "aiohttp",
    "Python-urllib": "Python-urllib3?",
    "Scrapy": "Scrapy",
    "Go-http-client": "Go-http-client|Go \\d[\\d.]* package http",
    "okhttp": "okhttp",
    "Apache-HttpClient": "Apache-HttpClient",
    "Java": "Java/\\d",
    "libwww-perl": "libwww-perl|LWP::Simple",
    "PHP": "PHP/\\d",
    "GuzzleHttp": "GuzzleHttp",
    "Ruby": "Ruby",
    "Faraday": "Faraday v\\d",
    "node-fetch": "node-fetch",
    "axios": "axios",
    "undici": "undici",
    "reqwest": "reqwest",
    "hyper": "hyper/\\d",
    "PostmanRuntime": "PostmanRuntime",
    "Insomnia": "insomnia/",
    "PowerShell": "WindowsPowerShell",
    "git": "git/\\d",
    # Load generators.
    "ApacheBench": "ApacheBench",
    "wrk": "wrk/\\d",
    "k6": "k6/\\d",
    "hey": "hey/\\d",
    "Apache JMeter": "Apache-JMeter",
    # Browsers that a program drives and says so.
    "HeadlessChrome": "HeadlessChrome",
    "PhantomJS": "PhantomJS",
    "Lighthouse": "Chrome-Lighthouse",
    # Readers of feeds.
    "FeedBurner": "FeedBurner",
    "Feedly": "Feedly",
    "Feedbin": "Feedbin",
    "Tiny Tiny RSS": "Tiny Tiny RSS",
    "UniversalFeedParser": "UniversalFeedParser",
}
"""Programs that go by a name: family name to the pattern that tells it, case aside.

A pattern starts at a word's start.
"""

DERIVED_BROWSERS = {
    "Yandex Browser": "YaBrowser/",
    "Edge": "(?:Edge|Edg|EdgA|EdgiOS)/",
    "Opera": "(?:OPR|OPT|OPiOS|OPX|Opera)[/ ]|Opera Mini",
    "Samsung Internet": "SamsungBrowser/",
    "Vivaldi": "Vivaldi/",
    "UC Browser": "UC ?Browser/|UCWEB",
    "MIUI Browser": "MiuiBrowser/",
    "Huawei Browser": "HuaweiBrowser/",
    "DuckDuckGo": "(?:DuckDuckGo|Ddg)/",
    "Whale": "Whale/",
    "QQ Browser": "M?QQBrowser/",
    "WeChat": "MicroMessenger/",
    "Amazon Silk": "Silk/",
    "Facebook": "FBA[NV]/",
    "Instagram": "Instagram ",
    "SeaMonkey": "SeaMonkey/",
    "Pale Moon": "PaleMoon/",
    "Konqueror": "Konqueror/",
    "Epiphany": "Epiphany/",
}
"""Browsers that carry the name of the browser that they are built on as well."""

BROWSERS = {
    "Chromium": "Chromium/",
    "Chrome": "(?:Chrome|CriOS)/",
    "Firefox": "(?:Firefox|FxiOS)/",
    "Internet Explorer": "MSIE |Trident/",
}
"""Browsers that others are built on."""

_ANDROID_BROWSER = r"Android.*Version/[0-9.]+ (?:Mobile )?Safari/"
_SAFARI = r"Version/[0-9.]+.* Safari/|\((?:iPhone|iPad|iPod).*AppleWebKit/"

# Words that a program uses of itself, inside one product token: `AhrefsBot/7.0`, `my-crawler`.
_CALLING = (
    r"[a-z0-9_.!-]*(?:crawl|spider|scrap(?:er|y)|slurp|fetch(?:er)?|archiver|feed(?:parser|reader)|"
    r"monitor|checker|scanner|validator|httpclient|http-client|http_client|urllib|libwww|headless|"
    r"webhook|prober?|preview|pinger|downloader|harvester|indexer|webclient)[a-z0-9_.!-]*"
)
# `bot` ends its word, so that `bottom` is none.
_BOT = r"[a-z0-9_.!-]*bots?(?:[_-][a-z0-9_.!-]*)?"
_CALLED_PROGRAM = rf"(?i)(?:^|[^a-z0-9_.!/-])({_CALLING}|{_BOT})(?:[^a-z0-9]|$)"
# A phone's brand that ends like a bot.
_NO_BOT = r"(?i)\bCubot"

_CONTACT = r"(?i)https?://|\bwww\.|[a-z0-9_.+-]+(?:@|\[at\]| at )[a-z0-9-]+\.[a-z]"
_RSS = r"(?i)\bRSS\b"

_COMPATIBLE = r"^Mozilla/[0-9.]+ \(compatible; ?([A-Za-z0-9][A-Za-z0-9_.+-]*)"
# Browsers that wrote so in their day; whoever else does is a program.
_COMPATIBLE_BROWSERS = ["MSIE", "Konqueror", "iCab", "Opera"]
_FIRST_PRODUCT = r"^[^A-Za-z0-9]*([A-Za-z0-9][A-Za-z0-9_.+-]*)"


class Agent(NamedTuple):
    """What an agent says of itself; an empty family is an empty agent or mere punctuation."""

    family: str
    is_program: bool


def describe_agents(agents: pl.Series) -> pl.DataFrame:
    """Tell the family of each agent and whether it says that it is a program.

    A program's name goes before a browser's, since crawlers carry browser names as well. An unknown
    agent is called by its first product token.

    Args:
        agents: String series without nulls, distinct values for best speed.

    Returns:
        A frame of the same length without nulls: `family`, string of at most 32 characters, and
        `is_program`, Boolean.
    """
    texts = agents.to_list()
    known = {text: agent for text in texts if (agent := _remembered.get(text))}
    unknown = [text for text in texts if text not in known]
    if unknown:
        found = _describe(pl.Series(unknown, dtype=pl.String))
        _remember(found)
        known |= found
    return pl.DataFrame(
        {
            "family": pl.Series([known[text].family for text in texts], dtype=pl.String),
            "is_program": pl.Series([known[text].is_program for text in texts], dtype=pl.Boolean),
        }
    )


def _describe(agents: pl.Series) -> dict[str, Agent]:
    described = map(Agent, _families(agents), _are_programs(agents))
    return dict(zip(agents, described, strict=True))


# Agents return batch after batch. Threads may share the table: each step on it is atomic, and a
# forgotten agent is only looked at again.
_remembered: dict[str, Agent] = {}
_REMEMBERED = 1 << 14
_LONGEST_REMEMBERED = 512


def _remember(found: Mapping[str, Agent]) -> None:
    if len(_remembered) + len(found) > _REMEMBERED:
        _remembered.clear()
    lasting = ((text, agent) for text, agent in found.items() if len(text) <= _LONGEST_REMEMBERED)
    _remembered.update(islice(lasting, _REMEMBERED))


def _are_programs(agents: pl.Series) -> pl.Series:
    spoken = agents.str.replace_all(_NO_BOT, "")
    compatible = spoken.str.extract(_COMPATIBLE)
    return (
        spoken.str.contains(_pattern(PROGRAMS))
        | (compatible.is_not_null() & ~compatible.is_in(_COMPATIBLE_BROWSERS))
        | spoken.str.contains(_CALLED_PROGRAM)
        | spoken.str.contains(_CONTACT)
        | spoken.str.contains(_RSS)
    )


def _families(agents: pl.Series) -> pl.Series:
    spoken = agents.str.replace_all(_NO_BOT, "")
    names = pl.select(
        pl.coalesce(
            _names(spoken, PROGRAMS),
            spoken.str.extract(_CALLED_PROGRAM),
            _names(agents, DERIVED_BROWSERS),
            _names(agents, BROWSERS),
            pl.when(agents.str.contains(_ANDROID_BROWSER)).then(pl.lit("Android Browser")),
            pl.when(agents.str.contains(_SAFARI)).then(pl.lit("Safari")),
            agents.str.extract(_COMPATIBLE),
            agents.str.extract(_FIRST_PRODUCT),
            pl.lit(""),
        )
    )
    return names.to_series().str.slice(0, MAX_FAMILY)


def _names(agents: pl.Series, table: Mapping[str, str]) -> pl.Series:
    """The family of the leftmost text that is in the table; null where none is."""
    found = agents.str.extract(_pattern(table))
    texts = found.unique().drop_nulls()
    names = [_name(text, tuple(table.items())) for text in texts.to_list()]
    return found.replace_strict(texts, pl.Series(names, dtype=pl.String), default=None)


def _pattern(table: Mapping[str, str]) -> str:
    # ASCII word boundaries: with Unicode ones the engine leaves its fast path on non-ASCII text.
    return rf"(?i)(?-u:\b)({'|'.join(table.values())})"


@lru_cache(maxsize=1 << 12)
def _name(text: str, table: tuple[tuple[str, str], ...]) -> str:
    return next(name for name, pattern in table if re.fullmatch(pattern, text, re.IGNORECASE))
