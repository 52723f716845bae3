"""The command `dozor access`, upon a folder that nobody uses and beside a running Dozor."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from dozor.app.cli import main
from tests.acceptance.running import DOZOR, OWNER, PASSWORD, access, make_owner, running, until
from tests.servers import postgres_url

Dozor = Callable[..., tuple[int, str]]


@pytest.fixture
def dozor(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Dozor:
    """Run `dozor access …` in this process; its exit code and what it said."""
    monkeypatch.setenv("DOZOR_ACCESS__BCRYPT_ROUNDS", "4")
    monkeypatch.chdir(tmp_path)

    def run(*words: str, typed: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = main(["access", *words, "--data-dir", str(tmp_path / "data")])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def setup(dozor: Dozor) -> None:
    assert dozor("setup", "--username", OWNER, "--password-stdin", typed=PASSWORD + "\n") == (
        0,
        "anna is the owner now.\n",
    )


def listed(dozor: Dozor, *words: str) -> Any:
    code, said = dozor(*words, "--json")
    assert code == 0, said
    return json.loads(said)


def test_set_up_makes_one_owner(dozor: Dozor) -> None:
    setup(dozor)
    code, said = dozor("setup", "--username", "bob", "--password-stdin", typed=PASSWORD)
    assert code == 1
    assert "There is an owner already" in said
    (person,) = listed(dozor, "people", "list")
    assert (person["username"], person["role"], person["is_owner"]) == (OWNER, "admin", True)
    code, said = dozor("setup-link")
    assert code == 1


@pytest.mark.parametrize(
    ("name", "typed", "told"),
    [
        ("anna", "", "No password came"),
        ("anna", "short\n", "fewer than 8 characters"),
        ("anna", "anna.anna\n" * 2, "is the owner now"),
        ("an na", PASSWORD, "will not do as a user name"),
    ],
)
def test_set_up_says_what_will_not_do(dozor: Dozor, name: str, typed: str, told: str) -> None:
    code, said = dozor("setup", "--username", name, "--password-stdin", typed=typed)
    assert told in said
    assert (code == 0) is (told == "is the owner now")


def test_a_key_is_printed_once_as_json(dozor: Dozor) -> None:
    code, said = dozor("key", "create", "--role", "viewer", "--expires", "30d", "--json")
    assert code == 0
    made = json.loads(said)
    assert set(made) == {"id", "key"}
    assert made["key"].startswith(f"dz_{made['id']}_")
    code, said = dozor("key", "create", "--role", "admin", "--name", "ci", "--scope", "traffic.read")
    assert (code, said.splitlines()[0][:3]) == (0, "dz_")
    ci, viewer = listed(dozor, "key", "list")
    assert (ci["name"], ci["scopes"], ci["expires"]) == ("ci", ["traffic.read"], None)
    assert viewer["expires"] > viewer["created"]
    assert made["key"] not in str(dozor("key", "list"))
    assert dozor("key", "revoke", made["id"])[0] == 0
    assert dozor("key", "revoke", made["id"])[0] == 1
    assert [key["id"] for key in listed(dozor, "key", "list")] == [ci["id"]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--role", "nobody"), "There is no role 'nobody'"),
        (("--role", "viewer", "--expires", "soon"), "'soon' is no length of time"),
        (("--role", "viewer", "--expires", "0d"), "'0d' is no length of time"),
        (("--role", "viewer", "--expires", "99y"), "3650 days"),
        (("--role", "viewer", "--scope", "audit.read"), "does not have the permission audit.read"),
        ((), "--role"),
    ],
)
def test_a_key_that_will_not_do(dozor: Dozor, words: tuple[str, ...], told: str) -> None:
    code, said = dozor("key", "create", *words, "--json")
    assert code in {1, 2}
    assert told in said


def test_people_are_looked_after(dozor: Dozor) -> None:
    setup(dozor)
    code, said = dozor("people", "add", "bob", "--role", "viewer")
    assert code == 0
    assert said.splitlines()[-1].startswith("Password: ")
    assert dozor("people", "add", "BOB", "--password-stdin", typed=PASSWORD)[0] == 1
    assert dozor("people", "role", "bob", "operator")[0] == 0
    assert dozor("people", "disable", "Bob")[0] == 0
    assert "disabled" in dozor("people", "list")[1]
    assert dozor("people", "enable", "bob")[0] == 0
    assert dozor("reset-password", "bob", "--password-stdin", typed="a new password")[0] == 0
    assert dozor("reset-totp", "bob")[0] == 0
    assert dozor("unlock", "bob")[0] == dozor("unlock", "2001:db8::1")[0] == dozor("unlock")[0] == 0
    assert dozor("people", "remove", "bob")[0] == 0
    assert "nobody called 'bob'" in dozor("people", "remove", "bob")[1]
    for words in (("disable", OWNER), ("remove", OWNER), ("role", OWNER, "viewer")):
        code, said = dozor("people", *words)
        assert code == 1
        assert "owner cannot be" in said


def test_the_trail_is_shown_exported_and_checked(dozor: Dozor, tmp_path: Path) -> None:
    setup(dozor)
    dozor("people", "add", "bob")
    dozor("key", "create", "--role", "viewer")
    assert "keys.create" in dozor("audit", "show", "--action", "keys.*")[1]
    assert "people.create" not in dozor("audit", "show", "--action", "keys.*")[1]
    exported = [json.loads(line) for line in dozor("audit", "export", "--since", "1h")[1].splitlines()]
    assert [record["number"] for record in exported] == [3, 2, 1]
    assert dozor("audit", "export", "--format", "csv", "--person", "nobody")[1].startswith("number,at,")
    assert dozor("audit", "verify") == (0, "The chain of 3 records holds.\n")
    lines = (tmp_path / "data" / "audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["hash"] for line in lines] == [record["hash"] for record in exported[::-1]]
    with sqlite3.connect(tmp_path / "data" / "state.sqlite") as database:
        database.execute("DROP TRIGGER access_audit_no_update")
        database.execute("UPDATE access_audit SET target = 'eve' WHERE number = 2")
    database.close()
    code, said = dozor("audit", "verify")
    assert code == 1
    assert "broken at record 2" in said
    assert json.loads(dozor("audit", "verify", "--json")[1].splitlines()[0])["broken"] == 2


def test_the_last_records_cannot_be_cut_off_unseen(dozor: Dozor, tmp_path: Path) -> None:
    setup(dozor)
    dozor("people", "add", "bob")
    with sqlite3.connect(tmp_path / "data" / "state.sqlite") as database:
        database.execute("DROP TRIGGER access_audit_no_delete")
        database.execute("DELETE FROM access_audit WHERE number = 2")
    database.close()
    assert "broken at record 2" in dozor("audit", "verify")[1]


def test_all_of_it_works_on_postgresql(dozor: Dozor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url())
    setup(dozor)
    assert dozor("people", "add", "bob")[0] == 0
    assert len(listed(dozor, "people", "list")) == 2
    assert dozor("audit", "verify")[0] == 0


def test_the_key_is_rotated_unless_it_comes_from_outside(
    dozor: Dozor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup(dozor)
    file = tmp_path / "data" / "secret.key"
    before = file.read_text().split()
    assert dozor("rotate-key")[0] == 0
    assert file.read_text().split()[1:] == before
    monkeypatch.setenv("SECRET_KEY", "from outside, and long enough to do")
    code, said = dozor("rotate-key")
    assert code == 2
    assert "previous_secret_keys" in said


def test_an_administrator_of_the_earlier_system_is_told_when_the_hash_is_of_no_use(
    dozor: Dozor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN_USERNAME", "admin")
    monkeypatch.setenv("ADMIN_PASSWORD_HASH", "hunter2")
    code, said = dozor("people", "list")
    assert code == 2
    assert "ADMIN_PASSWORD_HASH is no password hash" in said
    assert "hunter2" not in said


def test_help_is_there_for_every_command() -> None:
    for words in ((), ("key",), ("people",), ("audit",), ("sessions",), ("allow-list",)):
        done = subprocess.run(
            [DOZOR, "access", *words, "--help"], capture_output=True, text=True, check=True, timeout=60
        )
        assert "Usage" in done.stdout


def test_a_running_dozor_takes_notice(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running("--data-dir", folder, DOZOR_LIMITS__ENABLED="true") as up:

        def login(password: str = PASSWORD) -> httpx.Response:
            typed = {"username": OWNER, "password": password}
            return up.http.post("/api/v1/auth/login", json=typed, headers={"Authorization": ""})

        make_owner(folder)
        tokens = login().json()
        signed = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert up.http.get("/api/v1/auth/me", headers=signed).json()["username"] == OWNER
        made = json.loads(access("key", "create", "--role", "viewer", "--json", folder=folder))
        as_viewer = {"Authorization": f"Bearer {made['key']}"}
        assert up.http.get("/api/v1/traffic/coverage", headers=as_viewer).status_code == 200
        assert up.http.get("/api/v1/people", headers=as_viewer).status_code == 403

        access("key", "revoke", made["id"], folder=folder)
        until(
            lambda: up.http.get("/api/v1/traffic/coverage", headers=as_viewer).status_code == 401,
            "an end of the key",
            patience=5,
        )
        (session,) = json.loads(access("sessions", "list", "--json", folder=folder))
        access("sessions", "revoke", session["id"], folder=folder)
        until(
            lambda: up.http.get("/api/v1/auth/me", headers=signed).status_code == 401,
            "an end of the session",
            patience=5,
        )

        assert [login("wrong").status_code for _number in range(6)] == [401] * 5 + [429]
        assert login().status_code == 429
        access("unlock", folder=folder)
        assert login().status_code == 200
        access("rotate-key", folder=folder)
        assert "holds" in access("audit", "verify", folder=folder)
        events = {json.loads(line)["event"] for line in (folder / "audit.jsonl").read_text().splitlines()}
        assert events >= {"login_attempt", "permission_denied", "sensitive_operation", "ip_blocked"}
        assert up.end() == 0
    assert "holds" in access("audit", "verify", folder=folder)
