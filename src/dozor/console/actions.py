"""What a click changes: range, filters, page. For callbacks only, since they touch widgets of the frame."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dozor.console.scope import merge, write_moment

GOTO, RELOAD = "dz_goto", "dz_reload"
"""Wishes that the frame fulfils: show another page; run the whole script, not the page alone."""


def choose_stretch(since: datetime, until: datetime) -> None:
    """Take a stretch of time as the range of the whole console; to be called from a callback."""
    st.session_state["from"], st.session_state["to"] = write_moment(since), write_moment(until)
    st.session_state[RELOAD] = True


def add_filters(*conditions: str) -> None:
    """Add conditions to those of the whole console; to be called from a callback."""
    st.session_state["where"] = list(merge(st.session_state.get("where") or (), conditions))
    st.session_state[RELOAD] = True


def go_to(page: str) -> None:
    """Show another page with the same range and filters; to be called from a callback."""
    st.session_state[GOTO] = page
