"""Rows of people, sessions and keys: facts in columns, and at the right what can be done with each.

A table of Streamlit's needs a mouse to choose a row. Here the actions are buttons of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from dozor.console import parts
from dozor.kernel.i18n import _

_BUTTON = 110
"""Room for a button, pixels: the longest label in Russian with its icon."""


@dataclass(frozen=True, slots=True)
class Button:
    """Something to do with a row.

    Args:
        label: A verb.
        key: Names the button among all of the page.
        work: What is done by a click.
        icon: Name of its Material symbol.
        hint: More words, for a pointer that rests on it.
    """

    label: str
    key: str
    work: Callable[[], Any]
    icon: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Args:
        cells: HTML of its cells.
        buttons: What can be done with it.
    """

    cells: Sequence[str]
    buttons: Sequence[Button] = field(default_factory=tuple)


def show(key: str, heads: Sequence[str], widths: str, rows: Iterable[Row], *, empty: str) -> None:
    """Show rows.

    Args:
        key: Names the list among all of the page.
        heads: Headings of the columns.
        widths: Of the columns, as CSS's `grid-template-columns`.
        rows: The rows.
        empty: What to say when there are none.
    """
    listed = list(rows)
    if not listed:
        st.html(f'<p class="dz cap">{parts.text(empty)}</p>')
        return
    room = _BUTTON * max(len(row.buttons) for row in listed)
    with st.container(key=f"rows-{key}", gap=None):
        names = "".join(f"<span>{parts.text(head)}</span>" for head in heads)
        _row(
            f"{key}-head", f'<div class="dz dz-cells head" style="{_columns(widths)}">{names}</div>', (), room
        )
        for number, row in enumerate(listed):
            cells = "".join(
                f'<span data-head="{parts.text(head)}">{html}</span>'
                for head, html in zip(heads, row.cells, strict=True)
            )
            html = f'<div class="dz dz-cells" style="{_columns(widths)}">{cells}</div>'
            _row(f"{key}-{number}", html, row.buttons, room)


def _columns(widths: str) -> str:
    return f"grid-template-columns:{widths}"


def _row(key: str, html: str, buttons: Sequence[Button], room: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"row-{key}"):
        st.html(html)
        if not room:
            return
        with st.container(
            horizontal=True, horizontal_alignment="right", width=room, gap="xsmall", key=f"do-{key}"
        ):
            for button in buttons:
                st.button(
                    button.label,
                    key=button.key,
                    icon=f":material/{button.icon}:" if button.icon else None,
                    help=button.hint or None,
                    type="tertiary",
                    on_click=button.work,
                )
            if not buttons:
                st.html("<i></i>")  # an empty place would take no room, and the columns would not align


def show_secret(title: str, secret: str, told: str, *, file: str = "", done: Callable[[], None]) -> None:
    """Show something that is told this once, to be copied or kept as a file.

    Args:
        title: What it is.
        secret: The secret; its box has a button that copies it.
        told: What to do with it.
        file: Name of a file to keep it in; empty for none.
        done: What to do when the person has it.
    """
    with st.container(border=True, key="secret"):
        st.html(parts.note(title, told, tone="warn"))
        st.code(secret, language=None, wrap_lines=True)
        with st.container(horizontal=True):
            st.button(_("I have kept it"), type="primary", on_click=done, key="secret-kept")
            if file:
                st.download_button(
                    _("Download as a file"),
                    secret + "\n",
                    file_name=file,
                    mime="text/plain",
                    on_click="ignore",
                )


def confirm(title: str, effect: str, verb: str, work: Callable[[], Any], *, typed: str = "") -> None:
    """Ask before something that cannot be undone.

    Args:
        title: The question, naming the thing.
        effect: What will happen.
        verb: The button's label.
        work: What is done then.
        typed: What must be typed first; empty for nothing.
    """

    @st.dialog(parts.markdown(title))
    def ask() -> None:
        st.html(f'<div class="dz">{parts.text(effect)}</div>')
        said = st.text_input(_("Type {name} to go on").format(name=parts.markdown(typed))) if typed else ""
        with st.container(horizontal=True):
            if st.button(verb, type="primary", disabled=bool(typed) and said.strip() != typed, key="sure"):
                work()
                st.rerun()
            if st.button(_("Cancel"), key="unsure"):
                st.rerun()

    ask()
