"""Questions to the API: several at once, with patience, and the last good answers when none come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import streamlit as st

from dozor.client import ApiError, BadRequest, Cancelled, Client
from dozor.client.queries import new_id
from dozor.console import parts, words
from dozor.console.settings import settings
from dozor.console.view import View
from dozor.kernel.i18n import _, format_percent

Question = Callable[[Client, UUID], Any]

_UNNOTICED = 0.3  # s that a page may take without a word
_PATIENCE = 3.0  # s after which to tell how far it is and offer to stop
_LOOK_AGAIN = 0.5  # s
_SAID_NOTHING = "dz_down_since"


@dataclass(frozen=True, slots=True)
class Answers:
    """What the API said to a page's questions.

    Args:
        values: The answer to each question.
        at: When they came, UTC.
        stale: Whether they are the last good ones and none came now.
    """

    values: Mapping[str, Any]
    at: datetime
    stale: bool = False

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @contextmanager
    def frame(self) -> Iterator[None]:
        """The place to show them in: greyed when they are old."""
        if self.stale:
            with st.container(key="stale"):
                yield
        else:
            yield


@st.cache_resource(show_spinner=False)
def client() -> Client:
    """The one client of the process: its connections are kept, a new one costs 20 ms a call."""
    return Client(settings.api_url)


@st.cache_resource(show_spinner=False)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(8, "console-ask")


def ask(view: View, name: str, height: int, /, **questions: Question) -> Answers | None:
    """Ask all questions at once; None when there is nothing to show, which the page was told then.

    Args:
        view: The look at the console.
        name: Names the answers that are kept for when the API is away.
        height: Of what will be shown, pixels: held free while it is waited for.
        questions: What to ask, given the client and an id under which the query can be called off.
    """
    place = st.empty()
    signature = (view.scope.preset, view.scope.start, view.scope.end, view.scope.where)
    kept: dict[str, tuple[object, Answers]] = st.session_state.setdefault("dz_kept", {})
    known = kept[name][1] if name in kept and kept[name][0] == signature else None
    try:
        values = _wait(place, height if known is None else 0, questions)
    except Cancelled:
        place.html(parts.note(_("The question was called off."), _("Choose a shorter range, or reload.")))
        return None
    except BadRequest as error:
        place.html(parts.note(error.message, hint=error.hint, tone="bad"))
        return None
    except ApiError as error:
        return _without_answer(view, place, known, error)
    place.empty()
    st.session_state.pop(_SAID_NOTHING, None)
    answers = Answers(values, datetime.now(UTC))
    kept[name] = (signature, answers)
    return answers


def _wait(place: Any, height: int, questions: Mapping[str, Question]) -> dict[str, Any]:
    ids = {name: new_id() for name in questions}
    futures: dict[str, Future[Any]] = {
        # Each with a context of its own, which carries the language into the thread.
        name: _pool().submit(copy_context().run, question, client(), ids[name])
        for name, question in questions.items()
    }
    waited = _UNNOTICED
    pending = wait(futures.values(), timeout=_UNNOTICED).not_done
    try:
        if pending and height:
            place.skeleton(height)
        while pending:
            pending = wait(futures.values(), timeout=_LOOK_AGAIN).not_done
            waited += _LOOK_AGAIN
            if pending and waited >= _PATIENCE:
                _tell_progress(place, height, [ids[name] for name in futures if futures[name] in pending])
    finally:
        # Whoever left the page or pressed Cancel must not leave the store counting.
        for name, future in futures.items():
            if not future.done():
                with suppress(ApiError):
                    client().queries.cancel(ids[name])
    return {name: future.result() for name, future in futures.items()}


def _tell_progress(place: Any, height: int, ids: list[UUID]) -> None:
    done = 0.0
    for one in ids:
        with suppress(ApiError):
            done += client().queries.status(one).progress / len(ids)
    with place.container():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(_("Still counting: {share} done.").format(share=format_percent(done, 0)))
            st.button(_("Cancel"), key=f"cancel-{ids[0]}", on_click=_cancel, args=(ids,))
        if height:
            st.skeleton(height)


def _cancel(ids: list[UUID]) -> None:
    for one in ids:
        with suppress(ApiError):
            client().queries.cancel(one)


def _without_answer(view: View, place: Any, known: Answers | None, error: ApiError) -> Answers | None:
    since: datetime = st.session_state.setdefault(_SAID_NOTHING, view.now)
    title = _("No answer since {time}.").format(time=words.clock(view.local(since)))
    if known is not None:
        title += " " + _("The numbers are from {time}.").format(time=view.absolute(known.at))
    number = error.problem.id if error.problem and error.problem.id else ""
    hint = error.hint or _("The page asks again by itself.")
    if number:
        hint += " " + _("The log has more under the id {id}.").format(id=number)
    place.html(parts.note(title, error.message, hint=hint, tone="bad"))
    return None if known is None else Answers(known.values, known.at, stale=True)
