"""How often somebody may ask: allowances counted in memory, or in a Valkey that processes share.

Windows move: `100/minute` means 100 in any 60 seconds. Only what is let in counts, so that a caller who
waits as long as `Retry-After` says is let in again. The library `limits` counts and reads what settings say.

Sources: RFC 6585 section 4 (429), RFC 9110 section 10.2.3 (Retry-After), and for RateLimit and
RateLimit-Policy draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from limits import RateLimitItem, parse_many
from limits.aio.storage import MovingWindowSupport, RedisStorage, Storage
from limits.aio.strategies import MovingWindowRateLimiter

from dozor.infra.admission import LimitsSettings
from dozor.kernel.masking import mask

_log = logging.getLogger(__name__)

_MOST_KEYS = 20_000  # subjects that are counted at once in memory; the longest unused is forgotten
_AWAY = 5.0  # seconds after which a Valkey that was away is asked again
_PATIENCE = 0.5  # seconds in which Valkey must answer; a local one takes a thousandth of that
_PREFIX_V6 = 64  # what one customer of a provider gets: single addresses of it say nothing

Value = TypeVar("Value")


class BoundedMemory(Storage, MovingWindowSupport):
    """Counts in this process, for so many subjects at the most.

    The library's own storage in memory looks through all its keys in threads at each call and has no bound:
    callers from many addresses would fill the memory.

    Args:
        most: Subjects that are kept; the longest unused goes first.
        now: Tells the time in seconds.
    """

    STORAGE_SCHEME = ["async+bounded-memory"]  # noqa: RUF012 - the library wants it so

    def __init__(self, most: int = _MOST_KEYS, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._windows: OrderedDict[str, tuple[float, deque[float]]] = OrderedDict()
        self._most = most
        self._now = now

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing here fails."""
        return ValueError

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Take `amount` of what is left in the window; False when there is less."""
        taken = self._taken(key, expiry)
        if len(taken) + amount > limit:
            return False
        taken.extend([self._now()] * amount)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """The time of the oldest entry in the window, or now, and how many there are."""
        if key not in self._windows:
            return self._now(), 0
        taken = self._taken(key, expiry)
        return (taken[0] if taken else self._now()), len(taken)

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count more, whatever the limit."""
        taken = self._taken(key, expiry)
        taken.extend([self._now()] * amount)
        return len(taken)

    async def get(self, key: str) -> int:
        """How many are counted."""
        return len(self._taken(key, self._windows[key][0])) if key in self._windows else 0

    async def get_expiry(self, key: str) -> float:
        """When the oldest that is counted is forgotten."""
        expiry, taken = self._windows.get(key, (0.0, deque()))
        return (taken[0] if taken else self._now()) + expiry

    async def check(self) -> bool:
        """It is always there."""
        return True

    async def reset(self) -> int:
        """Forget all; says how many subjects there were."""
        count = len(self._windows)
        self._windows.clear()
        return count

    async def clear(self, key: str) -> None:
        """Forget one subject."""
        self._windows.pop(key, None)

    def _taken(self, key: str, expiry: float) -> deque[float]:
        """What was taken within the window; the subject becomes the latest used."""
        _expiry, taken = self._windows.setdefault(key, (expiry, deque()))
        self._windows.move_to_end(key)
        edge = self._now() - expiry
        while taken and taken[0] <= edge:
            taken.popleft()
        if len(self._windows) > self._most:
            self._windows.popitem(last=False)
        return taken


class Counters:
    """Counts in Valkey while it answers, else in this process.

    Args:
        url: `redis://`, `rediss://` or `unix://` address of a Valkey or Redis; empty for this process alone.
        prefix: What the names of keys there begin with.
        most: Subjects that are kept in memory.
    """

    def __init__(self, url: str = "", *, prefix: str = "dozor:limit", most: int = _MOST_KEYS) -> None:
        self._memory = MovingWindowRateLimiter(BoundedMemory(most))
        self._shared: MovingWindowRateLimiter | None = None
        self._url = url
        self._away_until = 0.0
        self._is_away = False
        if url:
            storage = RedisStorage(
                f"async+{url}" if url.startswith("redis") else url,
                wrap_exceptions=True,
                implementation="redispy",
                key_prefix=prefix,
                socket_timeout=_PATIENCE,
                socket_connect_timeout=_PATIENCE,
            )
            self._shared = MovingWindowRateLimiter(storage)

    async def ask(self, question: Callable[[MovingWindowRateLimiter], Awaitable[Value]]) -> Value:
        """Ask the shared counts, or those of this process while Valkey is away."""
        if self._shared is None or time.monotonic() < self._away_until:
            return await question(self._memory)
        try:
            answer = await question(self._shared)
        except Exception as error:  # noqa: BLE001 - whatever it is, callers must not wait for counters
            self._away_until = time.monotonic() + _AWAY
            if not self._is_away:
                self._is_away = True
                _log.warning(
                    "Limits are counted in this process alone, since %s does not answer: %s",
                    mask(self._url),
                    mask(str(error)),
                )
            return await question(self._memory)
        if self._is_away:
            self._is_away = False
            _log.warning("Limits are counted in %s again.", mask(self._url))
        return answer

    async def close(self) -> None:
        """Close the connections to Valkey; within the loop that used them."""
        if self._shared is not None:
            client: Any = self._shared.storage
            await client.bridge.storage.aclose()


