from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from uuid import uuid4

import pytest

from dozor.infra.queries import AskerGoneError, BusyError, IdTakenError, Query, QueryPool, State
from dozor.kernel.errors import CancelledError, UnavailableError
from dozor.kernel.i18n import current_language, use_language

DEADLINE = 10  # s


class Work:
    """Work that tells when it began, and goes on until it is let go or called off."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()

    def __call__(self, query: Query) -> str:
        self.began.set()
        try:
            while not self.go.wait(0.01):
                query.progress(0.5)
            return "answer"
        finally:
            self.ended.set()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, DEADLINE))


async def happened(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, DEADLINE)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what other threads do; `run` has the deadline."""
    while not holds():  # noqa: ASYNC110 - threads set no event of this loop
        await asyncio.sleep(0.005)


async def free(pool: QueryPool) -> None:
    await until(lambda: not pool.waiting)


def test_the_answer_of_a_thread_comes_back_in_the_language_of_the_asker() -> None:
    async def main() -> None:
        pool = QueryPool()
        with use_language("ru"):
            said = await pool.run(lambda _query: (current_language(), threading.current_thread().name))
        assert said[0] == "ru"
        assert said[1].startswith("dozor-query")
        pool.close()

    run(main())


def test_an_error_of_the_work_reaches_the_asker_and_the_query_has_failed() -> None:
    async def main() -> None:
        pool = QueryPool()
        name = uuid4()

        def work(_query: Query) -> None:
            raise UnavailableError("The store is away.")

        with pytest.raises(UnavailableError, match="away"):
            await pool.run(work, id=name)
        query = pool.find(name)
        assert query is not None
        assert query.state is State.FAILED
        pool.close()

    run(main())


def test_a_named_query_tells_its_state_progress_and_time() -> None:
    async def main() -> None:
        clock = Clock()
        pool = QueryPool(clock=clock)
        name, work = uuid4(), Work()
        asked = asyncio.create_task(pool.run(work, id=name))
        await happened(work.began)
        query = pool.find(name)
        assert query is not None
        await until(lambda: query.done == 0.5)
        clock.now = 2.5
        assert (query.state, query.done, query.elapsed) == (State.RUNNING, 0.5, 2.5)
        work.go.set()
        assert await asked == "answer"
        clock.now = 9.0
        assert (query.state, query.done, query.elapsed) == (State.DONE, 1.0, 2.5)
        pool.close()

    run(main())


def test_progress_never_goes_back_and_never_beyond_the_whole() -> None:
    query = Query()
    query.progress(0.6)
    query.progress(0.2)
    assert query.done == 0.6
    query.progress(7.0)
    assert query.done == 1.0


def test_a_query_that_is_called_off_ends_for_its_asker_and_for_its_thread() -> None:
    async def main() -> None:
        pool = QueryPool(threads=1)
        name, work = uuid4(), Work()
        asked = asyncio.create_task(pool.run(work, id=name))
        await happened(work.began)
        query = pool.find(name)
        assert query is not None
        query.cancel()
        with pytest.raises(CancelledError, match="called off"):
            await asked
        await happened(work.ended)
        await free(pool)
        assert query.state is State.CANCELLED
        assert await pool.run(lambda _query: 1) == 1
        pool.close()

    run(main())


def test_work_that_was_called_off_while_it_waited_never_begins() -> None:
    async def main() -> None:
        pool = QueryPool(threads=1)
        first, second, name = Work(), Work(), uuid4()
        running = asyncio.create_task(pool.run(first))
        await happened(first.began)
        waiting = asyncio.create_task(pool.run(second, id=name))
        await asyncio.sleep(0)
        query = pool.find(name)
        assert query is not None
        assert query.state is State.WAITING
        query.cancel()
        with pytest.raises(CancelledError):
            await waiting
        first.go.set()
        await running
        await free(pool)
        assert not second.began.is_set()
        pool.close()

    run(main())


def test_a_query_whose_asker_hangs_up_is_called_off() -> None:
    async def main() -> None:
        pool = QueryPool()
        work, hang_up = Work(), asyncio.Event()

        async def gone() -> None:
            await hang_up.wait()

        asked = asyncio.create_task(pool.run(work, gone=gone))
        await happened(work.began)
        hang_up.set()
        with pytest.raises(AskerGoneError):
            await asked
        await happened(work.ended)
        pool.close()

    run(main())


def test_a_query_whose_task_is_cancelled_is_called_off() -> None:
    async def main() -> None:
        pool = QueryPool()
        work = Work()
        asked = asyncio.create_task(pool.run(work))
        await happened(work.began)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await happened(work.ended)
        pool.close()

    run(main())


def test_more_than_may_wait_are_refused_until_one_is_answered() -> None:
    async def main() -> None:
        pool = QueryPool(threads=1, waiting=1)
        works = [Work(), Work()]
        asked = [asyncio.create_task(pool.run(work)) for work in works]
        await happened(works[0].began)
        with pytest.raises(BusyError, match="2 questions"):
            await pool.run(Work())
        for work in works:
            work.go.set()
        await asyncio.gather(*asked)
        await free(pool)
        assert await pool.run(lambda _query: 1) == 1
        pool.close()

    run(main())


