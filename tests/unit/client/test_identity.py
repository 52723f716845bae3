"""What a client sends about who it is, against a small server that counts refreshes as the real one does."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from dozor.client import (
    Client,
    Forbidden,
    InMemoryTokens,
    KeptTokens,
    TooManyRequests,
    TotpRequired,
    Unauthorized,
)

ME = {"id": "p_1", "username": "anna", "kind": "person", "role": "viewer", "permissions": ["traffic.read"]}


class Server(httpx.BaseTransport):
    """Hands out tokens by number; a refresh token is good once, and its second use ends everything."""

    def __init__(self) -> None:
        self.logins = self.refreshes = 0
        self.dead = False
        self.seen: list[httpx.Request] = []
        self.csrf = "csrf-1"
        self.totp = ""
        self.expires_in = 1800
        self._good = ""
        self._spent: set[str] = set()
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.seen.append(request)
            path = request.url.path.removeprefix("/api/v1/auth/")
            if path == "login":
                return self._login(json.loads(request.content))
            if path == "refresh":
                return self._refresh(json.loads(request.content)["refresh_token"])
            return self._known(request)

    def revoke_access(self) -> None:
        """The access token is not good any more, such as after a new secret key."""
        self._good = "none"

    def _login(self, body: Mapping[str, Any]) -> httpx.Response:
        if self.totp and body.get("totp") != self.totp:
            return problem(401, "totp-required")
        self.logins += 1
        return self._pair()

    def _refresh(self, token: str) -> httpx.Response:
        if token in self._spent or self.dead:
            self.dead = True
            return problem(401, "token-reused")
        self._spent.add(token)
        self.refreshes += 1
        return self._pair()

    def _pair(self) -> httpx.Response:
        number = self.logins + self.refreshes
        self._good = f"access-{number}"
        pair = {"access_token": self._good, "refresh_token": f"refresh-{number}"}
        return httpx.Response(
            200, json={**pair, "token_type": "Bearer", "expires_in": self.expires_in, "refresh_expires_in": 9}
        )

    def _known(self, request: httpx.Request) -> httpx.Response:
        if "Cookie" in request.headers:
            if request.method != "GET" and request.headers.get("X-CSRF-Token") != self.csrf:
                return problem(403, "csrf")
            return httpx.Response(200, json={**ME, "csrf_token": self.csrf})
        if request.headers.get("Authorization") != f"Bearer {self._good}":
            return problem(401, "invalid-token")
        return httpx.Response(200, json=ME)


def problem(status: int, kind: str, **headers: str) -> httpx.Response:
    body = {
        "type": f"urn:dozor:problem:{kind}",
        "title": "No.",
        "status": status,
        "detail": "No.",
        "hint": "",
    }
    return httpx.Response(
        status, content=json.dumps(body), headers={"Content-Type": "application/problem+json", **headers}
    )


@pytest.fixture
def server() -> Server:
    return Server()


def test_a_token_is_sent_as_it_is_and_never_renewed(server: Server) -> None:
    with Client(token="dz_1_secret", transport=server) as client, pytest.raises(Unauthorized):
        client.access.me()
    assert [request.headers["Authorization"] for request in server.seen] == ["Bearer dz_1_secret"]


def test_name_and_password_sign_in_at_the_first_call_alone(server: Server) -> None:
    with Client(username="anna", password="secret", transport=server) as client:
        assert server.logins == 0
        assert client.access.me().username == "anna"
        client.access.me()
    assert (server.logins, server.refreshes) == (1, 0)


def test_tokens_are_renewed_before_they_end(server: Server) -> None:
    server.expires_in = 20  # less than the client likes to have left
    with Client(username="anna", password="secret", transport=server) as client:
        client.access.me()
        client.access.me()
    assert (server.logins, server.refreshes) == (1, 1)
    assert not server.dead


def test_a_refused_access_token_is_renewed_and_the_call_sent_again(server: Server) -> None:
    with Client(username="anna", password="secret", transport=server) as client:
        client.access.me()
        server.revoke_access()
        assert client.access.me().username == "anna"
    assert (server.logins, server.refreshes) == (1, 1)


def test_many_threads_refresh_once(server: Server) -> None:
    """A refresh token that is used twice ends the login."""
    with Client(username="anna", password="secret", transport=server) as client:
        client.access.me()
        server.revoke_access()
        with ThreadPoolExecutor(16) as pool:
            asked = list(pool.map(lambda _number: client.access.me().username, range(64)))
    assert asked == ["anna"] * 64
    assert not server.dead
    assert server.refreshes == 1


def test_two_clients_with_the_same_tokens_refresh_once(server: Server) -> None:
    keeper = InMemoryTokens()
    with Client(username="anna", password="secret", tokens=keeper, transport=server) as one:
        one.access.me()
        server.revoke_access()
        with Client(tokens=keeper, transport=server) as other:
            other.access.me()
            one.access.me()
    assert (server.logins, server.refreshes, server.dead) == (1, 1, False)


def test_an_ended_login_begins_anew_by_password(server: Server) -> None:
    with Client(username="anna", password="secret", transport=server) as client:
        client.access.me()
        server.dead = True
        server.revoke_access()
        server.dead = True
        assert client.access.me().username == "anna"
    assert server.logins == 2


def test_an_ended_login_without_a_password_says_how_to_sign_in(server: Server) -> None:
    keeper = InMemoryTokens()
    keeper.save(KeptTokens("access-0", "refresh-0", 0.0))
    server.dead = True
    with Client(tokens=keeper, transport=server) as client:
        with pytest.raises(Unauthorized):
            client.access.me()
        assert keeper.load() is None
        with pytest.raises(Unauthorized, match="dozor login"):
            client.access.me()


def test_a_missing_second_factor_has_an_error_of_its_own(server: Server) -> None:
    server.totp = "492039"
    with Client(username="anna", password="secret", transport=server) as client, pytest.raises(TotpRequired):
        client.access.me()
    with Client(username="anna", password="secret", totp="492039", transport=server) as client:
        assert client.access.me().username == "anna"


def test_a_code_is_sent_once(server: Server) -> None:
    server.totp = "492039"
    with Client(username="anna", password="secret", totp="492039", transport=server) as client:
        client.access.me()
        server.dead = True
        server.revoke_access()
        with pytest.raises(Unauthorized):
            client.access.me()
    logins = [json.loads(one.content) for one in server.seen if one.url.path.endswith("login")]
    assert [one.get("totp") for one in logins] == ["492039", None]


def test_cookies_bring_the_csrf_token_with_what_they_change(server: Server) -> None:
    with Client(cookies={"dozor_session": "s"}, transport=server) as client:
        client.access.me()
        client.access.change_me(language="ru")
        client.access.change_me(language="en")
    asked = [(one.method, one.headers.get("X-CSRF-Token")) for one in server.seen]
    assert asked == [("GET", None), ("GET", None), ("PATCH", "csrf-1"), ("PATCH", "csrf-1")]
    assert {one.headers["Cookie"] for one in server.seen} == {"dozor_session=s"}


def test_a_csrf_token_that_is_not_good_any_more_is_asked_for_once(server: Server) -> None:
    with Client(cookies={"dozor_session": "s"}, transport=server) as client:
        client.access.change_me(language="ru")
        server.csrf = "csrf-2"
        client.access.change_me(language="en")
    assert server.seen[-1].headers["X-CSRF-Token"] == "csrf-2"


def test_a_csrf_token_that_is_never_taken_ends_in_the_refusal() -> None:
    cookies = {"dozor_session": "s"}
    with Client(cookies=cookies, transport=Stubborn()) as client, pytest.raises(Forbidden):
        client.access.change_me(language="ru")


class Stubborn(httpx.BaseTransport):
    """Takes no CSRF token, not even its own."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={**ME, "csrf_token": "csrf"})
        return problem(403, "csrf")


def test_people_who_share_a_client_do_not_share_cookies() -> None:
    class Sets(httpx.BaseTransport):
        def __init__(self) -> None:
            self.cookies: list[str] = []

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.cookies.append(request.headers.get("Cookie", ""))
            return httpx.Response(200, json=ME, headers={"Set-Cookie": "dozor_session=stolen; Path=/"})

    transport = Sets()
    with Client("http://127.0.0.1:5000", transport=transport) as client:
        client.with_cookies({"dozor_session": "anna"}).access.me()
        client.with_cookies({"dozor_session": "boris"}).access.me()
        client.access.me()
    assert transport.cookies == ["dozor_session=anna", "dozor_session=boris", ""]


def test_too_many_calls_say_when_to_come_again() -> None:
    transport = httpx.MockTransport(
        lambda _request: problem(429, "too-many-attempts", **{"Retry-After": "840"})
    )
    with Client(transport=transport) as client, pytest.raises(TooManyRequests) as told:
        client.access.login("anna", "wrong")
    assert told.value.retry_after == 840
