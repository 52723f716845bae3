"""Sessions of all people, and their end."""

from __future__ import annotations

import streamlit as st

from dozor.client import Person, Session
from dozor.console import credentials, parts
from dozor.console.account import act, can, client, me, tell
from dozor.console.listing import Button
from dozor.console.view import View
from dozor.kernel.i18n import _, ngettext


def draw(view: View) -> None:
    """Show the page."""
    people = {one.username: one for one in client().access.people()}
    items = [(name, one) for name, person in people.items() for one in client().access.sessions_of(person.id)]
    items.sort(key=lambda item: item[1].last_seen, reverse=True)

    def end(name: str, session: Session) -> Button | None:
        if session.id == me().session_id:
            return None
        if name == me().username:
            return credentials.end_own(session)
        return _end_others(people[name], session) if can("sessions.write") else None

    with st.container(border=True, key="card-sessions"):
        caption = ngettext("{count} session", "{count} sessions", len(items)).format(count=len(items))
        st.html(parts.heading(_("Sessions"), caption))
        tell("sessions")
        credentials.sessions(view, [(name, _marked(one)) for name, one in items], end, whose=True)


def _marked(session: Session) -> Session:
    return session.model_copy(update={"current": session.id == me().session_id})


def _end_others(person: Person, session: Session) -> Button:
    def work() -> None:
        act(
            lambda: client().access.end_sessions_of(person.id, session.id),
            _("The session of {name} has ended.").format(name=person.username),
            place="sessions",
        )

    return Button(_("End"), f"end-{session.id}", work, "logout")
