"""Questions to the API: several at once, with patience, and the last good answers when none come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import streamlit as st

from dozor.client import ApiError, BadRequest, Calls, Cancelled, Forbidden, Unauthorized
from dozor.client.queries import new_id
from dozor.console import parts, words
from dozor.console.account import client
from dozor.console.view import View
from dozor.kernel.i18n import _, format_percent

Question = Callable[[Calls, UUID], Any]

_UNNOTICED = 0.3  # s that a page may take without a word
_PATIENCE = 3.0  # s after which to tell how far it is and offer to stop
_LOOK_AGAIN = 0.5  # s
_FRESH = 4.0  # s, a little less than the time between two looks
_REST = 4.0  # times as long as the answers took, the store is left alone
_DOWN_SINCE, _ASKING, _CALLED_OFF = "dz_down_since", "dz_asking", "dz_called_off"

BLANK = "dz_blank"
"""Whether the page shows nothing yet, so that a skeleton holds its place."""

COUNTING = "dz-counting"
"""Style of an element that is there while a question takes long; the style sheet shows the button then."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the API said to a page's questions.

    Args:
        values: The answer to each question.
        at: When they came, UTC.
        took: How long they took, seconds.
        stale: Whether they are the last good ones and none came now.
    """

    values: Mapping[str, Any]
    at: datetime
    took: float
    stale: bool = False

    def age(self) -> float:
        """Seconds since they came."""
        return (datetime.now(UTC) - self.at).total_seconds()

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
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(16, "console-ask")


def ask(view: View, name: str, height: int, /, **questions: Question) -> Answers | None:
    """Ask all questions at once and wait for the answers: see `start`.

    Args:
        view: The look at the console.
        name: Names the answers that are kept for when the API is away.
        height: Of what will be shown, pixels: held free while it is waited for.
        questions: What to ask, given the client and an id under which the query can be called off.
    """
    return start(view, name, **questions).answers(height)


def start(view: View, name: str, /, **questions: Question) -> Asked:
    """Ask all questions at once, without waiting.

    Answers to the same questions that are only just old are good for another look: a click on a row shall
    not wait for the store, and a store that needs long is asked less often.
    """
    scope = view.scope
    signature = (scope.preset, scope.start, scope.end, scope.where, *sorted(questions))
    kept: dict[str, tuple[object, Answers]] = st.session_state.setdefault("dz_kept", {})
    known = kept[name][1] if name in kept and kept[name][0] == signature else None
    asked = Asked(view, name, signature, known)
    if (known is None or known.age() >= max(_FRESH, _REST * known.took)) and not asked.called_off():
        asked.send(questions)
    return asked


class Asked:
    """Questions under way.

    Args:
        view: The look at the console.
        name: Names the answers that are kept.
        signature: What they depend on beside the name.
        known: The last good answers.
    """

    def __init__(self, view: View, name: str, signature: object, known: Answers | None) -> None:
        self._view = view
        self._name = name
        self._signature = signature
        self._known = known
        self._began = time.monotonic()
        self._ids: dict[str, UUID] = {}
        self._futures: dict[str, Future[Any]] = {}

    def send(self, questions: Mapping[str, Question]) -> None:
        """Send the questions, each in a thread of its own."""
        for name, question in questions.items():
            self._ids[name] = new_id()
            # Each with a context of its own, which carries the language into the thread.
            work = copy_context().run
            self._futures[name] = _pool().submit(work, question, client(), self._ids[name])

    def answers(self, height: int) -> Answers | None:
        """Wait for the answers; None when there is nothing to show, which the page was told then.

        Args:
            height: Of what will be shown, pixels: held free meanwhile.
        """
        place = st.empty()
        if self.called_off():
            with place.container():
                told = _("Choose a shorter range or fewer filters, or ask again.")
                st.html(parts.note(_("The question was called off."), told))
                st.button(_("Ask again"), key=f"again-{self._name}", on_click=_ask_again)
            return None
        if not self._futures:
            return self._known
        try:
            values = self._wait(place, height if st.session_state.get(BLANK, True) else 0)
        except Cancelled as error:
            place.html(parts.note(error.message, hint=error.hint))
            return None
        except Unauthorized:
            st.rerun()  # the frame says that the session has ended
        except (BadRequest, Forbidden) as error:
            place.html(parts.note(error.message, hint=error.hint, tone="bad"))
            return None
        except ApiError as error:
            return _without_answer(self._view, place, self._known, error)
        place.empty()
        st.session_state.pop(_DOWN_SINCE, None)
        answers = Answers(values, datetime.now(UTC), time.monotonic() - self._began)
        st.session_state["dz_kept"][self._name] = (self._signature, answers)
        return answers

    def _wait(self, place: Any, height: int) -> dict[str, Any]:
        futures = self._futures
        pending = wait(futures.values(), timeout=_UNNOTICED).not_done
        progress: Any = None
        try:
            if pending and height:
                place.skeleton(height)
            while pending:
                pending = wait(futures.values(), timeout=_LOOK_AGAIN).not_done
                if pending and time.monotonic() - self._began >= _PATIENCE:
                    progress = progress or self._offer_to_stop(place, height)
                    asked = [self._ids[name] for name in futures if futures[name] in pending]
                    progress.text(_("Still counting: {share} done.").format(share=_done(asked)))
        finally:
            # Whoever left the page or pressed Cancel must not leave the store counting.
            _cancel([self._ids[name] for name, future in futures.items() if not future.done()])
        return {name: future.result() for name, future in futures.items()}

    def _offer_to_stop(self, place: Any, height: int) -> Any:
        """Show that it takes long, and the frame's button to stop it; returns the place of the progress."""
        st.session_state[_ASKING] = (self._name, self._signature)
        with place.container():
            st.html(f'<span class="{COUNTING}"></span>')
            progress = st.empty()
            if height:
                st.skeleton(height)
        return progress

    def called_off(self) -> bool:
        """Whether the person did not want to wait for this any longer."""
        return bool(st.session_state.get(_CALLED_OFF) == (self._name, self._signature))


def call_off() -> None:
    """Wait no longer for what takes long; a callback for the button of the frame.

    A button of the page itself would have to wait, since its own widgets do not interrupt a fragment.
    """
    st.session_state[_CALLED_OFF] = st.session_state.get(_ASKING)


def _cancel(ids: list[UUID]) -> None:
    for one in ids:
        with suppress(ApiError):
            client().queries.cancel(one)


def _done(ids: list[UUID]) -> str:
    done = 0.0
    for one in ids:
        with suppress(ApiError):
            done += client().queries.status(one).progress / len(ids)
    return format_percent(done, 0)


def _ask_again() -> None:
    st.session_state.pop(_CALLED_OFF, None)


def _without_answer(view: View, place: Any, known: Answers | None, error: ApiError) -> Answers | None:
    since: datetime = st.session_state.setdefault(_DOWN_SINCE, view.now)
    title = _("No answer since {time}.").format(time=words.clock(view.local(since)))
    if known is not None:
        title += " " + _("The numbers are from {time}.").format(time=view.absolute(known.at))
    number = error.problem.id if error.problem and error.problem.id else ""
    hint = error.hint or _("The page asks again by itself.")
    if number:
        hint += " " + _("The log has more under the id {id}.").format(id=number)
    place.html(parts.note(title, error.message, hint=hint, tone="bad"))
    return None if known is None else replace(known, stale=True)