def test_a_thread_that_is_still_busy_counts_though_its_asker_left() -> None:
    async def main() -> None:
        pool = QueryPool(threads=1, waiting=0)
        began, go = threading.Event(), threading.Event()

        def deaf(_query: Query) -> None:
            began.set()
            go.wait(DEADLINE)

        asked = asyncio.create_task(pool.run(deaf))
        await happened(began)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        with pytest.raises(BusyError):
            await pool.run(lambda _query: 1)
        go.set()
        await free(pool)
        assert await pool.run(lambda _query: 1) == 1
        pool.close()

    run(main())


def test_an_id_can_be_used_again_only_after_its_query_ended() -> None:
    async def main() -> None:
        pool = QueryPool()
        name, work = uuid4(), Work()
        asked = asyncio.create_task(pool.run(work, id=name))
        await happened(work.began)
        with pytest.raises(IdTakenError):
            await pool.run(lambda _query: 1, id=name)
        work.go.set()
        await asked
        assert await pool.run(lambda _query: 2, id=name) == 2
        pool.close()

    run(main())


def test_an_ended_query_is_forgotten_after_its_time() -> None:
    async def main() -> None:
        clock = Clock()
        pool = QueryPool(kept=300, clock=clock)
        name = uuid4()
        await pool.run(lambda _query: 1, id=name)
        clock.now = 300
        assert pool.find(name) is not None
        clock.now = 301
        assert pool.find(name) is None
        pool.close()

    run(main())


def test_only_so_many_ended_queries_are_kept() -> None:
    async def main() -> None:
        clock = Clock()
        pool = QueryPool(clock=clock)
        names = [uuid4() for _ in range(1_003)]
        for name in names:
            clock.now += 0.001
            await pool.run(lambda _query: 1, id=name)
        kept = [name for name in names if pool.find(name) is not None]
        assert kept == names[-1_000:]
        pool.close()

    run(main())


def counting(ended: threading.Event, made: list[int], most: int = 1_000_000) -> Any:
    def work(query: Query) -> Iterator[int]:
        try:
            for number in range(most):
                query.progress(number / most)
                made.append(number)
                yield number
        finally:
            ended.set()

    return work


def test_a_stream_gives_all_pieces_in_order_and_is_done() -> None:
    async def main() -> None:
        pool = QueryPool()
        name = uuid4()
        pieces = [piece async for piece in pool.stream(counting(threading.Event(), [], 100), id=name)]
        assert pieces == list(range(100))
        query = pool.find(name)
        assert query is not None
        assert query.state is State.DONE
        pool.close()

    run(main())


def test_a_stream_is_made_no_faster_than_it_is_taken() -> None:
    async def main() -> None:
        pool = QueryPool()
        made: list[int] = []
        ended = threading.Event()
        pieces = pool.stream(counting(ended, made))
        assert await anext(pieces) == 0
        await until(lambda: len(made) >= 3)
        await asyncio.sleep(0.05)
        assert len(made) <= 4
        await pieces.aclose()
        await happened(ended)
        pool.close()

    run(main())


def test_a_stream_that_nobody_takes_from_is_given_up() -> None:
    async def main() -> None:
        pool = QueryPool(patience=0.05)
        ended = threading.Event()
        pieces = pool.stream(counting(ended, []))
        await anext(pieces)
        await happened(ended)
        with pytest.raises(CancelledError):
            [piece async for piece in pieces]
        pool.close()

    run(main())


def test_a_stream_can_be_called_off_while_it_waits_for_its_reader() -> None:
    async def main() -> None:
        pool = QueryPool()
        ended, name = threading.Event(), uuid4()
        pieces = pool.stream(counting(ended, []), id=name)
        await anext(pieces)
        query = pool.find(name)
        assert query is not None
        query.cancel()
        await happened(ended)
        with pytest.raises(CancelledError, match="called off"):
            [piece async for piece in pieces]
        pool.close()

    run(main())


def test_an_error_in_the_middle_of_a_stream_reaches_its_reader_after_what_came_before() -> None:
    async def main() -> None:
        pool = QueryPool()

        def work(_query: Query) -> Iterator[int]:
            yield 1
            raise UnavailableError("The store went away.")

        pieces = pool.stream(work)
        assert await anext(pieces) == 1
        with pytest.raises(UnavailableError, match="went away"):
            await anext(pieces)
        pool.close()

    run(main())


def test_streams_have_places_of_their_own_and_refuse_more() -> None:
    async def main() -> None:
        pool = QueryPool(threads=1, waiting=0, streams=1)
        ended = threading.Event()
        first = pool.stream(counting(ended, []))
        await anext(first)
        with pytest.raises(BusyError):
            await anext(pool.stream(counting(threading.Event(), [])))
        assert await pool.run(lambda _query: 1) == 1
        await first.aclose()
        await free(pool)
        second = pool.stream(counting(threading.Event(), []))
        assert await anext(second) == 0
        await second.aclose()
        pool.close()

    run(main())


def test_closing_calls_off_what_is_under_way_and_refuses_the_rest() -> None:
    async def main() -> None:
        pool = QueryPool()
        work = Work()
        asked = asyncio.create_task(pool.run(work))
        await happened(work.began)
        await asyncio.to_thread(pool.close)
        assert work.ended.is_set()
        with pytest.raises(CancelledError):
            await asked
        with pytest.raises(UnavailableError, match="stopping"):
            await pool.run(lambda _query: 1)

    run(main())
