"""Permissions, subjects, passwords, the chain: rules without any outside."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.features.access.core.chain import START, Checker, link
from dozor.features.access.core.passwords import checked_password, checked_username, new_password
from dozor.features.access.core.permissions import intersection, is_pattern
from dozor.features.access.core.secrets import digest, key_id, new_key, new_recovery_codes, plain_code
from dozor.features.access.core.subjects import account_subject, address_subject
from dozor.features.access.model import (
    BUILTIN_ROLES,
    PERMISSIONS,
    AuditRecord,
    Entry,
    Event,
    InvalidValueError,
    allows,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PATTERNS = st.sampled_from([*PERMISSIONS, "*", "bots.*", "people.*", "traffic.*"])


@pytest.mark.parametrize(
    ("granted", "permission", "allowed"),
    [
        (("*",), "people.write", True),
        (("bots.*",), "bots.read", True),
        (("bots.*",), "bots.logs.read", True),
        (("bots.*",), "bots", False),
        (("bots.*",), "botsmith.read", False),
        (("bots.read",), "bots.write", False),
        (("bots.read",), "bots.*", False),
        (("bots.*",), "*", False),
        ((), "bots.read", False),
    ],
)
def test_a_permission_is_matched_by_name_or_by_a_pattern_above(
    granted: tuple[str, ...], permission: str, *, allowed: bool
) -> None:
    assert allows(granted, permission) is allowed


@given(st.lists(PATTERNS, max_size=4), st.lists(PATTERNS, max_size=4))
def test_an_intersection_allows_what_both_allow(one: list[str], other: list[str]) -> None:
    both = intersection(one, other)
    for permission in PERMISSIONS:
        assert allows(both, permission) == (
            allows(tuple(one), permission) and allows(tuple(other), permission)
        )


def test_builtin_roles_are_those_of_the_spec() -> None:
    spec = {
        "admin": {"*"},
        "operator": {"bots.read", "bots.start", "bots.stop", "conversations.read", "system.status"},
        "viewer": {"bots.read", "conversations.read", "system.status"},
    }
    for name, permissions in spec.items():
        assert set(BUILTIN_ROLES[name].permissions) - {"traffic.read"} == permissions


@pytest.mark.parametrize(
    "text", ["", "Bots.read", "bots.", ".read", "bots.*.read", "**", "bots read", "a" * 101]
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    assert not is_pattern(text)


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("203.0.113.9", "address:203.0.113.9"),
        ("2001:db8:1:2:3::4", "address:2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "address:203.0.113.9"),
        ("unix", "address:unix"),
    ],
)
def test_an_ipv6_address_counts_with_its_network(address: str, subject: str) -> None:
    assert address_subject(address) == subject


def test_an_account_is_one_however_it_is_written() -> None:
    assert account_subject(" Anna ") == account_subject("ANNA") == account_subject("anna")


@pytest.mark.parametrize("name", ["anna", "a", "Anna.B-c_d@example.org", "Анна", "a" * 64])
def test_a_user_name_that_will_do(name: str) -> None:
    assert checked_username(f" {name} ") == name


@pytest.mark.parametrize(
    "name", ["", "  ", ".anna", "anna ", "an na", "a" * 65, "<b>", "anna\n", "\u202eanna"]
)
def test_a_user_name_that_will_not_do(name: str) -> None:
    with pytest.raises(InvalidValueError) as error:
        checked_username(name + "!" if name.strip() == "anna" else name)
    assert error.value.field == "username"


@pytest.mark.parametrize("password", ["short", "password", "PassWord", "12345678", "Anna.Maria", "x" * 1025])
def test_a_password_that_is_guessed_first_or_too_long_is_refused(password: str) -> None:
    with pytest.raises(InvalidValueError):
        checked_password(password, "anna.maria", least=8)


def test_made_passwords_and_codes_differ_and_will_do() -> None:
    made = {new_password() for _number in range(50)}
    assert len(made) == 50
    for password in made:
        assert checked_password(password, "anna", least=20) == password
    codes = new_recovery_codes()
    assert len(set(codes)) == 10
    assert plain_code(f" {codes[0].upper()} ") == codes[0].replace("-", "")


def test_a_key_carries_its_id() -> None:
    made_id, key = new_key()
    assert key.startswith(f"dz_{made_id}_")
    assert key_id(key) == made_id
    assert key_id("dz_x") == key_id("dzr_a_b") == ""
    assert len(digest(key)) == 64


def chain_of(count: int) -> list[AuditRecord]:
    records: list[AuditRecord] = []
    previous = START
    for number in range(1, count + 1):
        entry = Entry(Event.LOGIN_ATTEMPT, "auth.login", details={"n": str(number)})
        records.append(link(entry, NOW, number, previous))
        previous = records[-1].hash
    return records


def broken(records: list[AuditRecord], head: tuple[int, str] | None = None) -> int | None:
    checker = Checker(head)
    for record in records:
        fault = checker.fault(record)
        if fault:
            return fault.broken
    return checker.end().broken


def test_a_whole_chain_holds_and_each_change_of_it_shows() -> None:
    whole = chain_of(5)
    head = (5, whole[-1].hash)
    assert broken(whole, head) is None
    assert broken([], None) is None
    forged = replace(whole[2], entry=replace(whole[2].entry, actor="somebody else"))
    assert broken([*whole[:2], forged, *whole[3:]]) == 3
    relinked = link(forged.entry, NOW, 3, whole[1].hash)
    assert broken([*whole[:2], relinked, *whole[3:]]) == 4
    assert broken([*whole[:2], *whole[3:]]) == 3
    assert broken([whole[0], whole[2], whole[1], *whole[3:]]) == 2
    assert broken(whole[1:]) == 1
    assert broken(whole[:4], head) == 5
    assert broken([*whole[:4], link(whole[4].entry, NOW, 5, START)]) == 5
    remade = link(replace(whole[4].entry, actor="x"), NOW, 5, whole[3].hash)
    assert broken([*whole[:4], remade], head) == 5
