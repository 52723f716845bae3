"""API keys of all people, and those of the command line."""

from __future__ import annotations

import streamlit as st

from dozor.console import credentials, parts
from dozor.console.account import can, client, me
from dozor.console.view import View
from dozor.kernel.i18n import _, ngettext


def draw(view: View) -> None:
    """Show the page."""
    items = client().access.keys(all=True)
    with st.container(border=True, key="card-keys"):
        caption = ngettext("{count} key", "{count} keys", len(items)).format(count=len(items))
        st.html(parts.heading(_("API keys"), caption))
        credentials.new_key(client().access.roles())
        credentials.keys(
            view, items, whose=True, revocable=lambda key: key.person_id == me().id or can("keys.write")
        )
    credentials.confirm_revoking()
