"""Every method of `client.access` against a real `dozor up`."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyotp
import pytest

from dozor.client import BadRequest, Calls, Client, Conflict, Forbidden, NotFound, Unauthorized
from dozor.client.access import Access
from tests.acceptance.running import OWNER, PASSWORD, Running, make_owner, running

WORDS = "four quite different words"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("state")
    make_owner(folder)
    with running("--data-dir", folder) as process:
        process.ready()
        yield process


@pytest.fixture
def owner(up: Running) -> Iterator[Access]:
    with Client(up.base, username=OWNER, password=PASSWORD) as client:
        yield client.access


@pytest.fixture
def boris(owner: Access, up: Running) -> Iterator[Access]:
    """An operator, who is gone after the test."""
    made = owner.add_person("boris", WORDS, "operator", display_name="Борис", language="ru")
    with Client(up.base, username="boris", password=WORDS) as client:
        yield client.access
    owner.remove_person(made.id)


def test_one_tells_and_changes_oneself(boris: Access) -> None:
    me = boris.me()
    assert (me.username, me.display_name, me.role, me.language) == ("boris", "Борис", "operator", "ru")
    assert me.csrf_token is None  # nothing is sent by itself
    changed = boris.change_me(language="en", display_name="")
    assert (changed.language, changed.display_name) == ("en", "")
    assert boris.change_me(display_name="Boris").language == "en"


def test_a_password_is_changed_and_the_other_sessions_end(boris: Access, up: Running) -> None:
    with Client(up.base, username="boris", password=WORDS) as other:
        other.access.me()
        assert len(boris.sessions()) == 2
        with pytest.raises(Unauthorized):
            boris.change_password("wrong", f"{WORDS} anew")
        with pytest.raises(BadRequest):
            boris.change_password(WORDS, "short")
        boris.change_password(WORDS, f"{WORDS} anew")
        assert len(boris.sessions()) == 1


def test_a_second_factor_comes_and_goes(boris: Access) -> None:
    begun = boris.begin_totp()
    assert begun.uri.startswith("otpauth://totp/")
    assert begun.qr.startswith("data:image/svg+xml;base64,")
    with pytest.raises(Unauthorized):
        boris.confirm_totp("000000")
    codes = boris.confirm_totp(pyotp.TOTP(begun.secret).now())
    assert boris.me().recovery_codes_left == len(codes) == 10
    assert not set(boris.new_recovery_codes(WORDS)) & set(codes)
    boris.remove_totp(WORDS)
    assert not boris.me().totp_enabled


def test_sessions_end_one_by_one_all_others_and_by_somebody_else(
    boris: Access, owner: Access, up: Running
) -> None:
    number = boris.me().id
    others = [Client(up.base, username="boris", password=WORDS) for _number in range(4)]
    for other in others:
        other.access.me()
    (mine,) = [one for one in boris.sessions() if one.current]
    ended = next(one for one in boris.sessions() if not one.current)
    boris.end_session(ended.id)
    assert ended.id not in {one.id for one in boris.sessions()}
    with pytest.raises(NotFound):
        boris.end_session(ended.id)
    ended = next(one for one in owner.sessions_of(number) if one.id != mine.id)
    owner.end_sessions_of(number, ended.id)
    assert len(owner.sessions_of(number)) == 3
    boris.end_other_sessions()
    assert [one.id for one in boris.sessions()] == [mine.id]
    owner.end_sessions_of(number)
    assert owner.sessions_of(number) == ()
    for other in others:
        other.close()


def test_keys_are_made_shown_and_revoked(boris: Access, owner: Access, up: Running) -> None:
    made = boris.create_key("export", role="operator", scopes=["traffic.read"], expires_in_days=7)
    (key,) = boris.keys()
    assert (key.id, key.name, key.scopes, key.username) == (made.id, "export", ("traffic.read",), "boris")
    assert key.expires is not None
    with Client(up.base, token=made.key) as program:
        assert program.access.me().permissions == ("traffic.read",)
        with pytest.raises(Forbidden):
            program.access.keys(all=True)
    assert made.id in {one.id for one in owner.keys(all=True)}
    with pytest.raises(Forbidden):
        boris.create_key("too much", role="admin")
    owner.revoke_key(made.id)
    assert boris.keys() == ()


def test_people_are_looked_after(owner: Access, boris: Access, up: Running) -> None:
    number = boris.me().id
    assert {one.username for one in owner.people()} == {OWNER, "boris"}
    assert owner.person(number).last_login is not None
    changed = owner.change_person(number, role="viewer", display_name="B", language="en")
    assert (changed.role, changed.display_name, changed.language) == ("viewer", "B", "en")
    assert owner.change_person(number, disabled=True).disabled
    with Client(up.base) as nobody, pytest.raises(Unauthorized):
        nobody.access.login("boris", WORDS)
    owner.change_person(number, disabled=False)
    owner.change_person(number, password=f"{WORDS} anew")
    with Client(up.base) as nobody:
        assert nobody.access.login("boris", f"{WORDS} anew").token_type == "Bearer"
    owner.unlock_person(number)
    assert not owner.change_person(number, reset_totp=True).totp_enabled
    with pytest.raises(Conflict):
        owner.add_person("BORIS", WORDS, "viewer")
    with pytest.raises(NotFound):
        owner.person("nobody")


def test_roles_are_made_changed_and_removed(owner: Access) -> None:
    assert {"traffic.read", "audit.read"} <= {one.name for one in owner.permissions()}
    owner.add_role("analyst", ["traffic.read"], description="Looks.")
    assert owner.change_role("analyst", permissions=["audit.read"]).description == "Looks."
    assert owner.change_role("analyst", description="Reads.").permissions == ("audit.read",)
    assert [one.name for one in owner.roles()][:3] == ["admin", "operator", "viewer"]
    owner.remove_role("analyst")
    assert "analyst" not in {one.name for one in owner.roles()}


def test_the_audit_trail_is_paged_filtered_exported_and_checked(owner: Access, boris: Access) -> None:
    with pytest.raises(Forbidden):
        boris.people()
    page = owner.audit(limit=2)
    assert len(page.items) == 2
    following = owner.audit(limit=2, cursor=page.next)
    assert following.items[0].number == page.items[1].number - 1
    refused = owner.audit(event="permission_denied", person="boris", result="refused", since="1h")
    assert refused.items[0].action == "GET /api/v1/people"
    assert {one.result for one in refused.items} == {"refused"}
    lines = b"".join(owner.audit_export(person="boris", result="refused")).splitlines()
    assert {json.loads(line)["actor"] for line in lines} == {"boris"}
    table = b"".join(owner.audit_export("csv", person="boris", result="refused")).decode().splitlines()
    assert len(table) == len(lines) + 1
    assert owner.verify_audit().whole


def test_a_browser_s_cookies_change_things_with_the_csrf_token(up: Running) -> None:
    with up.visitor() as visitor, Client(up.base) as client:
        calls: Calls = client.with_cookies(dict(visitor.cookies))
        assert calls.access.me().csrf_token
        assert calls.access.change_me(display_name="Anna").display_name == "Anna"
        calls.access.logout()
        with pytest.raises(Unauthorized):
            calls.access.me()
