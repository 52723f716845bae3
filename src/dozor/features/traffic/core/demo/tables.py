"""The made-up site and its audience as data: places, programs, pages and how often each occurs.

Address blocks are wide allocations of each country's registry, so that a lookup of the country shows
a plausible spread; no single network is singled out. Blocks of crawlers are those that their owners publish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SITE: Final = "shop.example"
"""Host of the made-up shop (`.example` is reserved, RFC 2606)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where visitors come from.

    Args:
        country: ISO 3166-1 alpha-2.
        audience: Share of the visitors.
        attackers: Share of the attack campaigns.
        offset: Hours ahead of UTC; moves the daily rhythm.
        blocks: Address blocks, IPv4 or IPv6.
    """

    country: str
    audience: float
    attackers: float
    offset: int
    blocks: tuple[str, ...]


PLACES: Final = (
    Place("RU", 30, 8, 3, ("95.24.0.0/13", "178.176.0.0/14", "2a00:1370::/32")),
    Place("KZ", 9, 2, 5, ("2.72.0.0/13",)),
    Place("DE", 9, 8, 1, ("79.192.0.0/10", "84.128.0.0/10", "2003::/19")),
    Place("US", 9, 20, -6, ("24.0.0.0/12", "73.0.0.0/8", "174.192.0.0/10", "2601::/20")),
    Place("PL", 6, 3, 1, ("83.0.0.0/11",)),
    Place("UA", 5, 3, 2, ("178.92.0.0/14",)),
    Place("FR", 5, 4, 1, ("90.0.0.0/9", "2a01:e00::/26")),
    Place("GB", 5, 4, 0, ("86.128.0.0/10", "81.128.0.0/12")),
    Place("TR", 5, 4, 3, ("78.160.0.0/11",)),
    Place("NL", 4, 12, 1, ("84.80.0.0/14", "77.160.0.0/12")),
    Place("IT", 3, 2, 1, ("79.0.0.0/10",)),
    Place("ES", 3, 2, 1, ("80.24.0.0/13",)),
    Place("IN", 3, 6, 5, ("106.192.0.0/11", "2401:4900::/32")),
    Place("JP", 2, 1, 9, ("126.0.0.0/9",)),
    Place("BR", 2, 4, -3, ("177.0.0.0/11",)),
    Place("CN", 1, 10, 8, ("113.64.0.0/10", "120.192.0.0/10")),
    Place("VN", 1, 5, 7, ("14.160.0.0/11",)),
    Place("ID", 1, 4, 7, ("36.64.0.0/11",)),
)

HOURS: Final = (
    *(0.38, 0.24, 0.16, 0.12, 0.11, 0.16, 0.31, 0.55, 0.80, 0.98, 1.08, 1.14),
    *(1.18, 1.16, 1.12, 1.10, 1.12, 1.18, 1.30, 1.48, 1.62, 1.60, 1.28, 0.80),
)
"""Relative load by local hour: quiet before dawn, a working-day plateau, an evening peak."""

WEEKDAYS: Final = (1.06, 1.05, 1.03, 1.02, 0.98, 0.88, 0.98)
"""Relative load by weekday, Monday first."""


@dataclass(frozen=True, slots=True)
class AgentFamily:
    """Agents that differ in their version only.

    Args:
        share: Share of the visitors.
        template: The agent with `{v}` for a version.
        versions: Newest first; each is about half as frequent as the one before.
    """

    share: float
    template: str
    versions: tuple[str, ...]


_CHROME = tuple(f"{major}.0.0.0" for major in (154, 153, 152, 151, 149, 146, 142, 137, 131, 126, 120, 109))
_SAFARI = ("26.1", "26.0", "18.6", "18.5", "17.6", "16.6", "15.6")
_FIREFOX = tuple(f"{major}.0" for major in (157, 156, 155, 153, 150, 140, 128, 115))
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_ANDROID = "Mozilla/5.0 (Linux; Android 10; K) " + _WEBKIT

BROWSERS: Final = (
    AgentFamily(
        24, f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/{{v}} Safari/537.36", _CHROME
    ),
    AgentFamily(
        6, f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Chrome/{{v}} Safari/537.36", _CHROME
    ),
    AgentFamily(2, f"Mozilla/5.0 (X11; Linux x86_64) {_WEBKIT} Chrome/{{v}} Safari/537.36", _CHROME),
    AgentFamily(27, f"{_ANDROID} Chrome/{{v}} Mobile Safari/537.36", _CHROME),
    AgentFamily(
        16,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/{v} Mobile/15E148 Safari/604.1",
        _SAFARI,
    ),
    AgentFamily(
        5,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/{v} Safari/605.1.15",
        _SAFARI,
    ),
    AgentFamily(5, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{v}) Gecko/20100101 Firefox/{v}", _FIREFOX),
    AgentFamily(1, "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:{v}) Gecko/20100101 Firefox/{v}", _FIREFOX),
    AgentFamily(
        5,
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/153.0.0.0 Safari/537.36 Edg/{{v}}",
        _CHROME[:5],
    ),
    AgentFamily(
        4,
        f"{_ANDROID} SamsungBrowser/{{v}} Chrome/136.0.0.0 Mobile Safari/537.36",
        ("29.0", "28.0", "27.0", "25.0"),
    ),
    AgentFamily(
        5,
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/142.0.0.0 YaBrowser/{{v}} Safari/537.36",
        ("25.12.0.0", "25.10.0.0", "25.8.0.0"),
    ),
)


@dataclass(frozen=True, slots=True)
class Crawler:
    """A program that fetches pages by itself and says so."""

    share: float
    agent: str
    block: str


CRAWLERS: Final = (
    Crawler(40, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "66.249.64.0/19"),
    Crawler(22, "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "40.77.167.0/24"),
    Crawler(22, "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "5.255.253.0/24"),
    Crawler(6, "DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)", "20.191.45.0/24"),
    Crawler(6, "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "54.36.148.0/24"),
    Crawler(4, "TelegramBot (like TwitterBot)", "149.154.161.0/24"),
)


@dataclass(frozen=True, slots=True)
class Monitor:
    """A program that asks the same thing every minute."""

    request: str
    agent: str
    client: str


MONITORS: Final = (
    Monitor(
        "HEAD / HTTP/1.1",
        "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
        "69.162.124.226",
    ),
    Monitor("GET /health HTTP/1.1", "Blackbox Exporter/0.27.0", "10.0.0.9"),
)

API_AGENTS: Final = (
    AgentFamily(40, "ShopApp/{v} (Android 16; Pixel 9) okhttp/4.12.0", ("6.4.1", "6.4.0", "6.3.2", "6.1.0")),
    AgentFamily(
        35, "ShopApp/{v} (iPhone; iOS 26.1; Scale/3.00)", ("6.4.1", "6.4.0", "6.3.2", "6.1.0", "5.9.0")
    ),
    AgentFamily(10, "python-requests/{v}", ("2.32.5", "2.32.3", "2.31.0")),
    AgentFamily(8, "Go-http-client/{v}", ("2.0", "1.1")),
    AgentFamily(7, "axios/{v}", ("1.13.2", "1.7.9")),
)

TOOL_AGENTS: Final = (
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/98.0.4758.102 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Firefox/102.0",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) {_WEBKIT} Chrome/79.0.3945.88 Safari/537.36",
    "python-requests/2.31.0",
    "curl/8.5.0",
    "Go-http-client/1.1",
)
"""What attackers say that they are: mostly stale browsers and plain HTTP libraries."""

LANDINGS: Final = (
    (34, "-"),
    (24, "https://www.google.com/"),
    (18, "https://yandex.ru/"),
    (5, "https://www.bing.com/"),
    (3, "https://duckduckgo.com/"),
    (5, "https://t.me/"),
    (4, "https://m.vk.com/"),
    (3, "https://www.instagram.com/"),
    (2, "https://www.youtube.com/"),
    (2, "https://news.ycombinator.com/"),
)
"""Share and referer of the first page of a visit."""

_COLOURS = (
    "red",
    "blue",
    "green",
    "black",
    "white",
    "grey",
    "oak",
    "walnut",
    "linen",
    "brass",
    "copper",
    "slate",
)
_THINGS = (
    *("chair", "table", "lamp", "shelf", "desk", "sofa", "rug", "mirror", "clock", "vase", "stool", "bench"),
    *("curtain", "pillow", "basket", "tray", "bowl", "mug", "kettle", "plate", "candle", "frame", "hook"),
)
_TOPICS = (
    *("choosing", "cleaning", "restoring", "painting", "arranging", "lighting", "measuring", "packing"),
)

CATEGORIES: Final = tuple(f"/catalog/{thing}s" for thing in _THINGS)
PRODUCTS: Final = tuple(
    f"/product/{colour}-{thing}-{1000 + 7 * number}"
    for number, (thing, colour) in enumerate((thing, colour) for thing in _THINGS for colour in _COLOURS)
)
ARTICLES: Final = tuple(f"/blog/{topic}-a-{thing}" for topic in _TOPICS for thing in _THINGS[:8])
SEARCHES: Final = (
    *(f"/search?q={thing}" for thing in _THINGS),
    *(f"/search?q={colour}+{thing}" for thing in _THINGS for colour in _COLOURS),
    *(f"/search?q={colour}+{thing}&page=2&sort=price" for thing in _THINGS for colour in _COLOURS[:4]),
)

PAGES: Final[dict[str, tuple[str, ...]]] = {
    "home": ("/",),
    "category": (*CATEGORIES, *(f"{path}?page={n}" for path in CATEGORIES for n in (2, 3, 4))),
    "product": PRODUCTS,
    "search": SEARCHES,
    "article": ARTICLES,
    "about": ("/delivery", "/contacts", "/about", "/returns"),
    "cart": ("/cart",),
    "checkout": ("/checkout",),
    "login": ("/login",),
    "account": ("/account", "/account/orders", "/account/settings"),
}
"""Pages by kind, the most popular first."""

PAGE_BYTES: Final = {
    "home": 18_200,
    "category": 24_600,
    "product": 15_800,
    "search": 12_400,
    "article": 21_900,
    "about": 7_300,
    "cart": 6_100,
    "checkout": 8_800,
    "login": 3_900,
    "account": 9_400,
}
"""Typical compressed size of a page, bytes."""

LANDING_KINDS: Final = {"home": 34, "category": 18, "product": 30, "article": 14, "about": 4}
"""Weights of the kinds of the first page of a visit."""

NEXT_KINDS: Final[dict[str, dict[str, int]]] = {
    "home": {"category": 45, "product": 20, "search": 20, "article": 7, "about": 5, "login": 3},
    "category": {"product": 60, "category": 25, "search": 8, "home": 5, "about": 2},
    "product": {"product": 38, "category": 26, "cart": 16, "search": 10, "home": 6, "about": 4},
    "search": {"product": 62, "search": 28, "category": 8, "home": 2},
    "article": {"article": 44, "product": 28, "category": 16, "home": 12},
    "about": {"home": 42, "category": 34, "product": 20, "about": 4},
    "cart": {"checkout": 42, "product": 26, "category": 20, "login": 12},
    "checkout": {"account": 50, "home": 30, "product": 20},
    "login": {"account": 70, "home": 20, "cart": 10},
    "account": {"account": 46, "home": 24, "product": 30},
}
"""Weights of the kind of the page that follows a kind."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form: the kind of page it is on, how often it is sent, where to, the usual answer, the other one."""

    kind: str
    chance: float
    path: str
    usual: int
    slip: int


