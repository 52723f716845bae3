from __future__ import annotations

import pytest
import streamlit as st

from dozor.client import Me
from dozor.console import account
from dozor.console.account import can, session_cookie


@pytest.mark.parametrize(
    ("held", "sent"),
    [
        ({}, {}),
        ({"dozor_session": "plain", "dozor_lang": "ru"}, {"dozor_session": "plain"}),
        ({"__Host-dozor_session": "tls"}, {"dozor_session": "tls"}),
        # A neighbour below the same domain can set the plain one, but not the other.
        ({"dozor_session": "foreign", "__Host-dozor_session": "tls"}, {"dozor_session": "tls"}),
    ],
)
def test_the_cookie_that_came_over_tls_counts_first(held: dict[str, str], sent: dict[str, str]) -> None:
    assert session_cookie(held) == sent


@pytest.mark.parametrize(
    ("granted", "asked", "allowed"),
    [
        (("*",), "audit.read", True),
        (("audit.read",), "audit.read", True),
        (("people.*",), "people.write", True),
        (("people.*",), "peoples.write", False),
        (("people.read",), "people.write", False),
        ((), "people.read", False),
    ],
)
def test_what_one_may_is_told_as_the_server_does(
    monkeypatch: pytest.MonkeyPatch, granted: tuple[str, ...], asked: str, *, allowed: bool
) -> None:
    me = Me(id="p_1", username="anna", kind="person", role="x", permissions=granted)
    monkeypatch.setattr(st, "session_state", {account._ME: me})
    assert can(asked) is allowed
