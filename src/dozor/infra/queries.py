"""Long questions to something that blocks: a bounded pool of threads, their progress, and their end.

An answer is given up when its asker goes away, when someone who knows its id calls it off, or when the
process stops. The work notices at its next `Query.progress`, so it should call that often.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from dozor.kernel.errors import CancelledError, UnavailableError, UsageError
from dozor.kernel.i18n import _, ngettext

Answer = TypeVar("Answer")

_AHEAD = 2  # pieces of a stream that may wait for its reader
_MOST_KEPT = 1_000


class BusyError(UnavailableError):
    """Too many questions wait already."""


class IdTakenError(UsageError):
    """A query with this id is under way."""


class AskerGoneError(CancelledError):
    """Nobody is there to hear the answer."""


class State(StrEnum):
    """What became of a query."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Query:
    """One question under way; it is what ports call a watch. Safe for several threads.

    Args:
        id: A name that only its asker knows; None when nobody wants to watch it.
        clock: Seconds that never go back.
    """

    def __init__(self, id: UUID | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:  # noqa: A002
        self.id = id
        self.state = State.WAITING
        self.done = 0.0
        """Share of the work that is done, 0 to 1."""
        self._clock = clock
        self._started = clock()
        self._ended: float | None = None
        self._lock = threading.Lock()
        self._on_cancel: list[Callable[[], None]] = []

    @property
    def elapsed(self) -> float:
        """Seconds from its coming until its end, or until now."""
        return (self._clock() if self._ended is None else self._ended) - self._started

    @property
    def ended(self) -> float | None:
        """When it ended, by the clock; None while it is under way."""
        return self._ended

    def progress(self, done: float) -> None:
        """Note the share of the work that is done, 0 to 1; it never goes back.

        Raises:
            CancelledError: Nobody wants the answer any more.
        """
        if self.state is State.CANCELLED:
            raise called_off_error()
        self.done = max(self.done, min(done, 1.0))

    def begin(self) -> None:
        """Its work begins, unless it was called off while it waited.

        Raises:
            CancelledError: It was.
        """
        with self._lock:
            if self._ended is None:
                self.state = State.RUNNING
        self.progress(0.0)

    def end(self, state: State) -> None:
        """It ended; the first end counts."""
        with self._lock:
            if self._ended is not None:
                return
            self.state, self._ended = state, self._clock()
            if state is State.DONE:
                self.done = 1.0
            called = self._on_cancel if state is State.CANCELLED else []
        for call in called:
            call()

    def cancel(self) -> None:
        """Call it off; one that ended stays as it is."""
        self.end(State.CANCELLED)

    def on_cancel(self, call: Callable[[], None]) -> None:
        """Call `call` when it is called off, at once if it was already."""
        with self._lock:
            self._on_cancel.append(call)
            late = self.state is State.CANCELLED
        if late:
            call()


class QueryPool:
    """Answers questions in threads. Belongs to one event loop; `Query` alone is for other threads.

    Args:
        threads: Questions answered at the same time; a store session each, so a few.
        waiting: Questions that may wait beside them; more are refused.
        streams: Streams sent at the same time; a slow reader holds one, not a thread of the questions.
        patience: Seconds after which a stream whose reader takes nothing is given up.
        kept: Seconds that the status of an ended query can be asked for.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        *,
        threads: int = 4,
        waiting: int = 32,
        streams: int = 4,
        patience: float = 60.0,
        kept: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threads = ThreadPoolExecutor(threads, "dozor-query")
        self._streams = ThreadPoolExecutor(streams, "dozor-stream")
        self._most, self._most_streams = threads + waiting, streams
        self._patience, self._kept, self._clock = patience, kept, clock
        self._under_way: set[Query] = set()
        self._streaming: set[Query] = set()
        self._named: dict[UUID, Query] = {}

    async def run(
        self,
        work: Callable[[Query], Answer],
        *,
        id: UUID | None = None,  # noqa: A002
        gone: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> Answer:
        """Answer a question.

        Args:
            work: Gives the answer, in a thread, in the language of the caller.
            id: Name under which it can be watched and called off.
            gone: Ends when nobody wants the answer any more.

        Raises:
            BusyError: Too many questions wait already.
            IdTakenError: A query with this id is under way.
            CancelledError: It was called off (AskerGoneError: by `gone`).
        """
        query = self._open(id, self._under_way, self._most)
        called_off = _event(query)
        future = asyncio.wrap_future(self._start(self._threads, query, work, self._under_way))
        asker = asyncio.ensure_future(gone()) if gone is not None else None
        waits: set[asyncio.Future[Any]] = {future, called_off, *([asker] if asker else [])}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if future.done() and not called_off.done():
                return future.result()
            if called_off.done():
                raise called_off_error()
            raise AskerGoneError(_("Nobody waits for the answer any more."))
        finally:
            query.cancel()
            future.cancel()
            future.add_done_callback(_seen)
            if asker:
                asker.cancel()

    async def stream(
        self,
        work: Callable[[Query], Iterator[Answer]],
        *,
        id: UUID | None = None,  # noqa: A002
    ) -> AsyncGenerator[Answer, None]:
        """Yield the pieces of a long answer as fast as they are taken; close it to end the work.

        Raises:
            BusyError: Too many streams are sent already.
            IdTakenError: A query with this id is under way.
            CancelledError: It was called off, or nobody took a piece for long.
        """
        query = self._open(id, self._streaming, self._most_streams)
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[Answer] | BaseException | None] = asyncio.Queue()
        room = threading.Semaphore(_AHEAD)

        def hand_over(piece: tuple[Answer] | BaseException | None) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def send(query: Query) -> None:
            with closing(_closable(work(query))) as answers:
                for answer in answers:
                    if not room.acquire(timeout=self._patience):
                        query.cancel()
                    query.progress(query.done)
                    hand_over((answer,))

        def finished(future: Future[None]) -> None:
            # A piece that was called off before it began has no error of its own: `on_cancel` told.
            if not future.cancelled() and not loop.is_closed():
                hand_over(future.exception())

        query.on_cancel(room.release)
        query.on_cancel(lambda: _tell(loop, pieces))
        future = self._start(self._streams, query, send, self._streaming)
        future.add_done_callback(finished)
        try:
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                room.release()
                yield piece[0]
        finally:
            query.cancel()
            future.cancel()

    def find(self, id: UUID) -> Query | None:  # noqa: A002
        """The query of that id, if it is under way or ended not long ago."""
        self._forget()
        return self._named.get(id)

    @property
    def waiting(self) -> int:
        """Questions that are not answered yet."""
        return len(self._under_way) + len(self._streaming)

    def close(self) -> None:
        """Call everything off and end the threads; waits for work to notice."""
        for query in [*self._under_way, *self._streaming]:
            query.cancel()
        self._threads.shutdown(cancel_futures=True)
        self._streams.shutdown(cancel_futures=True)

    def _open(self, id: UUID | None, among: set[Query], most: int) -> Query:  # noqa: A002
        if len(among) >= most:
            raise BusyError(
                ngettext(
                    "{number} question waits already.", "{number} questions wait already.", len(among)
                ).format(number=len(among)),
                hint=_("Try again in a moment."),
            )
        self._forget()
        known = self._named.get(id) if id is not None else None
        if known is not None and known.ended is None:
            raise IdTakenError(
                _("A query with the id {id} is under way.").format(id=id),
                hint=_("Make up a new random UUID for each query."),
            )
        query = Query(id, clock=self._clock)
        if id is not None:
            self._named[id] = query
        among.add(query)
        return query

    @staticmethod
    def _start(
        pool: ThreadPoolExecutor, query: Query, work: Callable[[Query], Answer], among: set[Query]
    ) -> Future[Answer]:
        """Let a thread do the work; the query counts until the thread is free again, whoever left before."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()

        def answer() -> Answer:
            try:
                query.begin()
                result = context.run(work, query)
            except BaseException:
                query.end(State.FAILED)
                raise
            query.end(State.DONE)
            return result

        def free(_future: Future[Answer]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(among.discard, query)

        try:
            future = pool.submit(answer)
        except RuntimeError as error:
            among.discard(query)
            raise UnavailableError(_("Dozor is stopping."), hint=_("Try again in a moment.")) from error
        future.add_done_callback(free)
        return future

    def _forget(self) -> None:
        """Drop what ended long ago, and the oldest when there are too many."""
        ended = sorted((query.ended, id_) for id_, query in self._named.items() if query.ended is not None)
        old = self._clock() - self._kept
        surplus = len(ended) - _MOST_KEPT
        for place, (moment, id_) in enumerate(ended):
            if moment < old or place < surplus:
                del self._named[id_]


async def first_of(
    pieces: AsyncGenerator[Answer, None], gone: Callable[[], Coroutine[Any, Any, None]]
) -> Answer:
    """The first piece of a stream, which may take as long as a whole question.

    Args:
        pieces: What `QueryPool.stream` gave.
        gone: Ends when nobody wants the answer any more.

    Raises:
        AskerGoneError: By `gone`; the stream has ended.
    """
    piece, asker = asyncio.ensure_future(anext(pieces)), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({piece, asker}, return_when=asyncio.FIRST_COMPLETED)
        if piece.done():
            return piece.result()
        raise AskerGoneError(_("Nobody waits for the answer any more."))
    finally:
        asker.cancel()
        piece.cancel()


def called_off_error() -> CancelledError:
    """What is raised by a query that was called off."""
    return CancelledError(_("The query was called off."), hint=_("Ask again if you want the answer."))


def _event(query: Query) -> asyncio.Future[None]:
    """Done when the query is called off, from whichever thread."""
    loop = asyncio.get_running_loop()
    event: asyncio.Future[None] = loop.create_future()

    def set_() -> None:
        if not event.done():
            event.set_result(None)

    def from_any_thread() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(set_)

    query.on_cancel(from_any_thread)
    return event


def _tell(loop: asyncio.AbstractEventLoop, pieces: asyncio.Queue[Any]) -> None:
    """Wake the reader of a stream that was called off."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(pieces.put_nowait, called_off_error())


def _closable(answers: Iterator[Answer]) -> Generator[Answer, None, None]:
    """An iterator with `close`, which closes the other if it can."""
    try:
        yield from answers
    finally:
        if (close := getattr(answers, "close", None)) is not None:
            close()


def _seen(future: asyncio.Future[Answer]) -> None:
    """Look at an error that nobody waits for any more, so that asyncio does not report it."""
    if not future.cancelled():
        future.exception()
