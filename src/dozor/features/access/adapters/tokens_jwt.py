"""Access tokens as JSON web tokens (RFC 7519, RFC 8725): HS256 alone, with the key's name as `kid`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import jwt

from dozor.features.access.model import Claims, InvalidTokenError
from dozor.kernel.i18n import _

ISSUER: Final = "dozor"
ALGORITHM: Final = "HS256"

_LEEWAY_S: Final = 60
"""How far the clocks of two machines with one secret may be apart."""

_NEEDED: Final = ["exp", "iat", "iss", "aud", "sub", "sid"]


class JwtAccessTokens:
    """Signs with the first key of the ring, accepts all.

    Args:
        keys: Gives the keys of the moment by name, the current one first.
    """

    def __init__(self, keys: Callable[[], Mapping[str, bytes]]) -> None:
        self._keys = keys

    def issue(self, claims: Claims) -> str:
        """Sign them with the current key."""
        name, key = next(iter(self._keys().items()))
        body = {
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": claims.person_id,
            "sid": claims.session_id,
            "iat": claims.issued,
            "exp": claims.expires,
        }
        return jwt.encode(body, key, algorithm=ALGORITHM, headers={"kid": name})

    def read(self, token: str, now: datetime) -> Claims:
        """Check a token: key, algorithm, issuer, audience, and time by `now`.

        Raises:
            InvalidTokenError: It does not hold.
        """
        try:
            key = self._keys().get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise _invalid()
            body: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=ISSUER,
                # The time is ours, so that tests need not wait; PyJWT has no place for it.
                options={"require": _NEEDED, "verify_exp": False, "verify_iat": False},
            )
            claims = Claims(str(body["sub"]), str(body["sid"]), int(body["iat"]), int(body["exp"]))
        except (jwt.InvalidTokenError, TypeError, ValueError) as error:
            raise _invalid() from error
        if claims.expires <= now.timestamp() or claims.issued > now.timestamp() + _LEEWAY_S:
            raise _invalid()
        return claims


def _invalid() -> InvalidTokenError:
    return InvalidTokenError(_("The sign-in is not valid, or not any more."), hint=_("Sign in again."))