FORMS: Final = (
    Form("product", 0.10, "/cart/items", 201, 409),
    Form("checkout", 0.70, "/checkout", 302, 422),
    Form("login", 0.85, "/login", 302, 401),
    Form("account", 0.25, "/account/avatar", 200, 413),
)

SHELL_ASSETS: Final = (
    ("/static/css/main.3f9a1c.css", 14_210),
    ("/static/js/vendor.8c02e7.js", 88_431),
    ("/static/js/app.51d7aa.js", 41_077),
    ("/static/fonts/inter-var.woff2", 48_256),
    ("/static/img/logo.svg", 1_934),
    ("/static/img/sprite.svg", 6_120),
    ("/favicon.ico", 3_262),
)
"""What every first page of a visit loads: path and bytes."""

IMAGES: Final = tuple(
    f"/media/products/{path.rsplit('-', 1)[1]}/{n}.webp" for path in PRODUCTS for n in (1, 2)
)
MISSING_ASSETS: Final = (
    "/media/banners/autumn.webp",
    "/static/js/app.51d7aa.js.map",
    "/apple-touch-icon.png",
)
"""Linked somewhere, on no disk: answered 404."""
STALE_PAGES: Final = tuple(f"{path.rsplit('-', 1)[0]}-{n}" for n, path in enumerate(PRODUCTS[::9], start=200))
"""Addresses of products that are no longer sold: answered 404."""

