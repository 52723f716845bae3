"""The profile: one's name, password and second factor, one's sessions and API keys."""

from __future__ import annotations

import streamlit as st

from dozor.client import ApiError, Role, TotpEnrolment, Unauthorized
from dozor.console import credentials, listing, parts, words
from dozor.console.account import act, client, me, tell
from dozor.console.view import View
from dozor.kernel.i18n import _, ngettext

_ENROLMENT, _CODES = "dz_enrolment", "dz_codes"
_FEW = 3  # recovery codes that are left


def draw(view: View) -> None:
    """Show the page."""
    left, right = st.columns(2, gap="small")
    with left:
        with st.container(border=True, key="card-you"):
            _you()
        with st.container(border=True, key="card-password"):
            _password()
    with right, st.container(border=True, key="card-factor"):
        _factor()
    with st.container(border=True, key="card-sessions"):
        _sessions(view)
    with st.container(border=True, key="card-keys"):
        _keys(view)


def _you() -> None:
    who = me()
    owner = " " + parts.tag(_("owner"), "ok") if who.is_owner else ""
    permissions = _("everything") if "*" in who.permissions else ", ".join(who.permissions)
    may = _("may: {permissions}").format(permissions=permissions)
    st.html(parts.heading(_("You")))
    st.html(
        f'<div class="dz"><b>{parts.text(who.username)}</b>{owner}<br>'
        f"{parts.text(words.role_name(who.role))}"
        f'<div class="cap">{parts.text(may)}</div></div>'
    )
    tell("you")
    with st.form("form-you", border=False):
        st.text_input(_("Name as it is shown"), who.display_name, max_chars=80, key="you-name")
        st.form_submit_button(_("Save the name"), on_click=_save_name)


def _save_name() -> None:
    name = (st.session_state["you-name"] or "").strip()
    act(lambda: client().access.change_me(display_name=name), _("The name is saved."), place="you")


def _password() -> None:
    st.html(parts.heading(_("Password")))
    tell("password")
    if st.session_state.pop("dz_differ", False):
        st.html(parts.note(_("The two passwords differ."), tone="bad"))
    with st.form("form-password", border=False, clear_on_submit=True):
        st.text_input(_("Password so far"), type="password", key="pw-now", autocomplete="current-password")
        st.text_input(_("New password"), type="password", key="pw-new", autocomplete="new-password")
        st.text_input(
            _("The new password once more"), type="password", key="pw-again", autocomplete="new-password"
        )
        st.form_submit_button(_("Change the password"), on_click=_change_password)
    told = _("All your other sessions end then.")
    st.html(f'<div class="dz cap">{parts.text(told)}</div>')


def _change_password() -> None:
    now, new, again = (st.session_state[key] or "" for key in ("pw-now", "pw-new", "pw-again"))
    if new != again:
        st.session_state["dz_differ"] = True
        return
    act(lambda: client().access.change_password(now, new), _("The password is changed."), place="password")


def _factor() -> None:
    st.html(parts.heading(_("Second factor")))
    tell("factor")
    if (codes := st.session_state.get(_CODES)) is not None:
        listing.show_secret(
            _("Your recovery codes"),
            "\n".join(codes),
            _("Each replaces one code of the app when the phone is away. They are shown this once."),
            file="dozor-recovery-codes.txt",
            done=_forget_codes,
        )
    elif (enrolment := st.session_state.get(_ENROLMENT)) is not None:
        _enrol(enrolment)
    elif me().totp_enabled:
        _enrolled()
    else:
        told = _("A password that leaks is then not enough. Any authenticator app will do.")
        st.html(parts.note(_("There is none."), told, tone="warn"))
        st.button(_("Add a second factor"), type="primary", icon=":material/add:", on_click=_begin)


def _begin() -> None:
    begun = act(client().access.begin_totp, place="factor")
    if begun is not None:
        st.session_state[_ENROLMENT] = begun


def _enrol(enrolment: TotpEnrolment) -> None:
    key = " ".join(enrolment.secret[i : i + 4] for i in range(0, len(enrolment.secret), 4))
    picture, form = st.columns([2, 3], gap="small", vertical_alignment="top")
    hint = _("QR code for the app; the key stands beside it as text.")
    picture.html(f'<img class="dz-qr" src="{parts.text(enrolment.qr)}" alt="{parts.text(hint)}">')
    with form:
        first = _("1. Scan the picture, or type the key")
        st.html(f'<div class="dz cap">{parts.text(first)}</div>')
        st.code(key, language=None, wrap_lines=True)
        with st.form("form-confirm", border=False, clear_on_submit=True):
            st.text_input(_("2. The code that the app shows"), key="totp-code", autocomplete="one-time-code")
            with st.container(horizontal=True):
                st.form_submit_button(_("Confirm the code"), type="primary", on_click=_confirm)
                st.form_submit_button(_("Cancel"), on_click=_cancel)


def _confirm() -> None:
    code = (st.session_state["totp-code"] or "").replace(" ", "")
    codes = act(lambda: client().access.confirm_totp(code), place="factor")
    if codes is not None:
        st.session_state[_CODES] = codes
        st.session_state.pop(_ENROLMENT, None)


def _cancel() -> None:
    st.session_state.pop(_ENROLMENT, None)


def _forget_codes() -> None:
    st.session_state.pop(_CODES, None)


def _enrolled() -> None:
    left = me().recovery_codes_left
    told = ngettext("{count} recovery code is left.", "{count} recovery codes are left.", left)
    st.html(parts.note(_("It is on."), told.format(count=left), tone="ok" if left > _FEW else "warn"))
    with st.form("form-factor", border=False, clear_on_submit=True):
        st.text_input(_("Your password"), type="password", key="factor-pw", autocomplete="current-password")
        with st.container(horizontal=True):
            st.form_submit_button(_("Make new recovery codes"), on_click=_new_codes)
            st.form_submit_button(_("Take the second factor away"), on_click=_take_away)


def _new_codes() -> None:
    password = st.session_state["factor-pw"] or ""
    codes = act(lambda: client().access.new_recovery_codes(password), place="factor")
    if codes is not None:
        st.session_state[_CODES] = codes


def _take_away() -> None:
    password = st.session_state["factor-pw"] or ""
    act(
        lambda: client().access.remove_totp(password),
        _("The second factor is taken away."),
        place="factor",
    )


def _sessions(view: View) -> None:
    items = client().access.sessions()
    caption = ngettext("{count} session", "{count} sessions", len(items)).format(count=len(items))
    st.html(parts.heading(_("Your sessions"), caption))
    if len(items) > 1:
        st.button(
            _("End all others"),
            icon=":material/logout:",
            type="tertiary",
            key="end-others",
            on_click=_end_others,
        )
    tell("sessions")
    credentials.sessions(
        view,
        [(me().username, one) for one in items],
        lambda _name, one: None if one.current else credentials.end_own(one),
        whose=False,
    )


def _end_others() -> None:
    act(client().access.end_other_sessions, _("Your other sessions have ended."), place="sessions")


def _keys(view: View) -> None:
    st.html(parts.heading(_("Your API keys")))
    credentials.new_key(_roles())
    held = client().access.keys()
    mine = [one for one in held if one.person_id == me().id]
    credentials.keys(view, mine, whose=False, revocable=lambda _key: True)
    credentials.confirm_revoking()


def _roles() -> tuple[Role, ...]:
    """All roles, for those who may know them."""
    try:
        return client().access.roles()
    except Unauthorized:
        raise
    except ApiError:
        return ()
