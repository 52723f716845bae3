"""`dozor login`, `whoami` and `logout` against a real `dozor up`, and a client whose tokens are refreshed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyotp
import pytest

from dozor.client import Client, KeptTokens, TokenFile, Unauthorized
from tests.acceptance.running import DOZOR, OWNER, PASSWORD, Running, make_owner, running


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("state")
    make_owner(folder)
    with running("--data-dir", folder) as process:
        process.ready()
        yield process


def dozor(home: Path, *words: str, typed: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DOZOR, *words],
        env={**os.environ, "XDG_CONFIG_HOME": str(home), **environ},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def sign_in(home: Path, up: Running) -> subprocess.CompletedProcess[str]:
    words = ("login", up.base, "--username", OWNER, "--password-stdin")
    return dozor(home, *words, typed=f"{PASSWORD}\n")


def test_tokens_are_kept_where_only_their_owner_reads_them(up: Running, tmp_path: Path) -> None:
    done = sign_in(tmp_path, up)
    assert (done.returncode, done.stdout) == (0, f"Signed in to {up.base} as {OWNER}.\n"), done.stderr
    kept = tmp_path / "dozor" / "tokens.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert PASSWORD not in kept.read_text()

    told = dozor(tmp_path, "whoami", up.base)
    assert told.stdout.splitlines()[0] == f"{OWNER} (person) at {up.base}"
    me = json.loads(dozor(tmp_path, "whoami", "--json", DOZOR_URL=up.base).stdout)
    assert (me["username"], me["role"], me["url"]) == (OWNER, "admin", up.base)
    assert "csrf_token" not in me

    assert dozor(tmp_path, "logout", up.base).stdout == f"Signed out of {up.base}.\n"
    after = dozor(tmp_path, "whoami", up.base)
    assert (after.returncode, after.stderr) == (1, "dozor: Nobody is signed in. Sign in with: dozor login\n")
    assert dozor(tmp_path, "logout", up.base).stdout == f"Nobody is signed in to {up.base}.\n"


def test_the_tokens_of_a_login_that_was_ended_are_void(up: Running, tmp_path: Path) -> None:
    sign_in(tmp_path, up)
    stolen = (tmp_path / "dozor" / "tokens.json").read_text()
    dozor(tmp_path, "logout", up.base)
    (tmp_path / "dozor" / "tokens.json").write_text(stolen)
    (tmp_path / "dozor" / "tokens.json").chmod(0o600)
    assert dozor(tmp_path, "whoami", up.base).returncode == 1


def test_a_wrong_password_keeps_nothing(up: Running, tmp_path: Path) -> None:
    words = ("login", up.base, "--username", OWNER, "--password-stdin")
    done = dozor(tmp_path, *words, typed="nonsense\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("dozor: The name, the password or the code is wrong.")
    assert not (tmp_path / "dozor" / "tokens.json").exists()


def test_a_key_of_the_environment_needs_no_login(up: Running, tmp_path: Path) -> None:
    told = dozor(tmp_path, "whoami", up.base, DOZOR_API_KEY=up.key)
    assert "(API key)" in told.stdout


def test_tokens_that_others_may_read_are_refused(up: Running, tmp_path: Path) -> None:
    sign_in(tmp_path, up)
    (tmp_path / "dozor" / "tokens.json").chmod(0o644)
    done = dozor(tmp_path, "whoami", up.base)
    assert done.returncode == 1
    assert "chmod 600" in done.stderr


def test_a_server_that_is_away_and_an_address_that_is_none_are_told(tmp_path: Path) -> None:
    done = dozor(tmp_path, "login", "ftp://x", "--username", "a", "--password-stdin", typed="b\n")
    assert done.returncode == 2
    assert "is no address of a server" in done.stderr
    done = dozor(tmp_path, "login", "http://127.0.0.1:9", "--username", "a", "--password-stdin", typed="b\n")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr


def test_processes_with_the_same_tokens_refresh_them_once(up: Running, tmp_path: Path) -> None:
    """A refresh token that comes twice would end the login of all of them."""
    sign_in(tmp_path, up)
    keeper = TokenFile(tmp_path / "dozor" / "tokens.json", up.base)
    tokens = keeper.load()
    assert tokens is not None
    keeper.save(KeptTokens(tokens.access_token, tokens.refresh_token, 0.0, tokens.username))  # it has ended
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda _number: dozor(tmp_path, "whoami", up.base), range(4)))
    assert [end.returncode for end in ends] == [0] * 4, [end.stderr for end in ends]
    renewed = keeper.load()
    assert renewed is not None
    assert renewed.refresh_token != tokens.refresh_token


def test_a_client_goes_on_after_its_access_token_is_refused(up: Running) -> None:
    with Client(up.base, username=OWNER, password=PASSWORD) as client:
        first = client.access.me().session_id
        tokens = client.access.login(OWNER, PASSWORD)
        assert tokens.token_type == "Bearer"
        with Client(up.base, token=f"{tokens.access_token}x") as forged, pytest.raises(Unauthorized):
            forged.access.me()
        assert client.access.me().session_id == first


def test_the_second_factor_is_given_as_a_word(up: Running, tmp_path: Path) -> None:
    with Client(up.base, username=OWNER, password=PASSWORD) as client:
        secret = client.access.begin_totp().secret
        codes = client.access.confirm_totp(pyotp.TOTP(secret).now())
        try:
            words = ("login", up.base, "--username", OWNER, "--password-stdin")
            without = dozor(tmp_path, *words, typed=f"{PASSWORD}\n")
            assert without.returncode == 1
            assert "Give it, or a recovery code, with --totp." in without.stderr
            code = pyotp.TOTP(secret).at(int(time.time()) + 30)
            assert dozor(tmp_path, *words, "--totp", code, typed=f"{PASSWORD}\n").returncode == 0
            assert "9 recovery" not in dozor(tmp_path, "whoami", up.base).stdout
            assert dozor(tmp_path, *words, "--totp", codes[0], typed=f"{PASSWORD}\n").returncode == 0
            assert "on, 9 recovery codes left" in dozor(tmp_path, "whoami", up.base).stdout
        finally:
            client.access.remove_totp(PASSWORD)
