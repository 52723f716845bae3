"""Who looks at the console: asked of the API on each run of the script, since a session may end at any time.

Streamlit's scripts see the cookies with which the browser opened its WebSocket. The session's cookie among
them is opaque and stays the same for as long as the session lives; the API says each time whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from dozor.client import ApiError, Calls, Client, Me, Unauthorized
from dozor.console import parts
from dozor.console.settings import settings
from dozor.kernel.i18n import _

COOKIE = "dozor_session"
"""Name of the session's cookie over plain HTTP on loopback, as the console itself asks."""

SECURE_COOKIE = f"__Host-{COOKIE}"
"""Its name over TLS, as only this very site can set it (RFC 6265bis 4.1.3)."""

_CALLS, _ME, _TOLD = "dz_calls", "dz_me", "dz_told"


@st.cache_resource(show_spinner=False)
def _client() -> Client:
    """The one client of the process: its connections are kept, a new one costs 20 ms a call."""
    return Client(settings.api_url)


def client() -> Calls:
    """The API in the name of whoever looks."""
    calls: Calls | None = st.session_state.get(_CALLS)
    if calls is None:
        calls = _client().with_cookies(session_cookie(st.context.cookies), _on_behalf())
        st.session_state[_CALLS] = calls
    return calls


def session_cookie(held: Mapping[str, str]) -> dict[str, str]:
    """The cookie for the API, of those that the browser holds; the one that came over TLS counts first."""
    value = held.get(SECURE_COOKIE) or held.get(COOKIE)
    return {COOKIE: value} if value else {}


def _on_behalf() -> dict[str, str]:
    """Where the person is and with what, for limits and the audit trail."""
    headers = {}
    if agent := st.context.headers.get("User-Agent"):
        headers["User-Agent"] = agent
    if settings.forward_secret and st.context.ip_address:
        headers["X-Dozor-Console"] = settings.forward_secret
        headers["X-Forwarded-For"] = st.context.ip_address
    return headers


def me() -> Me:
    """Who looks, as the API said when this run began."""
    known: Me = st.session_state[_ME]
    return known


def find_me() -> Me | None:
    """Ask who looks; None when that cannot be known now, which the page was told then."""
    try:
        st.session_state[_ME] = client().access.me()
    except Unauthorized:
        st.session_state.pop(_ME, None)
        return None
    except ApiError as error:
        if _ME not in st.session_state:
            st.html(parts.note(error.message, hint=error.hint, tone="bad"))
            st.stop()
    return me()


def can(permission: str) -> bool:
    """Whether the person may do this, by name, by `*` or by a `prefix.*` above it."""
    granted = me().permissions
    if "*" in granted or permission in granted:
        return True
    return any(rule.endswith(".*") and permission.startswith(rule[:-1]) for rule in granted)


def show_signed_out(here: str) -> None:
    """Instead of a page: nobody is signed in any more, and the way back.

    Args:
        here: Address of the page, relative to the console.
    """
    way = parts.link("login?" + urlencode({"next": here}), _("Sign in again"), style="dz-btn primary")
    with st.container(key="signed-out"):
        st.html(
            parts.note(
                _("Signed out"),
                _("This session has ended: it was too long unused, or somebody ended it."),
                tone="warn",
                actions_html=way,
            )
        )


def show_forbidden(permission: str) -> None:
    """Instead of a page: the person may not see it."""
    st.html(
        parts.note(
            _("This page is not for your role."),
            _("It needs the permission {permission}.").format(permission=permission),
            hint=_("Whoever manages people can give it to you."),
        )
    )


def act(work: Callable[[], Any], told: str = "", *, place: str = "") -> Any:
    """Change something; a failure is told in words at the next `tell`, a success in a toast.

    Args:
        work: What to do, given by a call of the client.
        told: What was done, in the past tense.
        place: Where a failure is told: see `tell`.

    Returns:
        What `work` returns; True instead of None; None after a failure.
    """
    try:
        done = work()
    except Unauthorized as error:
        if st.session_state.get(_ME) is None or not _still_signed_in():
            st.rerun()
        st.session_state[_TOLD] = (place, error)
        return None
    except ApiError as error:
        st.session_state[_TOLD] = (place, error)
        return None
    if told:
        st.toast(parts.markdown(told), icon=":material/check:")
    return True if done is None else done


def tell(place: str = "") -> None:
    """Show why the last change failed, where it was asked for."""
    told: tuple[str, ApiError] | None = st.session_state.get(_TOLD)
    if told is not None and told[0] == place:
        del st.session_state[_TOLD]
        st.html(parts.note(told[1].message, hint=told[1].hint, tone="bad"))


def _still_signed_in() -> bool:
    """Whether a 401 was about what was typed, such as a wrong password, and not about the session."""
    try:
        client().access.me()
    except Unauthorized:
        return False
    except ApiError:
        return True
    return True
