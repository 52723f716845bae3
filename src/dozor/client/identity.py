"""Who a client is to the server, and what it does when the server does not know it any more.

Anonymous     says nothing
Bearer        an API key or an access token, as it is
BrowserLike   cookies, with the CSRF token on calls that change something (OWASP)
SignedIn      tokens of a login, refreshed in time by one thread and one process at a time
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from dozor.client.errors import Forbidden, Unauthorized
from dozor.client.tokens import KeptTokens, TokenKeeper
from dozor.kernel.i18n import _
from dozor.wire.access import Login, Me, Refresh, Tokens

Post = Callable[[str, Login | Refresh], Tokens]
"""Sends a call that needs nobody to be signed in."""

CSRF_HEADER = "X-CSRF-Token"
CSRF_REFUSED = "urn:dozor:problem:csrf"

_EARLY = 30.0  # s before its end an access token is renewed


class Identity(Protocol):
    """Says who calls."""

    def headers(self, *, changing: bool) -> Mapping[str, str]:
        """What to send with a call.

        Args:
            changing: Whether the call may change something.

        Raises:
            ApiError: Nobody can be signed in.
        """
        ...

    def renewed(self, sent: Mapping[str, str], error: Unauthorized | Forbidden) -> bool:
        """Whether a call that was refused is worth to be sent again, with new `headers`.

        Args:
            sent: The headers that it was sent with.
            error: Why it was refused.

        Raises:
            ApiError: Asking for new ones failed for another reason.
        """
        ...


class Anonymous:
    """Nobody."""

    def headers(self, *, changing: bool) -> Mapping[str, str]:
        """Nothing."""
        del changing
        return {}

    def renewed(self, sent: Mapping[str, str], error: Unauthorized | Forbidden) -> bool:
        """Never."""
        del sent, error
        return False


class Bearer:
    """An API key, or an access token that somebody else renews.

    Args:
        token: As it was told.
    """

    def __init__(self, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}

    def headers(self, *, changing: bool) -> Mapping[str, str]:
        """The token (RFC 6750)."""
        del changing
        return self._headers

    def renewed(self, sent: Mapping[str, str], error: Unauthorized | Forbidden) -> bool:
        """Never: it is all there is."""
        del sent, error
        return False


class BrowserLike:
    """Cookies of a browser.

    Args:
        cookies: Names and values.
        me: Asks who that is, for the CSRF token.
    """

    def __init__(self, cookies: Mapping[str, str], me: Callable[[], Me]) -> None:
        self._headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        self._me = me
        self._csrf = ""

    def headers(self, *, changing: bool) -> Mapping[str, str]:
        """The cookies; to change something, the CSRF token too."""
        if not changing:
            return self._headers
        if not self._csrf:
            self._csrf = self._me().csrf_token or ""
        return {**self._headers, CSRF_HEADER: self._csrf}

    def renewed(self, sent: Mapping[str, str], error: Unauthorized | Forbidden) -> bool:
        """Once, after the CSRF token was refused: it belongs to a key of the server, which may be changed."""
        refused = error.problem is not None and error.problem.type == CSRF_REFUSED
        if not refused or not self._csrf:
            return False
        known, self._csrf = self._csrf, ""
        return self.headers(changing=True)[CSRF_HEADER] != known == sent.get(CSRF_HEADER)


class SignedIn:
    """Tokens of a login, renewed before they end, or when the server does not take them any more.

    Args:
        keeper: Where the tokens are.
        post: Sends logins and refreshes.
        login: What to sign in with when there are no tokens; None to be told `Unauthorized`.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        keeper: TokenKeeper,
        post: Post,
        login: Login | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keeper = keeper
        self._post = post
        self._login = login
        self._clock = clock
        self._lock = threading.Lock()

    def headers(self, *, changing: bool) -> Mapping[str, str]:
        """The access token, a new one if its end is near."""
        del changing
        tokens = self._keeper.load()
        if tokens is None or self._ends(tokens):
            with self._lock, self._keeper.locked():
                tokens = self._keeper.load()
                if tokens is None:
                    tokens = self._sign_in()
                elif self._ends(tokens):
                    tokens = self._refresh(tokens)
        return _bearer(tokens)

    def renewed(self, sent: Mapping[str, str], error: Unauthorized | Forbidden) -> bool:
        """After a 401: by whoever comes first, the others take what they find."""
        if isinstance(error, Forbidden):
            return False
        with self._lock, self._keeper.locked():
            tokens = self._keeper.load()
            if tokens is None:
                return False
            if _bearer(tokens) == sent:
                try:
                    self._refresh(tokens)
                except Unauthorized:
                    return False
            return True

    def _ends(self, tokens: KeptTokens) -> bool:
        return tokens.expires - self._clock() < _EARLY

    def _refresh(self, tokens: KeptTokens) -> KeptTokens:
        try:
            answer = self._post(
                "/api/v1/auth/refresh", Refresh.model_construct(refresh_token=tokens.refresh_token)
            )
        except Unauthorized:
            self._keeper.forget()
            if self._login is None:
                raise
            return self._sign_in()
        return self._keep(answer, tokens.username)

    def _sign_in(self) -> KeptTokens:
        if self._login is None:
            raise Unauthorized(_("Nobody is signed in."), hint=_("Sign in with: dozor login"))
        answer = self._post("/api/v1/auth/login", self._login)
        # A code is good for one login.
        self._login = self._login.model_copy(update={"totp": None})
        return self._keep(answer, self._login.username)

    def _keep(self, answer: Tokens, username: str) -> KeptTokens:
        tokens = KeptTokens(
            answer.access_token, answer.refresh_token, self._clock() + answer.expires_in, username
        )
        self._keeper.save(tokens)
        return tokens


def _bearer(tokens: KeptTokens) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {tokens.access_token}"}
