"""Allowances and failed logins, counted in memory and in a real Valkey."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dozor.infra.admission import LimitsSettings
from dozor.infra.limits import BoundedMemory, Counters, Failures, Limits, network_of
from tests.servers import valkey_url

KINDS = ("memory", "valkey")


def counters(kind: str, name: str) -> Counters:
    """Counters of a kind; tests share the Valkey, so each takes names of its own."""
    made = Counters(valkey_url() if kind == "valkey" else "", prefix=f"test:{name}")
    _made.append(made)
    return made


_made: list[Counters] = []


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        try:
            await story()
        finally:
            while _made:
                await _made.pop().close()

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_an_allowance_is_used_up_call_by_call_and_refused_calls_take_nothing(kind: str) -> None:
    async def story() -> None:
        limits = Limits(LimitsSettings(default="2/minute; 3/hour"), counters(kind, "used"))
        first, second, third = [await limits.take("session 1") for _call in range(3)]
        assert [quota.left for quota in first.quotas] == [1, 2]
        assert [quota.left for quota in second.quotas] == [0, 1]
        assert (first.retry_after, second.retry_after) == (0, 0)
        assert 0 < third.retry_after <= 60
        # The refused call took nothing from the hour.
        assert [quota.left for quota in third.quotas] == [0, 1]
        assert not (await limits.take("session 2")).retry_after

    play(story)


@pytest.mark.parametrize("kind", KINDS)
def test_the_headers_say_the_limits_what_is_left_and_when_more_comes(kind: str) -> None:
    async def story() -> None:
        limits = Limits(LimitsSettings(default="1/minute"), counters(kind, "headers"))
        free, refused = await limits.take("a"), await limits.take("a")
        assert free.headers["RateLimit-Policy"] == '"60s";q=1;w=60'
        assert free.headers["RateLimit"] in {'"60s";r=0;t=60', '"60s";r=0;t=59'}
        assert "Retry-After" not in free.headers
        assert int(refused.headers["Retry-After"]) in {59, 60}

    play(story)


@pytest.mark.parametrize("kind", KINDS)
def test_an_allowance_comes_back_as_its_calls_grow_old(kind: str) -> None:
    async def story() -> None:
        limits = Limits(LimitsSettings(default="1/second"), counters(kind, "back"))
        assert not (await limits.take("a")).retry_after
        wait = (await limits.take("a")).retry_after
        assert wait == 1
        await asyncio.sleep(wait)  # what Retry-After promises, to the second
        assert not (await limits.take("a")).retry_after

    play(story)


@pytest.mark.parametrize("kind", KINDS)
def test_calls_at_once_are_counted_one_by_one(kind: str) -> None:
    async def story() -> None:
        limits = Limits(LimitsSettings(default="10/minute"), counters(kind, "once"))
        verdicts = await asyncio.gather(*(limits.take("a") for _call in range(50)))
        assert sum(not verdict.retry_after for verdict in verdicts) == 10

    play(story)


@pytest.mark.parametrize("kind", KINDS)
def test_five_failures_are_free_and_the_sixth_attempt_waits(kind: str) -> None:
    async def story() -> None:
        failures = Failures(LimitsSettings(), counters(kind, "failures"))
        last = [await failures.hit("account:anna") for _failure in range(5)]
        assert last == [False, False, False, False, True]
        assert 890 <= await failures.wait("account:anna") <= 900
        assert await failures.wait("account:boris") == 0
        await failures.clear("account:anna")
        assert await failures.wait("account:anna") == 0

    play(story)


def test_two_processes_on_one_valkey_count_together() -> None:
    async def story() -> None:
        settings = LimitsSettings(default="3/minute")
        one, other = (Limits(settings, counters("valkey", "both")) for _process in range(2))
        verdicts = [await each.take("key 1") for each in (one, other, one, other)]
        assert [bool(verdict.retry_after) for verdict in verdicts] == [False, False, False, True]
        here, there = (Failures(settings, counters("valkey", "both-failures")) for _process in range(2))
        for each in (here, there, here, there, here):
            await each.hit("address:203.0.113.9")
        assert await there.wait("address:203.0.113.9") > 0
        await there.clear("address:203.0.113.9")
        assert await here.wait("address:203.0.113.9") == 0

    play(story)


def test_without_valkey_this_process_counts_alone_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def story() -> None:
        away = Counters(f"redis://:hunter2-hunter2@127.0.0.1:{port}/0")
        limits = Limits(LimitsSettings(default="2/minute"), away)
        verdicts = [await limits.take("a") for _call in range(3)]
        assert [bool(verdict.retry_after) for verdict in verdicts] == [False, False, True]
        failures = Failures(LimitsSettings(), away)
        assert [await failures.hit("account:a") for _failure in range(5)][-1]
        await away.close()

    with caplog.at_level(logging.WARNING):
        play(story)
    (told,) = [record for record in caplog.records if record.name == "dozor.infra.limits"]
    assert "in this process alone" in told.getMessage()
    assert "hunter2" not in told.getMessage()


def test_lifted_limits_count_nothing() -> None:
    async def story() -> None:
        settings = LimitsSettings(enabled=False, default="1/hour", login="1/hour")
        limits, failures = Limits(settings, Counters()), Failures(settings, Counters())
        for _call in range(3):
            verdict = await limits.take("a")
            assert (verdict.retry_after, verdict.headers) == (0, {})
            assert await failures.hit("account:a") is False
        assert await failures.wait("account:a") == 0

    play(story)


def test_callers_from_many_addresses_do_not_fill_the_memory() -> None:
    async def story() -> None:
        memory = BoundedMemory(most=100)
        for number in range(1000):
            assert await memory.acquire_entry(f"address {number}", 10, 60)
        assert await memory.reset() == 100

    play(story)


def test_counts_in_memory_follow_the_clock() -> None:
    now = 1000.0

    async def story() -> None:
        nonlocal now
        memory = BoundedMemory(now=lambda: now)
        assert await memory.acquire_entry("a", 2, 60, amount=2)
        assert not await memory.acquire_entry("a", 2, 60)
        assert await memory.get_moving_window("a", 2, 60) == (1000.0, 2)
        assert (await memory.get("a"), await memory.get_expiry("a")) == (2, 1060.0)
        now = 1060.0
        assert await memory.acquire_entry("a", 2, 60)
        assert await memory.incr("a", 60) == 2
        await memory.clear("a")
        assert await memory.get("a") == 0
        assert await memory.get_moving_window("a", 2, 60) == (1060.0, 0)

    play(story)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("somewhere", "somewhere"),
    ],
)
def test_an_address_of_ipv6_counts_with_its_network(address: str, counted: str) -> None:
    assert network_of(address) == counted
