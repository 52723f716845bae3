"""Lock-outs, what ends them, and what the detectors are told."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from dozor.features.access.core.chain import moment
from dozor.features.access.core.subjects import account_subject
from dozor.features.access.model import (
    COMMAND_LINE,
    LOCAL,
    AuditFilter,
    InvalidCredentialsError,
    InvalidTokenError,
    LockedOutError,
    Origin,
)
from dozor.features.access.service.ledger import MOST_FOLDS
from dozor.features.access.service.throttle import EVERYBODY
from dozor.kernel.finding import Severity
from tests.unit.access.world import ELSEWHERE, HOME, PASSWORD, World, play


async def fail(world: World, times: int, name: str = "anna", origin: Origin = HOME) -> None:
    for _number in range(times):
        with pytest.raises(InvalidCredentialsError):
            await world.access.signin.login(name, "wrong", origin)


def test_the_sixth_attempt_is_refused_even_with_the_right_password() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await fail(world, 5)
        told = set()
        for password in (PASSWORD, "wrong"):
            with pytest.raises(LockedOutError) as error:
                await world.login(password=password)
            told.add(str(error.value))
            assert error.value.retry_after == 900
        assert len(told) == 1
        world.clock.pass_(seconds=899)
        with pytest.raises(LockedOutError):
            await world.login()
        world.clock.pass_(seconds=1)
        await world.login()

    play(story)


def test_a_success_counts_for_nothing() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await fail(world, 4)
        for _number in range(8):
            await world.login()
        await fail(world, 1)
        with pytest.raises(LockedOutError):
            await world.login()

    play(story)


def test_an_account_is_locked_whether_it_exists_or_not_and_an_address_whatever_the_account() -> None:
    async def story(world: World) -> None:
        await world.owner()
        for name in ("anna", "nobody"):
            for number in range(5):
                await fail(world, 1, name, Origin(f"203.0.113.{number}"))
            with pytest.raises(LockedOutError):
                await world.access.signin.login(name, PASSWORD, Origin("192.0.2.1"))
        world.clock.pass_(minutes=15)
        for number in range(5):
            await fail(world, 1, f"name{number}", ELSEWHERE)
        with pytest.raises(LockedOutError):
            await world.access.signin.login("anna", PASSWORD, ELSEWHERE)
        await world.login()

    play(story)


def test_all_of_an_ipv6_network_counts_as_one() -> None:
    async def story(world: World) -> None:
        await world.owner()
        for number in range(5):
            await fail(world, 1, f"name{number}", Origin(f"2001:db8:0:1::{number}"))
        with pytest.raises(LockedOutError):
            await world.access.signin.login("anna", PASSWORD, Origin("2001:db8:0:1:ffff::1"))
        await world.access.signin.login("anna", PASSWORD, Origin("2001:db8:0:2::1"))

    play(story)


def test_a_hundred_guesses_at_once_are_five() -> None:
    async def story(world: World) -> None:
        await world.owner()
        answers = await asyncio.gather(
            *(world.access.signin.login("anna", f"guess {n}", HOME) for n in range(100)),
            return_exceptions=True,
        )
        kinds = [type(answer).__name__ for answer in answers]
        assert kinds.count("InvalidCredentialsError") == 5
        assert kinds.count("LockedOutError") == 95

    play(story)


def test_guessing_codes_and_passwords_again_counts_alike() -> None:
    async def story(world: World) -> None:
        await world.owner()
        by = await world.principal()
        await world.access.profile.begin_totp(by, HOME)
        for number in range(3):
            with pytest.raises(InvalidCredentialsError):
                await world.access.profile.confirm_totp(by, HOME, f"00000{number}")
        for _number in range(2):
            with pytest.raises(InvalidCredentialsError):
                await world.access.profile.remove_totp(by, HOME, "wrong")
        with pytest.raises(LockedOutError):
            await world.access.profile.change_password(by, HOME, current=PASSWORD, new="another password")
        failed = await world.audit(result="failed", actor="anna")
        assert [record.entry.action for record in failed] == [
            *["profile.totp.remove"] * 2,
            *["profile.totp.confirm"] * 3,
        ]
        with pytest.raises(LockedOutError):
            await world.login()

    play(story)


def test_guessing_the_set_up_token_locks_the_address_out() -> None:
    async def story(world: World) -> None:
        token = await world.access.setup.new_token()
        for number in range(5):
            with pytest.raises(InvalidTokenError):
                await world.access.setup.create_owner(f"dzu_{number}", "anna", PASSWORD, HOME)
        with pytest.raises(LockedOutError):
            await world.access.setup.create_owner(token, "anna", PASSWORD, HOME)

    play(story)


@pytest.mark.parametrize("subject", [account_subject("anna"), EVERYBODY])
def test_another_process_ends_a_lock_out_by_a_note(subject: str) -> None:
    async def story(world: World) -> None:
        await world.owner()
        for number in range(5):
            await fail(world, 1, "anna", Origin(f"203.0.113.{number}"))
        with pytest.raises(LockedOutError):
            await world.login()
        async with world.store.writing() as unit:  # what `unlock` of a process with other counts does
            await unit.put_note(f"unlocked:{subject}", moment(world.clock.now))
        await world.login()
        for number in range(5):
            await fail(world, 1, "anna", Origin(f"203.0.113.{number + 10}"))
        with pytest.raises(LockedOutError):  # the note counted once
            await world.login()

    play(story)


def test_an_unlocked_account_is_let_in_from_the_address_that_its_failures_locked_out() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await fail(world, 5)
        await world.process().people.unlock_subject(COMMAND_LINE, LOCAL, account_subject("anna"), "anna")
        with pytest.raises(LockedOutError):  # others are not let in from there
            await world.access.signin.login("bob", PASSWORD, HOME)
        await world.login()
        world.clock.pass_(seconds=1)
        await fail(world, 5)
        with pytest.raises(LockedOutError):  # the note is older than this
            await world.login()

    play(story)


def test_an_unlock_of_what_is_not_locked_gives_no_attempts_on_top() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await world.access.throttle.unlock(EVERYBODY)
        world.clock.pass_(seconds=1)
        await fail(world, 5)
        with pytest.raises(LockedOutError):
            await world.login()

    play(story)


def test_a_person_is_unlocked_by_those_who_may() -> None:
    async def story(world: World) -> None:
        anna = await world.owner()
        for number in range(5):
            await fail(world, 1, "anna", Origin(f"203.0.113.{number}"))
        assert await world.access.throttle.waits("anna") == pytest.approx(900, abs=1)
        await world.access.people.unlock(COMMAND_LINE, LOCAL, anna.id)
        assert await world.access.throttle.waits("anna") == 0
        await world.login()

    play(story)


def test_guessing_is_told_as_a_finding_and_recorded() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await fail(world, 5, "anna", ELSEWHERE)
        with pytest.raises(LockedOutError):
            await world.access.signin.login("anna", PASSWORD, ELSEWHERE)
        failed = await world.audit(event="login_attempt", result="failed")
        assert [record.entry.address for record in failed] == [ELSEWHERE.address] * 5
        (blocked,) = await world.audit(event="ip_blocked")
        assert blocked.entry.target == ELSEWHERE.address
        assert len(await world.audit(event="account_locked")) == 1
        (refused,) = await world.audit(event="login_attempt", result="refused")
        assert refused.entry.details == {"reason": "locked-out"}

    world = play(story)
    worst = max(world.findings, key=lambda finding: finding.severity)
    assert (worst.kind, worst.subject.name, worst.severity) == (
        "access.brute_force",
        ELSEWHERE.address,
        Severity.HIGH,
    )
    assert {finding.subject.name for finding in world.findings} == {ELSEWHERE.address, "anna"}


def test_slow_guessing_below_the_limit_is_told_too() -> None:
    async def story(world: World) -> None:
        await world.owner()
        for number in range(5):
            await fail(world, 1, f"name{number}", ELSEWHERE)
            world.clock.pass_(minutes=10)
        assert not await world.audit(event="ip_blocked")

    (finding,) = play(story).findings
    assert (finding.kind, finding.count, finding.labels["way"]) == ("access.brute_force", 5, "stuffing")
    assert finding.last - finding.first == timedelta(minutes=40)


def test_abuse_of_limits_is_told_once_a_minute() -> None:
    async def story(world: World) -> None:
        for _number in range(150):
            await world.access.limited(ELSEWHERE, "GET /api/v1/bots")
            world.clock.pass_(seconds=0.5)
        await world.access.ledger.flush(everything=True)
        records = await world.audit(event="rate_limited", action="GET /api/v1/bots")
        assert sum(record.entry.count for record in records) == 150
        assert len(records) <= 4
        assert await world.audit(event="rate_limited", action="limits.abuse")

    findings = play(story).findings
    assert [finding.kind for finding in findings] == ["access.rate_abuse"]
    assert findings[0].count == 60


def test_who_asks_too_often_stands_in_the_record() -> None:
    async def story(world: World) -> None:
        await world.owner()
        await world.access.limited(ELSEWHERE, "GET /api/v1/bots", await world.principal())
        (record,) = await world.audit(event="rate_limited", actor="anna")
        assert (record.entry.actor_kind, record.entry.result) == ("person", "refused")

    play(story)


def test_a_flood_of_refusals_becomes_few_records() -> None:
    async def story(world: World) -> None:
        for number in range(20_000):
            origin = Origin(f"203.0.{number % 250}.{number % 256}")
            await world.access.ledger.denied(None, origin, f"GET /api/v1/{number % 7}")
        await world.access.ledger.flush(everything=True)
        records = [record async for record in world.access.ledger.export(AuditFilter())]
        assert sum(record.entry.count for record in records) == 20_000
        assert len(records) <= 2 * MOST_FOLDS + 2

    play(story)
