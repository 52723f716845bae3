"""Signing in over HTTP, stolen tokens, cookies, limits, addresses: the door as those see it who come."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import httpx
import jwt
import pytest

from dozor.features.access.adapters.store_memory import InMemoryAccessStore
from dozor.features.access.model import AuditFilter
from dozor.kernel.errors import UnavailableError
from tests.contract.access.site import CONSOLE_SECRET, LIFTED, Site, sign_in, visit
from tests.unit.access.world import HOME, PASSWORD, World

LOGIN = "/api/v1/auth/login"
ME = "/api/v1/auth/me"
REFRESH = "/api/v1/auth/refresh"


def kind(answer: httpx.Response) -> str:
    """The last part of a problem's type."""
    return str(answer.json()["type"]).rpartition(":")[2]


def cookies_of(answer: httpx.Response) -> SimpleCookie:
    """What an answer sets."""
    jar = SimpleCookie()
    for line in answer.headers.get_list("set-cookie"):
        jar.load(line)
    return jar


def forged(token: str, *, key: str | bytes = "", algorithm: str = "HS256", **claims: Any) -> str:
    """A token like this one, but signed by another key and with other claims."""
    told = jwt.decode(token, options={"verify_signature": False})
    headers = {"kid": jwt.get_unverified_header(token)["kid"]}
    secret = key or "another key that is long enough to be one"
    return jwt.encode(told | claims, secret, algorithm=algorithm, headers=headers)


# Stolen and forged tokens


def test_a_refresh_token_that_comes_twice_ends_its_whole_session_and_raises_a_finding() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client(address="198.51.100.7") as client:
            first = await sign_in(client)
            second = (await client.post(REFRESH, json={"refresh_token": first["refresh_token"]})).json()
            assert second["refresh_token"] != first["refresh_token"]
            good = {"Authorization": f"Bearer {second['access_token']}"}
            assert (await client.get(ME, headers=good)).status_code == 200
        async with site.client(address="203.0.113.66") as thief:
            reused = await thief.post(REFRESH, json={"refresh_token": first["refresh_token"]})
            assert (reused.status_code, kind(reused)) == (401, "token-reused")
        async with site.client() as client:
            assert (await client.get(ME, headers=good)).status_code == 401
            late = await client.post(REFRESH, json={"refresh_token": second["refresh_token"]})
            assert (late.status_code, kind(late)) == (401, "invalid-token")
        (finding,) = site.world.findings
        assert (finding.kind, finding.labels["address"]) == ("access.token_reuse", "203.0.113.66")
        assert (await site.world.audit(event="token_reuse"))[0].entry.address == "203.0.113.66"

    visit(story)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_token_that_is_not_ours_is_refused() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client() as client:
            token = (await sign_in(client))["access_token"]
            ours = site.world.keys.derive("jwt")
            head, body, signature = token.split(".")
            claims = json.loads(base64.urlsafe_b64decode(body + "=="))
            wider = base64.urlsafe_b64encode(json.dumps(claims | {"sub": "x"}).encode()).rstrip(b"=").decode()
            nothing = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
            bad = {
                "tampered body": f"{head}.{wider}.{signature}",
                "tampered signature": f"{head}.{body}.{signature[:-2]}AA",
                "no signature": f"{head}.{body}.",
                "alg none": f"{nothing}.{body}.",
                "another key": forged(token),
                "another algorithm": forged(token, key=ours, algorithm="HS512"),
                "another audience": forged(token, key=ours, aud="others"),
                "another issuer": forged(token, key=ours, iss="others"),
                "another person": forged(token, key=ours, sub="0123456789abcdef"),
                "another session": forged(token, key=ours, sid="0123456789abcdef"),
                "expired": forged(token, key=ours, exp=claims["iat"] - 1),
                "not yet": forged(token, key=ours, iat=claims["exp"] + 900, exp=claims["exp"] + 1000),
                "refresh token": (await sign_in(client))["refresh_token"],
                "nothing": "",
                "long": "a" * 100_000,
            }
            for what, sent in bad.items():
                answer = await client.get(ME, headers={"Authorization": f"Bearer {sent}"})
                assert answer.status_code == 401, what
                assert kind(answer) == "invalid-token", what
                assert 'error="invalid_token"' in answer.headers["www-authenticate"], what
            assert (await client.get(ME, headers={"Authorization": f"bearer {token}"})).status_code == 200
            site.world.clock.pass_(minutes=31)
            assert (await client.get(ME, headers={"Authorization": f"Bearer {token}"})).status_code == 401

    visit(story)