@dataclass(frozen=True, slots=True)
class Quota:
    """How one limit stands for one caller.

    Args:
        amount: Calls in a window.
        window: Its length in seconds.
        left: Calls that are left.
        reset: Seconds until the next of the used ones is free again.
    """

    amount: int
    window: int
    left: int
    reset: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call is let in.

    Args:
        quotas: How each limit stands, the shortest window first.
        retry_after: Seconds to wait; 0 when it is let in.
    """

    quotas: tuple[Quota, ...] = ()
    retry_after: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """`RateLimit-Policy`, `RateLimit`, and `Retry-After` when it is refused."""
        if not self.quotas:
            return {}
        policies = ", ".join(f'"{quota.window}s";q={quota.amount};w={quota.window}' for quota in self.quotas)
        states = ", ".join(f'"{quota.window}s";r={quota.left};t={quota.reset}' for quota in self.quotas)
        told = {"RateLimit-Policy": policies, "RateLimit": states}
        return told | ({"Retry-After": str(self.retry_after)} if self.retry_after else {})


class Limits:
    """Lets callers in as often as the settings say.

    Args:
        settings: What is in force.
        counters: Where it is counted.
    """

    def __init__(self, settings: LimitsSettings, counters: Counters) -> None:
        self._enabled = settings.enabled
        self._counters = counters
        self._allowances = {
            name: _items(getattr(settings, name)) for name in ("default", "console", "agents", "webhooks")
        }
        self._routes: Mapping[str, Sequence[RateLimitItem]] = {
            route: _items(text) for route, text in settings.routes.items()
        }

    async def take(self, who: str, *, route: str = "", allowance: str = "default") -> Verdict:
        """Count one call, unless it is one too many.

        Args:
            who: The session, key or address.
            route: Method and path of the route, such as `GET /api/v1/bots/{id}`.
            allowance: `default`, `console`, `agents` or `webhooks`; only the default gives way to a limit
                of the route.
        """
        if not self._enabled:
            return Verdict()
        own = self._routes.get(route) if allowance == "default" else None
        items, of = (own, f"{route} {who}") if own else (self._allowances[allowance], f"{allowance} {who}")
        return await self._counters.ask(lambda limiter: _take(limiter, items, _key(of)))


class Failures:
    """Counts failed logins by subject, such as `address:203.0.113.9` and `account:anna`.

    An address of IPv6 counts with all of its /64, since one caller has that many.

    Args:
        settings: What is in force.
        counters: Where it is counted; best not the ones of calls, whose flood must not push these out.
    """

    def __init__(self, settings: LimitsSettings, counters: Counters) -> None:
        self._enabled = settings.enabled
        self._counters = counters
        self._items = _items(settings.login)

    async def wait(self, subject: str) -> float:
        """Seconds until the next attempt may be looked at; 0 when it may be now."""
        if not self._enabled:
            return 0.0
        quotas = await self._counters.ask(
            lambda limiter: _quotas(limiter, self._items, _key(_counted(subject)))
        )
        return float(max((quota.reset for quota in quotas if quota.left <= 0), default=0))

    async def hit(self, subject: str) -> bool:
        """Count one failure; True when it was the last one that was free."""
        if not self._enabled:
            return False
        key = _key(_counted(subject))
        verdict = await self._counters.ask(lambda limiter: _take(limiter, self._items, key))
        return any(quota.left <= 0 for quota in verdict.quotas)

    async def clear(self, subject: str) -> None:
        """Forget the failures of a subject."""
        key = _key(_counted(subject))

        async def forget(limiter: MovingWindowRateLimiter) -> None:
            for item in self._items:
                await limiter.clear(item, key)

        await self._counters.ask(forget)


def network_of(address: str) -> str:
    """The address as it is counted: IPv4 by itself, IPv6 by its /64, anything else as it is."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _PREFIX_V6), strict=False))


def _counted(subject: str) -> str:
    kind, colon, name = subject.partition(":")
    return f"{kind}{colon}{network_of(name)}" if kind == "address" else subject


def _key(text: str) -> str:
    """A short key that names nobody to those who read the counters."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _items(text: str) -> Sequence[RateLimitItem]:
    return sorted(parse_many(text), key=lambda item: item.get_expiry())


async def _take(limiter: MovingWindowRateLimiter, items: Sequence[RateLimitItem], key: str) -> Verdict:
    # The shortest window first: what it refuses takes nothing from the longer ones.
    refused = False
    for item in items:
        if not await limiter.hit(item, key):
            refused = True
            break
    quotas = await _quotas(limiter, items, key)
    if not refused:
        return Verdict(quotas)
    waits = [quota.reset for quota in quotas if quota.left <= 0]
    return Verdict(quotas, max(1, *waits) if waits else 1)


async def _quotas(
    limiter: MovingWindowRateLimiter, items: Sequence[RateLimitItem], key: str
) -> tuple[Quota, ...]:
    quotas = []
    now = time.time()
    for item in items:
        reset, left = await limiter.get_window_stats(item, key)
        window = item.get_expiry()
        wait = min(window, max(0, math.ceil(reset - now))) if left < item.amount else 0
        quotas.append(Quota(item.amount, window, max(0, left), wait if left > 0 else max(1, wait)))
    return tuple(quotas)
