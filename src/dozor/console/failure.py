"""The last net: a page that fails says so in our words, and the log has the rest under the same id."""

from __future__ import annotations

import logging
import secrets

import streamlit as st

from dozor.console import parts
from dozor.kernel.i18n import _

_log = logging.getLogger(__name__)


def show_failure(error: Exception) -> bool:
    """Log an error of a page and show a card with its id in its place; the error is dealt with then."""
    number = secrets.token_hex(4)
    _log.error("A page of the console failed.", exc_info=error, extra={"id": number})
    st.html(
        parts.note(
            _("This page could not be shown."),
            _("The other pages still work. The log has more under the id {id}.").format(id=number),
            tone="bad",
        )
    )
    return True