def test_a_bad_header_is_not_saved_by_a_good_cookie() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client() as client:
            await sign_in(client, cookies="true")
            assert (await client.get(ME)).status_code == 200
            assert (await client.get(ME, headers={"Authorization": "Bearer x"})).status_code == 401

    visit(story)


def test_a_revoked_session_and_a_revoked_key_are_dead_at_once() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client() as client:
            tokens = await sign_in(client)
            other = await sign_in(client)
            client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
            made = (await client.post("/api/v1/keys", json={"name": "a", "role": "viewer"})).json()
            as_other = {"Authorization": f"Bearer {other['access_token']}"}
            as_key = {"Authorization": f"Bearer {made['key']}"}
            for headers in (as_other, as_key):
                assert (await client.get(ME, headers=headers)).status_code == 200
            mine = (await client.get("/api/v1/auth/sessions")).json()["items"]
            (ended,) = [session["id"] for session in mine if not session["current"]]
            assert (await client.delete(f"/api/v1/auth/sessions/{ended}")).status_code == 204
            assert (await client.delete(f"/api/v1/keys/{made['id']}")).status_code == 204
            for headers in (as_other, as_key):
                assert (await client.get(ME, headers=headers)).status_code == 401
            assert (await client.post("/api/v1/auth/logout")).status_code == 204
            assert (await client.get(ME)).status_code == 401

    visit(story)


# Cookies


def test_cookies_sign_in_and_a_write_needs_the_token_of_the_page() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client() as client:
            answer = await client.post(
                LOGIN, params={"cookies": "true"}, json={"username": "anna", "password": PASSWORD}
            )
            told = answer.json()
            assert set(told) == {"csrf_token", "expires_in"}
            jar = cookies_of(answer)
            assert set(jar) == {"dozor_access", "dozor_refresh", "dozor_csrf"}
            for name, morsel in jar.items():
                assert morsel["samesite"] == "lax"
                assert bool(morsel["httponly"]) == (name != "dozor_csrf")
                assert not morsel["secure"]  # plain HTTP on loopback
                assert morsel["path"] == ("/api/v1/auth" if name == "dozor_refresh" else "/")
            me = (await client.get(ME)).json()
            assert me["csrf_token"] == told["csrf_token"] == jar["dozor_csrf"].value

            change = {"display_name": "Anna"}
            for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x.y"}, {"X-CSRF-Token": "é"}):
                refused = await client.request(
                    "PATCH", ME, json=change, headers=[(n.encode(), v.encode()) for n, v in headers.items()]
                )
                assert (refused.status_code, kind(refused)) == (403, "csrf"), headers
            good = {"X-CSRF-Token": told["csrf_token"]}
            assert (await client.patch(ME, json=change, headers=good)).json()["display_name"] == "Anna"

            refused = await client.post(REFRESH)
            assert (refused.status_code, kind(refused)) == (403, "csrf")
            renewed = await client.post(REFRESH, headers=good)
            assert renewed.status_code == 200, renewed.text
            assert (await client.get(ME)).status_code == 200
            assert (await client.post("/api/v1/auth/logout")).status_code == 403
            gone = await client.post("/api/v1/auth/logout", headers=good)
            assert gone.status_code == 204
            assert all(morsel["max-age"] == "0" for morsel in cookies_of(gone).values())
            assert (await client.get(ME)).status_code == 401

    visit(story)


def test_the_token_of_one_session_is_none_of_another() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client() as one, site.client() as other:
            await sign_in(one, console="true")
            told = await sign_in(other, cookies="true")
            headers = {"X-CSRF-Token": told["csrf_token"]}
            assert (await one.patch(ME, json={}, headers=headers)).status_code == 403
            assert (await other.patch(ME, json={}, headers=headers)).status_code == 200

    visit(story)


