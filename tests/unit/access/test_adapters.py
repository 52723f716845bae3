"""Password hashes, access tokens, one-time codes, sinks."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import socket
import stat
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
import jwt
import pyotp
import pytest

from dozor.features.access.adapters.codes_totp import TotpCodes
from dozor.features.access.adapters.passwords_bcrypt import BcryptPasswords, is_known_kind
from dozor.features.access.adapters.sinks import FileSink, JournalSink
from dozor.features.access.adapters.tokens_jwt import JwtAccessTokens
from dozor.features.access.core.chain import START, link
from dozor.features.access.core.lines import as_csv, as_json, csv_header
from dozor.features.access.model import Claims, Entry, Event, InvalidTokenError
from dozor.infra.keys import KeyRing
from dozor.kernel.errors import JobError, UnavailableError

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECOND = int(NOW.timestamp())
CLAIMS = Claims("p1", "s1", SECOND, SECOND + 1800)
OLD, NEW = "old " * 10 + "secret", "new " * 10 + "secret!"

SALT = "wZ0sPpVEiCWuMEhj"


def werkzeug_hash(password: str, rounds: str = ":1000") -> str:
    """What werkzeug.security.generate_password_hash gives for `pbkdf2:sha256`, computed by its definition."""
    count = int(rounds[1:]) if rounds else 150_000
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), SALT.encode(), count).hex()
    return f"pbkdf2:sha256{rounds}${SALT}${made}"


passwords = BcryptPasswords(4)


@pytest.mark.parametrize("password", ["short one", "п" * 200, "a" * 1024, "zero \0 behind", "\ud800"])
def test_a_password_counts_whole_whatever_its_length(password: str) -> None:
    hashed = passwords.hash(password)
    assert passwords.check(password, hashed)
    assert not passwords.check(password + "x", hashed)
    assert not passwords.check(password[:-1], hashed)
    assert password not in hashed


def test_the_same_letters_typed_otherwise_are_the_same_password() -> None:
    assert passwords.check("cafe\u0301 noir", passwords.hash("caf\u00e9 noir"))


@pytest.mark.parametrize("rounds", [":1000", ":600000", ""])
def test_hashes_of_the_earlier_system_are_accepted_and_dated(rounds: str) -> None:
    hashed = werkzeug_hash("сим-сим 123", rounds)
    assert is_known_kind(hashed)
    assert passwords.check("сим-сим 123", hashed)
    assert not passwords.check("сим-сим 124", hashed)
    assert passwords.is_dated(hashed)


def test_plain_bcrypt_is_accepted_up_to_what_it_looks_at() -> None:
    hashed = bcrypt.hashpw(b"a" * 72, bcrypt.gensalt(4)).decode()
    assert passwords.check("a" * 72, hashed)
    assert not passwords.check("a" * 73, hashed)
    assert passwords.is_dated(hashed)


def test_fewer_rounds_than_now_are_dated() -> None:
    hashed = passwords.hash("some password")
    assert not passwords.is_dated(hashed)
    assert BcryptPasswords(5).is_dated(hashed)


@pytest.mark.parametrize(
    "hashed", ["", "plain", "pbkdf2:md5:1$a$b", "pbkdf2:sha256:99999999$a$" + "0" * 64, "$2b$04$x"]
)
def test_an_unknown_kind_of_hash_fits_nothing(hashed: str) -> None:
    assert not passwords.check("", hashed)
    assert not passwords.check(hashed, hashed)


def tokens(*secrets: str) -> JwtAccessTokens:
    ring = KeyRing(secrets[0], secrets[1:])
    return JwtAccessTokens(lambda: ring.derived("jwt"))


def test_an_access_token_is_read_as_it_was_issued() -> None:
    token = tokens(NEW).issue(CLAIMS)
    assert tokens(NEW).read(token, NOW) == CLAIMS
    header = jwt.get_unverified_header(token)
    assert (header["alg"], len(header["kid"])) == ("HS256", 16)
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == "dozor"


def test_a_token_of_a_former_key_holds_until_that_is_dropped() -> None:
    token = tokens(OLD).issue(CLAIMS)
    assert tokens(NEW, OLD).read(token, NOW) == CLAIMS
    with pytest.raises(InvalidTokenError):
        tokens(NEW).read(token, NOW)


def forged(key: bytes = b"", header: Mapping[str, Any] | None = None, alg: str = "HS256", **body: Any) -> str:
    kid, real = next(iter(KeyRing(NEW).derived("jwt").items()))
    facts = {"iss": "dozor", "aud": "dozor", "sub": "p1", "sid": "s1", "iat": SECOND, "exp": SECOND + 1800}
    facts = {name: value for name, value in (facts | body).items() if value is not None}
    signing = None if alg == "none" else key or real
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a key of 32 bytes is short for HS512
        return jwt.encode(
            facts,
            signing,  # type: ignore[arg-type]  # None is for "none"
            algorithm=alg,
            headers={"kid": kid, **(header or {})},
        )


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "дозор",
        forged(b"another key of at least 32 bytes, or so"),
        forged(alg="none"),
        forged(alg="HS512"),
        forged(aud="other"),
        forged(aud=None),
        forged(iss="other"),
        forged(iss=None),
        forged(exp=SECOND),
        forged(exp=None),
        forged(iat=SECOND + 61),
        forged(exp="soon"),
        forged(sid=None),
        forged(sub=None),
        forged(header={"kid": "0" * 16}),
        forged(header={"kid": "../../etc/passwd"}),
        forged()[:-2],
        forged()[:-4] + "AAAA",
    ],
)
def test_a_token_that_is_not_ours_and_whole_is_refused(token: str) -> None:
    with pytest.raises(InvalidTokenError):
        tokens(NEW).read(token, NOW)


def test_the_forger_of_these_tests_makes_good_tokens_too() -> None:
    assert tokens(NEW).read(forged(), NOW) == CLAIMS


def test_codes_are_those_of_rfc_6238() -> None:
    codes = TotpCodes()
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    at = datetime.fromtimestamp(1111111109, UTC)
    assert codes.step(secret, "081804", at) == 1111111109 // 30
    assert codes.step(secret, "081804", at + timedelta(seconds=30)) == 1111111109 // 30
    assert codes.step(secret, "081804", at - timedelta(seconds=30)) == 1111111109 // 30
    for wrong in ("081805", "81804", "", "abcdef", "٠٨١٨٠٤"):
        assert codes.step(secret, wrong, at) is None
    assert codes.step(secret, "081804", at + timedelta(seconds=90)) is None


def test_an_app_can_read_the_picture_of_a_secret() -> None:
    codes = TotpCodes()
    secret = codes.secret()
    uri = codes.uri(secret, "anna@example.org")
    parsed = pyotp.parse_uri(uri)
    assert (parsed.secret, parsed.issuer, parsed.name) == (secret, "Dozor", "anna@example.org")
    assert len(secret) == 32
    picture = codes.qr(uri)
    assert picture.startswith("<svg")
    assert "script" not in picture


RECORD = link(
    Entry(
        Event.PERMISSION_DENIED, "GET /api/v1/people", "refused", actor="=cmd|' /C calc'!A0",
        agent="Б\n\x1b[31m", address="203.0.113.9", details={"permission": "people.read"},
    ),
    NOW, 1, START,
)  # fmt: skip


def test_a_record_is_one_line_of_json_or_csv() -> None:
    line = as_json(RECORD)
    assert line.isascii()
    assert "\n" not in line
    told = json.loads(line)
    assert told["event"] == "permission_denied"
    assert told["details"] == {"permission": "people.read"}
    assert told["hash"] == RECORD.hash
    rows = list(csv.DictReader(io.StringIO(csv_header() + as_csv(RECORD), newline="")))
    assert rows[0]["actor"] == "'=cmd|' /C calc'!A0"
    assert rows[0]["at"] == "2026-11-25T12:00:00.000000Z"


def test_the_file_gets_a_line_per_record_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path)
    sink.write(RECORD)
    sink.write(replace(RECORD, number=2))
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [1, 2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(JobError, match="cannot be written"):
        FileSink(tmp_path / "none" / "audit.jsonl").write(RECORD)


def test_the_journal_gets_fields_that_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        JournalSink(path).write(RECORD)
        data = journal.recv(65536)
    fields: dict[str, str] = {}
    while data:
        name, _newline, rest = data.partition(b"\n")
        size = int.from_bytes(rest[:8], "little")
        fields[name.decode()] = rest[8 : 8 + size].decode()
        data = rest[9 + size :]
    assert fields["SYSLOG_IDENTIFIER"] == "dozor-audit"
    assert fields["PRIORITY"] == "4"
    assert fields["DOZOR_EVENT"] == "permission_denied"
    assert json.loads(fields["MESSAGE"])["number"] == 1
    with pytest.raises(UnavailableError):
        JournalSink(tmp_path / "none").write(RECORD)