UPSTREAM: Final = "10.0.0.5:8000"
ROOT: Final = "/var/www/shop"

PROBE_FOLDERS: Final = (
    "",
    "old",
    "new",
    "test",
    "dev",
    "backup",
    "admin",
    "api",
    "web",
    "site",
    "app",
    "cms",
    "portal",
)
PROBE_NAMES: Final = (
    *(
        "index",
        "login",
        "config",
        "setup",
        "install",
        "info",
        "phpinfo",
        "test",
        "upload",
        "shell",
        "db",
        "dump",
    ),
    *(
        "backup",
        "admin",
        "console",
        "status",
        "debug",
        "user",
        "settings",
        "database",
        "manager",
        "panel",
        "file",
    ),
)
PROBE_ENDINGS: Final = (".php", ".asp", ".jsp", ".bak", ".zip", ".sql", ".old", ".txt", "/")
"""A page scan tries every folder with every name and ending, in an order of its own."""

EMBEDDINGS: Final = (
    "/search?q={value}",
    "/search?q={value}&page=2&sort=price",
    "/catalog/chairs?sort={value}",
    "/catalog/lamps?page=1&brand={value}",
    "/product?id={value}",
    "/account/orders?from=2026-01-01&filter={value}",
    "/api/v1/items?category=7&order={value}",
    "/download?file={value}",
    "/blog/?s={value}",
)
"""Where an attack value is put when the sample is not a whole target."""

JUNK: Final = (
    (40, "\x16\x03\x01\x00\xee\x01\x00\x00\xea\x03\x03"),
    (14, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    (20, ""),
    (12, "\x03\x00\x00/*\xe0\x00\x00\x00\x00\x00Cookie: mstshash=Administr"),
    (8, "SSH-2.0-Go"),
    (6, "\x05\x01\x00"),
)
"""Share and first bytes of what is sent to a web port and is no HTTP; one character stands for one byte.

TLS hellos, nothing, a remote desktop client, an SSH client and a SOCKS client. nginx answers 400.
"""