def test_cookies_are_secure_wherever_others_could_listen() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        body = {"username": "anna", "password": PASSWORD}
        cases = [
            ("http://dozor.example.com", "10.0.0.1", {"X-Forwarded-Proto": "https"}),
            ("http://dozor.example.com", "10.0.0.1", {}),
            ("http://127.0.0.1:5000", "10.0.0.1", {"X-Forwarded-Proto": "https"}),
            ("https://dozor.example.com", "203.0.113.9", {}),
        ]
        for base, address, headers in cases:
            async with site.client(base=base, address=address) as client:
                answer = await client.post(LOGIN, params={"cookies": "true"}, json=body, headers=headers)
                jar = cookies_of(answer)
                assert set(jar) == {"__Host-dozor_access", "__Secure-dozor_refresh", "__Host-dozor_csrf"}
                assert all(morsel["secure"] for morsel in jar.values()), base
                plain = {"Cookie": f"dozor_access={jar['__Host-dozor_access'].value}"}
                fixed = {"Cookie": f"__Host-dozor_access={jar['__Host-dozor_access'].value}"}
                assert (await client.get(ME, headers=headers | plain)).status_code == 401
                assert (await client.get(ME, headers=headers | fixed)).status_code == 200

    visit(story, door={"host_names": ["dozor.example.com"], "trusted_proxies": ["10.0.0.0/8"]})


# Signing in


def test_the_sixth_login_after_five_failures_is_refused_and_gives_nothing_away() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client(address="203.0.113.9") as client:
            for _time in range(5):
                answer = await client.post(LOGIN, json={"username": "anna", "password": "wrong"})
                assert (answer.status_code, kind(answer)) == (401, "invalid-credentials")
            told = []
            for password in ("wrong", PASSWORD):
                answer = await client.post(LOGIN, json={"username": "anna", "password": password})
                assert (answer.status_code, kind(answer)) == (429, "too-many-attempts")
                assert 0 < int(answer.headers["retry-after"]) <= 900
                assert answer.json()["retry_after"] == int(answer.headers["retry-after"])
                told.append(answer.json())
            assert told[0]["detail"] == told[1]["detail"]
        async with site.client(address="198.51.100.7") as elsewhere:
            answer = await elsewhere.post(LOGIN, json={"username": "anna", "password": PASSWORD})
            assert answer.status_code == 429  # the account is locked as well
        async with site.client(await site.key()) as admin:
            person = (await admin.get("/api/v1/people")).json()["items"][0]
            assert person["locked"] is True
            assert (await admin.post(f"/api/v1/people/{person['id']}/unlock")).status_code == 204
        async with site.client(address="198.51.100.7") as elsewhere:
            await sign_in(elsewhere)

    visit(story)


def test_an_unknown_name_and_a_wrong_password_get_the_same_words() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client() as client:
            answers = [
                await client.post(LOGIN, json={"username": name, "password": "wrong"})
                for name in ("anna", "nobody", "", "\x00", "a" * 1000)
            ]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.text for answer in answers}) == 1

    visit(story)


def test_successful_logins_do_not_count() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client(address="203.0.113.9") as client:
            for _time in range(8):
                await sign_in(client)

    visit(story)


def test_a_second_factor_is_asked_for_after_the_right_password_alone() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        secret, codes = await site.world.with_totp()
        async with site.client() as client:
            body = {"username": "anna", "password": PASSWORD}
            answer = await client.post(LOGIN, json=body)
            assert (answer.status_code, kind(answer)) == (401, "totp-required")
            answer = await client.post(LOGIN, json={"username": "anna", "password": "wrong"})
            assert kind(answer) == "invalid-credentials"
            answer = await client.post(LOGIN, json={**body, "totp": "000000"})
            assert kind(answer) == "invalid-credentials"
            answer = await client.post(LOGIN, json={**body, "totp": site.world.code(secret)})
            assert answer.status_code == 200
            answer = await client.post(LOGIN, json={**body, "totp": codes[0]})
            assert answer.status_code == 200

    visit(story)


