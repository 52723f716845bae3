"""Sessions and API keys as lists, shared by the profile and by the pages for those who look after others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dozor.client import Key, Role, Session
from dozor.console import listing, parts, words
from dozor.console.account import act, client, me, tell
from dozor.console.listing import Button, Row
from dozor.console.view import View
from dozor.kernel.i18n import _, ngettext

_NEW_KEY = "dz_new_key"
_EXPIRIES = (7, 30, 90, 365, None)


def sessions(
    view: View,
    items: Sequence[tuple[str, Session]],
    end: Callable[[str, Session], Button | None],
    *,
    whose: bool,
) -> None:
    """Sessions, the latest used first.

    Args:
        view: The look at the console.
        items: Each with the name of its person.
        end: The button that ends one; None when that is not allowed.
        whose: Whether to show the names.
    """
    heads = [_("used with"), _("from where"), _("since"), _("last seen"), _("ends")]
    widths = "minmax(150px,2fr) minmax(110px,1.2fr) 1fr 1fr 1fr"
    if whose:
        heads, widths = [_("person"), *heads], "minmax(90px,1fr) " + widths
    listing.show(
        "sessions",
        heads,
        widths,
        (_session(view, *one, end, whose=whose) for one in items),
        empty=_("No sessions."),
    )


def _session(
    view: View,
    name: str,
    session: Session,
    end: Callable[[str, Session], Button | None],
    *,
    whose: bool,
) -> Row:
    here = " " + parts.tag(_("this one"), "ok") if session.current else ""
    kind = parts.text(words.session_kind(session.kind))
    agent = (
        f'<span title="{parts.text(session.agent)}">{parts.text(words.agent_name(session.agent))}</span>'
        f' <span class="cap">{kind}</span>{here}'
    )
    cells = [
        agent,
        f'<span class="mono">{parts.text(words.shown(session.address))}</span>',
        parts.text(view.when(session.created)),
        parts.text(view.when(session.last_seen)),
        parts.text(view.until(session.expires)),
    ]
    if whose:
        cells.insert(0, parts.text(name))
    button = end(name, session)
    return Row(cells, [button] if button else [])


def end_own(session: Session) -> Button:
    """The button that ends a session of one's own."""

    def work() -> None:
        act(lambda: client().access.end_session(session.id), _("The session has ended."), place="sessions")

    return Button(_("End"), f"end-{session.id}", work, "logout")


def keys(view: View, items: Sequence[Key], *, whose: bool, revocable: Callable[[Key], bool]) -> None:
    """API keys, the newest first.

    Args:
        view: The look at the console.
        items: The keys.
        whose: Whether to show the people that they belong to.
        revocable: Whether the reader may revoke it.
    """
    tell("keys")
    heads = [_("name"), _("may"), _("made"), _("last used"), _("ends")]
    widths = "minmax(140px,1.5fr) minmax(140px,2fr) 1fr 1fr 1fr"
    if whose:
        heads, widths = [_("person"), *heads], "minmax(90px,1fr) " + widths
    listing.show(
        "keys",
        heads,
        widths,
        (_key(view, key, whose=whose, revocable=revocable(key)) for key in items),
        empty=_("No API keys. A program that asks Dozor needs one."),
    )


def _key(view: View, key: Key, *, whose: bool, revocable: bool) -> Row:
    scopes = ", ".join(key.scopes)
    may = parts.text(words.role_name(key.role))
    if scopes:
        only = _("only {permissions}").format(permissions=scopes)
        may += f'<br><span class="cap">{parts.text(only)}</span>'
    gone = key.expires is not None and key.expires <= view.now
    cells = [
        f'{parts.text(key.name)} <span class="cap mono">{parts.text(key.id)}</span>',
        may,
        parts.text(view.when(key.created)),
        parts.text(view.when(key.last_used) if key.last_used else _("never")),
        parts.tag(_("ended"), "bad")
        if gone
        else parts.text(view.until(key.expires) if key.expires else _("never")),
    ]
    if whose:
        cells.insert(0, parts.text(key.username or _("command line")))

    def ask() -> None:
        st.session_state["dz_confirm"] = ("key", key.id, key.name)

    buttons = [Button(_("Revoke"), f"revoke-{key.id}", ask, "block")] if revocable else []
    return Row(cells, buttons)


def confirm_revoking() -> None:
    """Ask before a key is revoked, when its button was pressed."""
    wish = st.session_state.get("dz_confirm")
    if wish is None or wish[0] != "key":
        return
    del st.session_state["dz_confirm"]
    _kind, number, name = wish
    listing.confirm(
        _("Revoke the key {name}?").format(name=name),
        _("Programs that use it are refused at once. It cannot be taken back."),
        _("Revoke the key"),
        lambda: act(lambda: client().access.revoke_key(number), _("The key is revoked."), place="keys"),
    )


def new_key(roles: Sequence[Role]) -> None:
    """A form that makes an API key of one's own, and the key, once.

    Args:
        roles: All roles, if the reader may know them.
    """
    made = st.session_state.get(_NEW_KEY)
    if made is not None:
        listing.show_secret(
            _("Here is the key {name}").format(name=made[0]),
            made[1],
            _("It is shown this once. Programs send it as: Authorization: Bearer KEY"),
            done=_forget_key,
        )
        return
    with st.popover(_("Make an API key"), icon=":material/add:", key="new-key"):
        tell("new-key")
        with st.form("form-key", border=False, enter_to_submit=False):
            st.text_input(_("What it is for"), key="key-name", max_chars=80, placeholder="grafana")
            names = [role.name for role in roles] or [me().role]
            preset = names.index(me().role) if me().role in names else 0
            st.selectbox(_("Role"), names, index=preset, format_func=words.role_name, key="key-role")
            st.multiselect(
                _("Only these permissions"),
                _permissions(),
                key="key-scopes",
                placeholder=_("All of the role"),
                select_all=False,
            )
            st.selectbox(_("Ends after"), _EXPIRIES, index=1, format_func=_expiry, key="key-days")
            st.form_submit_button(_("Make the key"), type="primary", on_click=_make_key)


def _permissions() -> list[str]:
    return sorted(one.name for one in client().access.permissions())


def _expiry(days: int | None) -> str:
    if days is None:
        return _("never")
    return ngettext("{count} day", "{count} days", days).format(count=days)


def _make_key() -> None:
    state = st.session_state
    name = (state["key-name"] or "").strip()
    made = act(
        lambda: client().access.create_key(
            name, role=state["key-role"], scopes=state["key-scopes"], expires_in_days=state["key-days"]
        ),
        place="new-key",
    )
    if made is not None:
        state[_NEW_KEY] = (name, made.key)


def _forget_key() -> None:
    st.session_state.pop(_NEW_KEY, None)
