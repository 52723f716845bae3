"""The audit trail: who did what, on what, from where, how it ended; whether the chain is whole; export."""

from __future__ import annotations

import time
from threading import Lock
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from dozor.client import ApiError, AuditPage, AuditProof, AuditRecord, Calls
from dozor.console import parts, words
from dozor.console.data import ask
from dozor.console.scope import write_moment
from dozor.console.view import View
from dozor.kernel.i18n import _, format_number

EVENTS = (
    "login_attempt",
    "logout",
    "permission_denied",
    "sensitive_operation",
    "ip_blocked",
    "account_locked",
    "token_reuse",
    "rate_limited",
)
"""Kinds of records, as the API names them."""

_RESULTS = ("ok", "refused", "failed")
_TONES = {"ok": "ok", "refused": "bad", "failed": "warn"}
_BY_THEMSELVES = ("auth.login", "setup.owner")  # nobody was signed in, but somebody is named
_SHUT = {"ip_blocked": "bad", "account_locked": "bad"}  # a success of the door, and bad news all the same
_PAGE = 100
_HEIGHT = 560
_PROVEN_FOR = 60.0  # s


class _Proof:
    """The last look at the whole chain: it reads every record, so that one look serves all for a minute."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._proof: AuditProof | None = None
        self._at = 0.0

    def ask(self, calls: Calls, *, anew: bool) -> AuditProof:
        with self._lock:
            if self._proof is None or anew or time.monotonic() - self._at > _PROVEN_FOR:
                self._proof = calls.access.verify_audit()
                self._at = time.monotonic()
            return self._proof


@st.cache_resource(show_spinner=False)
def _kept_proof() -> _Proof:
    return _Proof()


def draw(view: View) -> None:
    """Show the page."""
    asked = _filters()
    span: dict[str, Any] = {"since": write_moment(view.scope.since), "until": write_moment(view.scope.until)}
    cursor = st.session_state["audit_cursor"]
    anew = bool(st.session_state.pop("dz_prove", False))
    proof = _kept_proof()
    answers = ask(
        view,
        f"audit-{sorted(asked.items())}-{cursor}-{anew}",
        _HEIGHT,
        page=lambda calls, _query: calls.access.audit(
            **span, **asked, limit=_PAGE, cursor=int(cursor) if cursor.isdecimal() else None
        ),
        proof=lambda calls, _query: _proven(calls, proof, anew=anew),
    )
    if answers is None:
        return
    with answers.frame(), st.container(border=True, key="card-audit"):
        _head(answers["proof"], {**span, **asked})
        st.html(_table(view, answers["page"]))
        _walk(view, answers["page"], asked, cursor)


def _proven(calls: Calls, proof: _Proof, *, anew: bool) -> AuditProof | ApiError:
    """The proof, or why there is none: the records are shown all the same."""
    try:
        return proof.ask(calls, anew=anew)
    except ApiError as error:
        return error


def _filters() -> dict[str, Any]:
    """Inputs for what is looked for, bound to the address; returns those that say something."""
    with st.container(key="hidden-audit"):
        st.text_input("audit_cursor", key="audit_cursor", bind="query-params", label_visibility="collapsed")
    with st.container(horizontal=True, vertical_alignment="bottom", key="audit-filters"):
        result = st.segmented_control(
            _("Result"),
            _RESULTS,
            key="result",
            format_func=words.result_name,
            bind="query-params",
            on_change=_begin_anew,
        )
        event = st.selectbox(
            _("Kind"),
            EVENTS,
            index=None,
            key="event",
            format_func=words.event_name,
            placeholder=_("All kinds"),
            bind="query-params",
            on_change=_begin_anew,
            width=190,
        )
        person = st.text_input(
            _("Who"), key="who", placeholder=_("Name"), bind="query-params", on_change=_begin_anew, width=150
        )
        address = st.text_input(
            _("From where"),
            key="address",
            placeholder=_("Address"),
            bind="query-params",
            on_change=_begin_anew,
            width=170,
        )
        action = st.text_input(
            _("What"),
            key="action",
            placeholder="people.*",
            bind="query-params",
            on_change=_begin_anew,
            width=150,
        )
    wishes = {"result": result, "event": event, "person": person, "address": address, "action": action}
    return {name: wish.strip() for name, wish in wishes.items() if wish and wish.strip()}


def _begin_anew() -> None:
    st.session_state["audit_cursor"] = ""


def _head(proof: AuditProof | ApiError, asked: dict[str, Any]) -> None:
    exports = " · ".join(
        parts.link(
            "api/v1/audit?" + urlencode({**asked, "format": form}),
            _("export as {format}").format(format=name),
            style="link",
        )
        for form, name in (("csv", "CSV"), ("jsonl", "JSON"))
    )
    with st.container(horizontal=True, vertical_alignment="center", key="audit-head"):
        st.html(parts.heading(_("Audit trail"), _("newest first"), exports))
        st.html(_chip(proof), width="content")
        st.button(_("Check the chain"), icon=":material/link:", type="tertiary", on_click=_prove)


def _prove() -> None:
    st.session_state["dz_prove"] = True


def _chip(proof: AuditProof | ApiError) -> str:
    if isinstance(proof, ApiError):
        return parts.chip(_("chain: unknown"), "", str(proof))
    told = format_number(proof.records)
    if proof.whole:
        return parts.chip(
            _("chain is whole, {count}").format(count=told), "live", _("No record was changed or taken out.")
        )
    label = _("chain is broken at {number}").format(number=format_number(proof.first_broken or 0))
    return parts.chip(label, "down", proof.reason)


def _table(view: View, page: AuditPage) -> str:
    if not page.items:
        return parts.note(_("No records in this range."), _("Choose a longer range, or take a filter away."))
    heads = [
        (_("time"), "nb"),
        (_("who"), "msg"),
        (_("what"), "msg"),
        (_("on what"), "msg"),
        (_("from where"), "nb mono"),
        (_("result"), "nb"),
        ("№", "r cap"),
    ]
    return f'<div class="dz">{parts.table(heads, (_row(view, one) for one in page.items))}</div>'


def _row(view: View, record: AuditRecord) -> list[str]:
    times = f" \N{MULTIPLICATION SIGN}{format_number(record.count)}" if record.count > 1 else ""
    details = ", ".join(
        f"{name}: {value}" for name, value in record.details.items() if value and value != record.action
    )
    who = record.actor or (record.target if record.action in _BY_THEMSELVES else "")
    more = f'<br><span class="cap">{parts.text(words.shorten(details, 160))}</span>' if details else ""
    href = f"audit?{urlencode({'who': who})}" if who and record.actor_kind != "local" else ""
    done, kind = words.action_name(record.action), words.event_name(record.event)
    what = f'<span title="{parts.text(record.action)}">{parts.text(done)}</span>'
    if kind != done:
        what += f' <span class="cap">{parts.text(kind)}</span>'
    return [
        f'<span title="{parts.text(view.absolute(record.time))}">{parts.text(view.when(record.time))}</span>',
        parts.link(href, words.actor_name(who, record.actor_kind)),
        f"{what}{more}",
        parts.text(words.shown(record.target)),
        f'<span title="{parts.text(record.agent)}">{parts.text(words.place(record.address))}</span>',
        parts.tag(
            words.result_name(record.result) + times,
            _SHUT.get(record.event, _TONES.get(record.result, "")),
        ),
        f'<span title="{parts.text(record.hash)}">{format_number(record.number)}</span>',
    ]


def _walk(view: View, page: AuditPage, asked: dict[str, Any], cursor: str) -> None:
    names = {"person": "who"}
    around = {names.get(name, name): wish for name, wish in asked.items()}
    ways = []
    if cursor:
        ways.append(parts.link(view.scope.href("audit", **around), _("newest"), style="link"))
    if page.next is not None:
        older = view.scope.href("audit", audit_cursor=str(page.next), **around)
        ways.append(parts.link(older, _("older records"), style="link"))
    if ways:
        st.html(f'<div class="dz dz-all">{" · ".join(ways)}</div>')