def test_the_set_up_link_makes_the_owner_once_and_a_second_factor_can_follow() -> None:
    async def story(site: Site) -> None:
        token = await site.world.access.setup.new_token()
        body = {"token": token, "username": "anna", "password": PASSWORD, "language": "ru"}
        async with site.client() as client:
            wrong = await client.post("/api/v1/auth/setup", json={**body, "token": "x"})
            assert (wrong.status_code, kind(wrong)) == (401, "invalid-token")
            weak = await client.post("/api/v1/auth/setup", json={**body, "password": "hunter2"})
            assert (weak.status_code, kind(weak)) == (422, "invalid-parameter")
            assert weak.json()["detail"] == "The password has fewer than 8 characters."
            assert "hunter2" not in weak.text
            made = await client.post("/api/v1/auth/setup", params={"console": "true"}, json=body)
            assert made.status_code == 200, made.text
            csrf = {"X-CSRF-Token": made.json()["csrf_token"]}
            me = (await client.get(ME)).json()
            assert (me["username"], me["is_owner"], me["language"]) == ("anna", True, "ru")
            begun = (await client.post("/api/v1/auth/totp", headers=csrf)).json()
            assert begun["uri"].startswith("otpauth://totp/")
            picture = base64.b64decode(begun["qr"].removeprefix("data:image/svg+xml;base64,"))
            assert b"<svg" in picture
            code = site.world.code(begun["secret"])
            confirmed = await client.post("/api/v1/auth/totp/confirm", json={"code": code}, headers=csrf)
            assert len(confirmed.json()["recovery_codes"]) == 10
            assert (await client.get(ME)).json()["totp_enabled"] is True
            again = await client.post("/api/v1/auth/setup", json={**body, "username": "boris"})
            assert (again.status_code, kind(again)) == (409, "conflict")

    visit(story)


# Limits


def test_calls_are_limited_by_session_and_key_and_told_so() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        token = (await site.world.login()).access_token
        async with site.client(token) as client:
            for number in range(3):
                answer = await client.get(ME)
                assert answer.status_code == 200
                assert answer.headers["ratelimit-policy"] == '"60s";q=3;w=60, "3600s";q=5;w=3600'
                assert answer.headers["ratelimit"].startswith(f'"60s";r={2 - number};t=')
            answer = await client.get(ME)
            assert (answer.status_code, kind(answer)) == (429, "too-many-requests")
            assert 0 < int(answer.headers["retry-after"]) <= 60
            assert answer.json()["retry_after"] == int(answer.headers["retry-after"])
        async with site.client(await site.key()) as other:
            assert (await other.get(ME)).status_code == 200
        assert await site.world.audit(event="rate_limited")

    visit(story, limits={"default": "3/minute; 5/hour"})


def test_the_console_has_its_own_allowance_and_a_route_may_have_one() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client() as page:
            await sign_in(page, console="true")
            for _call in range(20):
                assert (await page.get(ME)).status_code == 200
        async with site.client(await site.key()) as client:
            assert (await client.get("/api/v1/roles")).status_code == 200
            assert (await client.get("/api/v1/roles")).status_code == 429
            assert (await client.get(ME)).status_code == 200

    visit(story, limits={"default": "3/minute", "routes": {"GET /api/v1/roles": "1/minute"}})


def test_refusals_and_health_are_not_counted_and_stay_what_they_are() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        viewer = await site.token("viewer")
        async with site.client() as stranger:
            for _call in range(6):
                assert (await stranger.get(ME)).status_code == 401
                assert (await stranger.get("/health")).status_code == 200
        async with site.client(viewer) as client:
            for _call in range(6):
                assert (await client.get("/api/v1/people")).status_code == 403
            assert (await client.get(ME)).status_code == 200

    visit(story, limits={"default": "3/minute"})


def test_abuse_of_the_limits_raises_a_finding() -> None:
    async def story(site: Site) -> None:
        async with site.client(address="203.0.113.9") as client:
            codes = [(await client.post(REFRESH, json={})).status_code for _call in range(70)]
        assert codes.count(429) == 67
        (finding,) = site.world.findings
        assert (finding.kind, finding.subject.name) == ("access.rate_abuse", "203.0.113.9")

    visit(story, limits={"default": "3/minute"})


