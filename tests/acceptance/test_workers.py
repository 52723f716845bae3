"""Two processes upon one PostgreSQL and one Valkey know the same people, and count together."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.running import OWNER, PASSWORD, Running, make_owner, running, until
from tests.servers import postgres_url, valkey_url

LOGIN = "/api/v1/auth/login"
ME = "/api/v1/auth/me"


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    shared = {
        "DATABASE_URL": postgres_url(),
        "REDIS_URL": valkey_url(),
        "CACHE_KEY_PREFIX": "workers:",
        "SECRET_KEY": "one secret for all of them, made up for this test",
    }
    one, other = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("other")
    make_owner(one, **shared)
    lifted = {"DOZOR_LIMITS__ENABLED": "true", "DOZOR_LIMITS__DEFAULT": "10000/minute"}
    with (
        running("--data-dir", one, **shared, **lifted) as first,
        running("--data-dir", other, **shared, **lifted) as second,
    ):
        first.ready()
        second.ready()
        yield first, second


def test_a_session_that_one_of_them_ends_is_dead_in_the_other_within_five_seconds(
    workers: tuple[Running, Running],
) -> None:
    first, second = workers
    typed = {"username": OWNER, "password": PASSWORD}
    with first.client() as client:
        tokens = client.post(LOGIN, json=typed).json()
    signed = {"Authorization": f"Bearer {tokens['access_token']}"}
    for worker in workers:
        with worker.client(**signed) as client:
            assert client.get(ME).status_code == 200
    with first.visitor() as visitor, second.client() as page:
        page.cookies = visitor.cookies
        assert page.get(ME).status_code == 200
        with first.client(**signed) as client:
            assert client.delete("/api/v1/auth/sessions").status_code == 204  # all but this one
            assert client.post("/api/v1/auth/logout").status_code == 204
            assert client.get(ME).status_code == 401
        ended = time.monotonic()
        with second.client(**signed) as client:
            until(lambda: client.get(ME).status_code == 401, "the end of the session", patience=5)
        until(lambda: page.get(ME).status_code == 401, "the end of the console's session", patience=5)
        assert time.monotonic() - ended < 5


def test_failed_logins_at_both_count_together(workers: tuple[Running, Running]) -> None:
    first, second = workers
    with first.client() as one, second.client() as other:
        for client in (one, other, one, other, one):
            assert failed(client).status_code == 401
        for client in (one, other):
            answer = failed(client)
            assert answer.status_code == 429
            assert 0 < int(answer.headers["Retry-After"]) <= 900
            right = client.post(LOGIN, json={"username": OWNER, "password": PASSWORD})
            assert (right.status_code, right.json()["detail"]) == (429, answer.json()["detail"])


def failed(client: httpx.Client) -> httpx.Response:
    return client.post(LOGIN, json={"username": OWNER, "password": "wrong"})
