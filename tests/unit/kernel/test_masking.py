from __future__ import annotations

import string
import time
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dozor.kernel.masking import MASK, hide, mask, mask_value, names_secret

BASE64URL = string.ascii_letters + string.digits + "-_"
SURROUNDINGS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)


def token(length: int, alphabet: str = BASE64URL) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=length, max_size=length)


SECRETS = {
    "telegram": st.tuples(st.integers(10**7, 10**10 - 1), token(33)).map(
        lambda t: (f"{t[0]}:AA{t[1]}", t[1])
    ),
    "jwt": st.tuples(token(12), token(20), token(30)).map(lambda t: (f"eyJ{t[0]}.eyJ{t[1]}.{t[2]}", t[2])),
    "aws": token(16, string.ascii_uppercase + string.digits).map(lambda key: (f"AKIA{key}", key)),
    "github": token(36, string.ascii_letters + string.digits).map(lambda key: (f"ghp_{key}", key)),
    "openai": token(40).map(lambda key: (f"sk-{key}", key)),
    "query": token(20).map(lambda key: (f"?token={key}&x=1", key)),
    "api key": token(20).map(lambda key: (f"&api_key={key}", key)),
    "json": token(20).map(lambda key: (f'{{"password": "{key}"}}', key)),
    "url": token(20).map(lambda key: (f"postgresql://user:{key}@db:5432/x", key)),
    "bearer header": token(20).map(lambda key: (f" Bearer {key} ", key)),
    "authorization": token(20).map(lambda key: (f"\nAuthorization: Digest response={key}\r\n", key)),
    "cookie": token(20).map(lambda key: (f"Cookie: lang=ru; anything={key}", key)),
    "set-cookie": token(20).map(lambda key: (f"Set-Cookie: anything={key}; Path=/", key)),
    "vault": token(30, string.ascii_letters + string.digits).map(lambda key: (f"hvs.{key}", key)),
    "bcrypt": token(53, string.ascii_letters + string.digits + "./").map(lambda key: (f"$2b$12${key}", key)),
    "pbkdf2": token(64, "0123456789abcdef").map(lambda key: (f"pbkdf2:sha256:600000$salt${key}", key)),
    "key of ours": token(43).map(lambda key: (f"dz_0123456789ab_{key}", key)),
    "token of ours": token(43).map(lambda key: (f"dzr_{key}", key)),
    "second factor": token(32, string.ascii_uppercase + "234567").map(
        lambda key: (f"otpauth://totp/Dozor:ann?secret={key}&issuer=Dozor", key)
    ),
    "private key": token(64).map(
        lambda key: (f"-----BEGIN RSA PRIVATE KEY-----\n{key}\n-----END RSA PRIVATE KEY-----", key)
    ),
}


@pytest.mark.parametrize("kind", SECRETS)
@given(before=SURROUNDINGS, after=SURROUNDINGS, data=st.data())
def test_no_secret_survives_whatever_stands_around_it(
    kind: str, before: str, after: str, data: st.DataObject
) -> None:
    text, secret = data.draw(SECRETS[kind])
    assume(secret not in before + after)
    assert secret not in mask(f"{before}{text} {after}")


@pytest.mark.parametrize(
    "text",
    [
        '203.0.113.9 - - [22/Nov/2026:10:00:00 +0000] "GET /?page=2 HTTP/1.1" 200 512 "-" "curl/8.5"',
        "Used 1204 tokens: 1000 in the prompt, 204 in the answer.",
        "Listening on http://127.0.0.1:5000/path@2x and ssh://git@example.org/repo",
        "The token has expired at 12:04:33.",
        "Public keys: 3 found",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("bot 123456789:AAE4567890abcdefghijklmnopqrstuvwx", f"bot 123456789:{MASK}"),
        ("redis://admin:p@ss:w0rd@cache:6379/0", f"redis://admin:{MASK}@cache:6379/0"),
        ("password='two words' next", f"password={MASK} next"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", MASK),
    ],
)
def test_what_is_no_secret_stays_readable(text: str, masked: str) -> None:
    assert mask(text) == masked


@given(SURROUNDINGS)
def test_masking_twice_changes_nothing_more(text: str) -> None:
    once = mask(f"{text} token={text} https://u:{text}@h")
    assert mask(once) == once


@pytest.mark.parametrize(
    "unit", ["a", "1", "://", "token", "eyJ", "Basic ", "A_", "://a:", "1:", "-----BEGIN "]
)
def test_a_long_line_costs_no_more_than_its_length(unit: str) -> None:
    started = time.process_time()
    mask(unit * (100_000 // len(unit)))
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "BOT_TOKEN",
        "apiKey",
        "api_key",
        "X-Api-Key",
        "secretValue",
        "db-password",
        "Authorization",
        "key",
    ],
)
def test_fields_that_hold_secrets_are_known_by_name(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize("name", ["path", "tokens", "keyboard", "monkey", "public_key", "author", "status"])
def test_other_fields_are_left_alone(name: str) -> None:
    assert not names_secret(name)


@dataclass
class Account:
    name: str
    password: str


def test_structures_are_masked_by_name_at_any_depth() -> None:
    value = {
        "user": "ann",
        "login": [{"password": 12345, "tries": 3}],
        "account": Account("bob", "hunter2"),
        "note": "token=abcdef",
        "up": True,
    }
    assert mask_value(value) == {
        "user": "ann",
        "login": [{"password": MASK, "tries": 3}],
        "account": {"name": "bob", "password": MASK},
        "note": f"token={MASK}",
        "up": True,
    }


def test_a_known_secret_is_hidden_wherever_it_stands_and_a_short_one_is_not() -> None:
    hide("correct horse battery")
    hide("correct horse battery staple")
    hide("horse")
    assert mask("It is (correct horse battery staple), correct horse battery.") == "It is (***), ***."
    assert mask("A horse.") == "A horse."


def test_a_key_keeps_the_part_that_names_it() -> None:
    assert mask(f"Key dz_0123456789ab_{'x' * 43} was used.") == "Key dz_0123456789ab_*** was used."