# Addresses


def test_the_real_client_behind_a_trusted_proxy_counts() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        bad = {"username": "anna", "password": "wrong"}
        chain = {"X-Forwarded-For": "198.51.100.99, 203.0.113.9, 10.0.0.7"}  # the first was made up
        async with site.client(address="10.0.0.1") as proxy:
            await proxy.post(LOGIN, json=bad, headers=chain)
        async with site.client(address="203.0.113.50") as direct:
            await direct.post(LOGIN, json=bad, headers={"X-Forwarded-For": "198.51.100.1"})
        async with site.client(address="127.0.0.1") as page:
            secret = {"X-Dozor-Console": CONSOLE_SECRET, "X-Forwarded-For": "203.0.113.77"}
            await page.post(LOGIN, json=bad, headers=secret)
            await page.post(LOGIN, json=bad, headers={**secret, "X-Dozor-Console": "guess"})
        found = [record.entry.address for record in await site.world.audit(event="login_attempt")]
        assert found == ["127.0.0.1", "203.0.113.77", "203.0.113.50", "203.0.113.9"]

    visit(story, door={"trusted_proxies": ["10.0.0.0/8"]})


def test_the_console_is_told_whose_websocket_it_is() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        granted = await site.world.access.signin.login("anna", PASSWORD, HOME, kind="console")
        for address, forwarded, told in (
            ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("203.0.113.50", "127.0.0.1", "203.0.113.50"),
        ):
            said = await site.websocket(
                "/_stcore/stream",
                f"__Host-dozor_session={granted.console_token}",
                host="dozor.example.com",
                address=address,
                x_forwarded_for=forwarded,
                x_forwarded_proto="https",
            )
            assert said == {"type": "websocket.accept", "subprotocol": told}

    visit(story, door={"trusted_proxies": ["10.0.0.0/8"], "host_names": ["dozor.example.com"]})


def test_the_allow_list_keeps_others_from_signing_in_but_never_this_machine() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        body = {"username": "anna", "password": PASSWORD}
        for address, headers, status in (
            ("203.0.113.9", {}, 200),
            ("127.0.0.1", {}, 200),
            ("::1", {}, 200),
            ("198.51.100.7", {}, 403),
            ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9"}, 403),  # an unknown proxy hands on whoever
        ):
            async with site.client(address=address) as client:
                answer = await client.post(LOGIN, json=body, headers=headers)
                assert answer.status_code == status, (address, headers)
                assert (await client.get("/login", headers=headers)).status_code == status

    visit(story, access={"console_networks": ["203.0.113.0/24"]})


def test_figures_and_reasons_are_for_this_machine_and_those_who_may_know() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        viewer, key = await site.token("viewer"), await site.key("admin", ("traffic.read",))
        for address, token, headers, metrics, told in (
            ("127.0.0.1", "", {}, 200, True),
            ("127.0.0.1", "", {"X-Forwarded-For": "203.0.113.9"}, 401, False),
            ("192.0.2.5", "", {}, 200, False),
            ("203.0.113.9", "", {}, 401, False),
            ("203.0.113.9", viewer, {}, 200, True),
            ("203.0.113.9", key, {}, 403, False),
        ):
            async with site.client(token, address=address) as client:
                assert (await client.get("/metrics", headers=headers)).status_code == metrics, address
                answer = await client.get("/ready", headers=headers)
                assert answer.status_code == 503
                assert ("Away." in answer.text) is told, address
                assert answer.json()["ready"] is False

    visit(story, access={"metrics_networks": ["192.0.2.0/24"]})


# Other sites


def test_only_listed_sites_may_call_from_their_pages() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client(await site.key()) as client:
            for origin, allowed in (("https://app.example.com", True), ("https://evil.example", False)):
                ask = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
                answer = await client.options("/api/v1/people", headers=ask)
                assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
                assert "access-control-allow-credentials" not in answer.headers
                answer = await client.get(ME, headers={"Origin": origin})
                assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
                answer = await client.post("/api/v1/auth/logout", headers={"Origin": origin})
                assert answer.status_code == (204 if allowed else 403)

    visit(story, access={"cors_origins": ["https://app.example.com"]})


