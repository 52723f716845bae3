"""One-time codes by time (RFC 6238): six digits, 30 seconds, SHA-1, as all apps for them expect."""

from __future__ import annotations

import hmac
import io
from datetime import datetime
from typing import Final

import pyotp
import segno

ISSUER: Final = "Dozor"

_STEP_S: Final = 30
_DIGITS: Final = 6
_AROUND: Final = (0, -1, 1)


class TotpCodes:
    """Makes secrets and their pictures, and knows the step of a code; a clock may be one step off."""

    def secret(self) -> str:
        """A new secret of 160 bits in base32."""
        return pyotp.random_base32()

    def uri(self, secret: str, username: str) -> str:
        """The `otpauth://` address that an app reads."""
        return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)

    def qr(self, uri: str) -> str:
        """A picture of the address as an SVG element, black on white whatever the theme."""
        picture = io.BytesIO()
        segno.make(uri, error="m", micro=False).save(
            picture, kind="svg", scale=4, border=3, dark="#000", light="#fff", xmldecl=False, svgns=True
        )
        return picture.getvalue().decode()

    def step(self, secret: str, code: str, now: datetime) -> int | None:
        """Number of the step to which the code belongs; None for a wrong code."""
        if len(code) != _DIGITS or not (code.isascii() and code.isdigit()):
            return None
        present = int(now.timestamp()) // _STEP_S
        made = pyotp.TOTP(secret)
        fits = [
            present + around
            for around in _AROUND
            if hmac.compare_digest(made.generate_otp(present + around), code)
        ]
        return fits[0] if fits else None
