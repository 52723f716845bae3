"""Where a real `dozor` keeps people and keys, how it comes up to date, and that it shows no secret."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from pathlib import Path

import httpx
import pytest

from dozor.infra.database import SQLITE_FILE
from dozor.infra.keys import KEY_FILE
from tests.acceptance.running import DOZOR, PASSWORD, access, make_owner, refused, running
from tests.servers import postgres_url


def dozor(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DOZOR, *map(str, words)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_people_are_kept_in_postgresql_when_a_setting_refers_to_one(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(postgres_url() + "\n")
    referred = {"DATABASE_URL": f"file:{tmp_path}/url"}
    folder = tmp_path / "data"
    make_owner(folder, **referred)
    for _start in range(2):
        with running("--data-dir", folder, **referred) as up, up.visitor() as client:
            assert client.get("/api/v1/auth/me").json()["username"] == "anna"
            assert up.end() == 0
    assert not (folder / SQLITE_FILE).exists()
    checked = dozor("db", "check", "--data-dir", folder, **referred)
    assert (checked.returncode, checked.stdout) == (0, "The database is up to date: 0001.\n")


def test_the_database_is_made_looked_at_and_checked_by_command(tmp_path: Path) -> None:
    tmp_path = tmp_path / "data"
    folder = ("--data-dir", tmp_path)
    current = json.loads(dozor("db", "current", "--json", *folder).stdout)
    assert current == {
        "database": str(tmp_path / SQLITE_FILE),
        "current": None,
        "newest": "0001",
        "due": ["0001"],
    }
    missing = dozor("db", "check", *folder)
    assert missing.returncode == 1
    assert "is not up to date: 0001. Run: dozor db upgrade" in missing.stderr
    assert not tmp_path.exists(), "looking makes nothing"
    assert "1 step done" in dozor("db", "upgrade", *folder).stdout
    assert dozor("db", "upgrade", *folder).stdout == "The database is up to date: 0001.\n"
    assert dozor("db", "check", *folder).returncode == 0
    assert dozor("db", "current", *folder).stdout.split()[1] == str(tmp_path / SQLITE_FILE)


def test_a_database_of_a_newer_version_ends_the_start_with_what_to_do(tmp_path: Path) -> None:
    dozor("db", "upgrade", "--data-dir", tmp_path)
    with sqlite3.connect(tmp_path / SQLITE_FILE) as connection:
        connection.execute("UPDATE schema_revision SET version_num = '9999'")
    connection.close()
    code, told = refused("--port", "0", "--data-dir", tmp_path)
    assert code == 1
    assert "has the shape 9999, which this Dozor does not know. A newer Dozor made it" in told


def test_a_database_that_is_away_ends_the_start_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://dozor:open-sesame-1@127.0.0.1:1/dozor"
    code, told = refused("--port", "0", "--data-dir", tmp_path, DATABASE_URL=url)
    assert code == 1
    assert "The database postgresql://dozor:***@127.0.0.1:1/dozor cannot be used: " in told
    assert "open-sesame" not in told


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"SECRET_KEY": "your-secret-key-here"}, "SECRET_KEY has 20 characters, and needs at least 32."),
        ({"DATABASE_URL": "vault:secret/dozor#url"}, "refers to vault:secret/dozor#url: nobody said where"),
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL names no Valkey or Redis that Dozor can use."),
        ({"DATABASE_POOL_SIZE": "0"}, "DATABASE_POOL_SIZE (environment) is '0': use 1 or more."),
        ({"DOZOR_LIMITS__LOGIN": "often"}, "is 'often': use limits such as 100/minute; 1000/hour."),
    ],
)
def test_a_setting_of_no_use_ends_the_start_with_what_to_do(
    tmp_path: Path, environ: dict[str, str], told: str
) -> None:
    code, last = refused("--port", "0", "--data-dir", tmp_path, **environ)
    assert code == 2
    assert told in last


def test_a_changed_secret_key_logs_nobody_out(tmp_path: Path) -> None:
    make_owner(tmp_path)
    with running("--data-dir", tmp_path) as up:
        typed = {"username": "anna", "password": PASSWORD}
        token = up.http.post("/api/v1/auth/login", json=typed).json()["access_token"]
        before = (tmp_path / KEY_FILE).read_text()
        access("rotate-key", folder=tmp_path)
        assert (tmp_path / KEY_FILE).read_text().split()[1:] == before.split()
        with up.client(Authorization=f"Bearer {token}") as client:
            assert client.get("/api/v1/auth/me").status_code == 200
        assert up.end() == 0
    with running("--data-dir", tmp_path) as up, up.client(Authorization=f"Bearer {token}") as client:
        assert client.get("/api/v1/auth/me").status_code == 200
        assert up.end() == 0


def test_a_running_dozor_shows_none_of_the_secrets_that_go_through_it(tmp_path: Path) -> None:
    logs, folder = tmp_path / "logs", tmp_path / "data"
    secret_key = "SkQ9-made-up-secret-of-the-key-file-0123456789"
    known = {"SECRET_KEY": secret_key}
    make_owner(folder, **known)
    loud = {"LOG_LEVEL": "debug", "LOG_DIR": str(logs), "DOZOR_LOG_FORMAT": "json", **known}
    secrets = {secret_key, PASSWORD, "Wr0ng-passw0rd-typed", "b0t:t0ken-in-a-query", "JBSWY3DPEHPK3PXP"}
    answers: list[httpx.Response] = []
    with running("--data-dir", folder, **loud) as up:
        secrets.add(up.key.rpartition("_")[2])
        with up.visitor() as client:
            secrets.add(client.cookies["dozor_session"])
            answers.append(client.get("/api/v1/auth/me"))
            csrf = {"X-CSRF-Token": answers[0].json()["csrf_token"]}
            begun = client.post("/api/v1/auth/totp", json={"password": PASSWORD}, headers=csrf)
            secrets.add(begun.json()["secret"])
        pair = up.http.post("/api/v1/auth/login", json={"username": "anna", "password": PASSWORD}).json()
        secrets |= {pair["access_token"], pair["refresh_token"]}
        body = {"refresh_token": pair["refresh_token"]}
        fresh = up.http.post("/api/v1/auth/refresh", json=body).json()
        secrets |= {fresh["access_token"], fresh["refresh_token"]}
        with up.client() as client:
            wrong = {"username": "anna", "password": "Wr0ng-passw0rd-typed"}
            answers.append(client.post("/api/v1/auth/login", json=wrong))
            answers.append(client.post("/api/v1/auth/login", json={**wrong, "totp": ["JBSWY3DPEHPK3PXP"]}))
            answers.append(client.post("/api/v1/auth/login", content=json.dumps(wrong)[:-3]))
            answers.append(client.post("/api/v1/auth/refresh", json=body))
            answers += [
                client.get("/api/v1/auth/me", headers={"Authorization": header})
                for header in (f"Bearer {pair['access_token']}x", f"Bearer {up.key}x", f"Basic {secret_key}")
            ]
            answers.append(client.get("/api/v1/nowhere", params={"token": "b0t:t0ken-in-a-query"}))
            answers.append(client.get("/ready"))
        answers.append(up.http.get("/api/v1/traffic/top/path", params={"api_key": "b0t:t0ken-in-a-query"}))
        answers.append(up.http.get("/api/v1/nowhere", params={"token": "b0t:t0ken-in-a-query"}))
        answers.append(up.http.get("/api/v1/audit"))
        answers.append(up.http.get("/api/v1/keys", params={"all": "true"}))
        answers.append(up.http.get("/metrics"))
        assert up.end() == 0
        said = "\n".join([*up.said, *up.complained])
    assert {401, 404, 422} <= {answer.status_code for answer in answers}
    outputs = {
        "output": said,
        **{str(path): path.read_text() for path in logs.iterdir()},
        "audit.jsonl": (folder / "audit.jsonl").read_text(),
        **{f"{answer.url.path} {answer.status_code}": answer.text for answer in answers},
    }
    assert len(outputs["audit.jsonl"].splitlines()) > 5
    found = [(name, secret) for name, text in outputs.items() for secret in secrets if secret in text]
    assert not found
    # What is kept is no secret either, but for what is encrypted.
    kept = b"".join(path.read_bytes() for path in folder.glob(f"{SQLITE_FILE}*"))
    assert kept
    assert not [secret for secret in secrets if secret.encode() in kept]