def test_without_listed_sites_no_site_is_told_anything() -> None:
    async def story(site: Site) -> None:
        async with site.client(await site.key()) as client:
            answer = await client.get(ME, headers={"Origin": "https://evil.example"})
            assert not [name for name in answer.headers if name.startswith("access-control")]

    visit(story)


def test_every_answer_has_the_headers_that_keep_browsers_from_harm() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client() as client:
            paths = ("/health", "/ready", "/metrics", "/login", "/door/door.css", "/", ME, "/api/v1/nothing")
            for path in paths:
                answer = await client.get(path)
                for name in ("x-content-type-options", "referrer-policy", "permissions-policy"):
                    assert len(answer.headers.get_list(name)) == 1, (path, name)
                assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
                assert "strict-transport-security" not in answer.headers
        async with site.client(base="https://127.0.0.1:5000") as client:
            assert "max-age" in (await client.get("/health")).headers["strict-transport-security"]

    visit(story)


# What went wrong


def test_a_body_is_never_sent_back_and_never_too_large() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client() as client:
            for body in ({"username": "anna", "password": {"hunter2": 1}}, ["hunter2"], "hunter2"):
                answer = await client.post(LOGIN, json=body)
                assert (answer.status_code, kind(answer)) == (422, "invalid-parameter")
                assert "hunter2" not in answer.text
            answer = await client.post(LOGIN, content=b'{"username": "hunter2', headers=JSON)
            assert answer.status_code == 422
            assert "hunter2" not in answer.text
            answer = await client.post(LOGIN, content=b" " * (2 << 20), headers=JSON)
            assert (answer.status_code, kind(answer)) == (413, "too-large")

    visit(story)


JSON = {"Content-Type": "application/json"}


def test_state_that_is_away_is_told_as_that() -> None:
    class Away(InMemoryAccessStore):
        """A store that is there at first."""

        is_away = False

        def reading(self) -> Any:
            if self.is_away:
                raise UnavailableError("The state database does not answer.")
            return super().reading()

    store = Away()

    async def main() -> None:
        site = Site({"limits": LIFTED}, World(store=store))
        await site.world.owner()
        token = (await site.world.login()).access_token
        store.is_away = True
        async with site.client(token) as client:
            answer = await client.get(ME)
            assert (answer.status_code, kind(answer)) == (503, "unavailable")
            assert answer.headers["retry-after"] == "5"
        site.pool.close()

    asyncio.run(main())


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_audit_trail_can_be_taken_home(form: str) -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client(await site.key()) as client:
            answer = await client.get("/api/v1/audit", params={"format": form})
            assert answer.headers["content-type"].startswith(
                {"jsonl": "application/jsonl", "csv": "text/csv"}[form]
            )
            assert f"dozor-audit.{form}" in answer.headers["content-disposition"]
            assert "setup.owner" in answer.text
            page = (await client.get("/api/v1/audit", params={"limit": 1})).json()
            assert (page["items"][0]["number"], page["next"]) == (2, 2)
            rest = (await client.get("/api/v1/audit", params={"cursor": 2})).json()
            assert [item["number"] for item in rest["items"]] == [1]
            proof = (await client.get("/api/v1/audit/verify")).json()
            assert (proof["whole"], proof["records"]) == (True, 2)

    visit(story)


def test_what_a_service_refuses_is_recorded_as_well() -> None:
    async def story(site: Site) -> None:
        await site.world.owner()
        async with site.client(await site.token("viewer")) as client:
            answer = await client.get("/api/v1/keys", params={"all": "true"})
            assert answer.status_code == 403
        found = await site.world.access.ledger.search(AuditFilter(event="permission_denied"))
        assert found.records[0].entry.action == "GET /api/v1/keys"
        assert timedelta(0) <= site.world.clock.now - found.records[0].at < timedelta(seconds=1)

    visit(story)
