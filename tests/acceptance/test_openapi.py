"""Schemathesis reads our OpenAPI document and tries what it allows and what it does not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.running import OWNER, PASSWORD, Running, make_key, make_owner, running

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
SETTINGS = Path(__file__).with_name("schemathesis.toml")
ENDING_ITSELF = ("auth_logout", "auth_session_end", "auth_password")
"""Calls after which the one who asks would be a stranger."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("openapi")
    make_owner(folder)
    with running("--data-dir", folder) as process:
        process.ready()
        yield process


@pytest.fixture(scope="module")
def document(up: Running) -> bytes:
    return up.http.get("/api/v1/openapi.json").content  # before the key that asks may be revoked


def tried(up: Running, document: bytes, folder: Path, token: str, *options: str) -> int:
    """Let it try; gives the number of calls that it made. All of its checks must hold."""
    path = folder / "openapi.json"
    path.write_bytes(document)
    signed = ["--header", f"Authorization: Bearer {token}"] if token else []
    done = subprocess.run(
        [
            *(SCHEMATHESIS, "--config-file", SETTINGS, "run", path, "--url", up.base),
            *("--checks", "all", "--no-color", "--seed", "7", "--continue-on-failure", *signed, *options),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
    (count,) = re.findall(r"(\d+) generated", done.stdout)
    assert up.http.get("/health").status_code == 200
    assert not [line for line in up.complained if "mistake" in line], up
    return int(count)


def owners_token(up: Running) -> str:
    """An access token of the owner."""
    typed = {"username": OWNER, "password": PASSWORD}
    return str(httpx.post(f"{up.base}/api/v1/auth/login", json=typed).json()["access_token"])


QUICK = ("--phases", "examples,fuzzing", "--max-examples", "5")
WIDE = ("--max-examples", "100")
STAYING = tuple(word for name in ENDING_ITSELF for word in ("--exclude-operation-id", name))


def test_what_the_document_says_is_so_for_the_owner(up: Running, document: bytes, tmp_path: Path) -> None:
    assert tried(up, document, tmp_path, owners_token(up), *QUICK, *STAYING) > 200


def test_what_the_document_says_is_so_for_strangers(up: Running, document: bytes, tmp_path: Path) -> None:
    assert tried(up, document, tmp_path, "", *QUICK) > 200


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_thousand_examples_of_the_owner_break_nothing(
    up: Running, document: bytes, tmp_path: Path
) -> None:
    assert tried(up, document, tmp_path, owners_token(up), *WIDE, *STAYING) > 2000


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_thousand_examples_of_a_key_break_nothing(up: Running, document: bytes, tmp_path: Path) -> None:
    assert tried(up, document, tmp_path, make_key(up.folder), *WIDE) > 2000


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_thousand_examples_of_strangers_break_nothing(
    up: Running, document: bytes, tmp_path: Path
) -> None:
    assert tried(up, document, tmp_path, "", *WIDE) > 2000
