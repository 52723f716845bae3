"""Live ingest: what arrives at sources is stored once, in order, and its findings are told.

    source > reader > [queue] > workers: parse, enrich, detect > keeper: intent > insert > mark > findings

Each source has a lane of two threads. Its reader looks for new lines and hands them to workers that all
lanes share; its keeper takes the results in their order and stores them. What waits between them is
bounded in number and in bytes, so that a store that is slow or away lets the reader wait and nothing
else; the reader goes on to look, so that it misses no rotation. Meanwhile more lines arrive, and the
next batch is larger: inserts are as large as the store is slow.

A batch is one byte range of one file, and its token names just that. Ranges of several files are not
joined into one insert: what one token covers must come again as a whole after a crash, and a file that
vanished meanwhile would take the others' lines with it. Few inserts are made all the same, since a log
is looked at every `Pace.delay` and not for every line, and less often the more logs grow at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue

import pyarrow as pa

from dozor.features.traffic.core.formats import Format
from dozor.features.traffic.model import Arrival, Followed, SourceState, SourceStatus
from dozor.features.traffic.ports import Checkpoints, LiveSource, RecordStore
from dozor.features.traffic.service import Pipeline
from dozor.features.traffic.service.batches import Batch, Maker
from dozor.kernel.errors import DozorError
from dozor.kernel.finding import Finding, Publisher
from dozor.kernel.i18n import _, ngettext
from dozor.kernel.masking import mask

_log = logging.getLogger(__name__)

_LEAST_READ = 64 << 10
_BEHIND_BYTES = 4 << 20
_MANY_STRANGE = 20  # fewer may be junk in a log that is quiet
_BEHIND_SECONDS = 2.0
_SAMPLE_SECONDS = 0.2
_GROWS_SECONDS = 3.0  # a log that gave lines within these counts as growing
_ROOM_SECONDS = 0.5  # between two looks for room, and whether to stop
_CUT_SECONDS = 0.5  # for threads to end once nobody waits for them
_MOST_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast and how much at a time.

    Args:
        delay: Seconds between two looks at a log: how long a new line waits for others.
        share: Seconds between two batches of all logs together. A batch of one line costs about 25 ms of
            one core, so that logs which grow by some lines a second take a quarter of it.
        delay_cap: Longest time between two looks, however many logs grow.
        chunk_bytes: Bytes that are read and stored in one go at the most.
        queue: Batches of a source between reading and storing.
        memory: Bytes of lines between reading and storing, of all sources together; columns take about
            four times as much on top.
        inserts: Inserts at the same time.
        workers: Threads that parse and detect.
        retry: Seconds before the first repetition of what failed; doubled up to `retry_cap`.
        retry_cap: Longest wait; how late a store that came back is noticed.
        lag_warning: Warn when the oldest line that is not stored waits this many seconds.
    """

    delay: float = 0.1
    share: float = 0.1
    delay_cap: float = 2.0
    chunk_bytes: int = 16 << 20
    queue: int = 4
    memory: int = 64 << 20
    inserts: int = 2
    workers: int = 2
    retry: float = 0.2
    retry_cap: float = 5.0
    lag_warning: float = 30.0


@dataclass(slots=True)
class _Log:
    """Counts of one log. `samples` holds when how many bytes had arrived in all, each `spacing` seconds."""

    format: str = ""
    lines: int = 0
    rejected: int = 0
    strange: int = 0
    """Rejected lines since the last one that could be read."""
    last: datetime | None = None
    stored: int = 0
    in_flight: int = 0
    samples: deque[tuple[float, int]] = field(default_factory=deque)
    spacing: float = _SAMPLE_SECONDS
    late: bool = False

    def saw(self, unread: int, now: float) -> None:
        """Note how much has arrived by now."""
        total = self.stored + self.in_flight + unread
        if self.samples and total <= self.samples[-1][1]:
            return
        if self.samples and now - self.samples[-1][0] < self.spacing:
            self.samples[-1] = self.samples[-1][0], total
        elif total > self.stored:
            if len(self.samples) >= _MOST_SAMPLES:  # a store that is away for days must not cost memory
                self.samples, self.spacing = deque(list(self.samples)[::2]), self.spacing * 2
            self.samples.append((now, total))

    def lag(self, now: float) -> float:
        """Seconds that the oldest byte has been waiting."""
        while self.samples and self.samples[0][1] <= self.stored:
            self.samples.popleft()
        if not self.samples:
            self.spacing = _SAMPLE_SECONDS
            return 0.0
        return max(0.0, now - self.samples[0][0])


class _Room:
    """Bytes that may be under way; safe for threads."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._lock = threading.Lock()

    def take(self, most: int) -> int:
        """Take up to so many; 0 when there is not enough to be worth it."""
        with self._lock:
            taken = min(most, self._free) if self._free >= _LEAST_READ else 0
            self._free -= taken
            return taken

    def give(self, size: int) -> None:
        with self._lock:
            self._free += size


class LiveIngest:
    """Follows sources and stores what arrives, until it is told to stop. A service of the supervisor.

    Args:
        sources: What to follow; names are unique.
        pipeline: What to do with lines of access logs.
        store: Where records go.
        checkpoints: Where it is remembered how far sources are stored; belongs to this store.
        findings: Makes findings of a batch of schema `columns.record.RECORD`.
        publisher: Hears of the findings of a batch once it is stored; after a crash again.
        pace: How fast and how much at a time.
        clock: Monotonic seconds; the time of day is never asked, so that it may jump.
    """

    name = "ingest"

    def __init__(
        self,
        sources: Sequence[LiveSource],
        pipeline: Pipeline,
        store: RecordStore,
        checkpoints: Checkpoints,
        *,
        findings: Callable[[pa.RecordBatch], Iterable[Finding]] | None = None,
        publisher: Publisher | None = None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = pace or Pace()
        self.clock = clock
        self.store, self.checkpoints = store, checkpoints
        self.publisher = publisher
        self.maker = Maker(pipeline, findings)
        self.stages = self.maker.stages
        self._lanes = [_Lane(source, self) for source in sources]
        self._grew: dict[str, float] = {}

    def grew(self, name: str) -> None:
        """Note that a log gave lines."""
        self._grew[name] = self.clock()

    def delay(self) -> float:
        """Seconds until a log is looked at again."""
        now = self.clock()
        growing = sum(now - when < _GROWS_SECONDS for when in list(self._grew.values()))
        return max(self.pace.delay, min(growing * self.pace.share, self.pace.delay_cap))

    def status(self) -> tuple[SourceStatus, ...]:
        """Each log and how its lines come along; safe from any thread."""
        return tuple(status for lane in self._lanes for status in lane.status())

    def seconds(self) -> dict[str, float]:
        """Seconds spent so far by stage, summed over threads: read, parse, enrich, detect, insert, ..."""
        return self.stages.snapshot()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until `stop` is set; then store what was read and return.

        What a store that is away does not take then is left to the next start.
        """
        self.room = _Room(self.pace.memory)
        self.inserting = threading.Semaphore(self.pace.inserts)
        self.stopping, self.cut = threading.Event(), threading.Event()
        self.pool = ThreadPoolExecutor(self.pace.workers, "dozor-work")
        for lane in self._lanes:
            lane.start()
        try:
            while not stop.is_set() and not any(lane.bug for lane in self._lanes):
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 1.0)
                self._tell_lag()
        except BaseException:
            self.cut.set()
            raise
        finally:
            self.stopping.set()
            try:
                await self._end()
            finally:
                # The loop must not wait for what nobody stores any more.
                self.pool.shutdown(wait=not self.cut.is_set())
        for lane in self._lanes:
            if lane.bug is not None:
                raise lane.bug

    async def _end(self) -> None:
        waiting = asyncio.get_running_loop().run_in_executor(None, self._join)
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:  # the grace is over: what is not stored comes again
            self.cut.set()
            await asyncio.wait({waiting}, timeout=_CUT_SECONDS)
            raise

    def _join(self) -> None:
        for lane in self._lanes:
            lane.join()

    def _tell_lag(self) -> None:
        for lane in self._lanes:
            lane.tell_lag(self.pace.lag_warning)


def _reason(failure: BaseException) -> str:
    """What went wrong, without secrets, since people are shown it."""
    return mask(str(failure) if isinstance(failure, DozorError) else f"{type(failure).__name__}: {failure}")


@dataclass(slots=True)
class _Work:
    """An arrival on its way, and the room that it takes."""

    arrival: Arrival
    future: Future[Batch]
    room: int


class _CutOffError(Exception):
    """Nobody waits any more for what is not stored."""


class _Lane:
    """The way of one source's lines: a reader, the workers, a keeper."""

    def __init__(self, source: LiveSource, ingest: LiveIngest) -> None:
        self._source, self._ingest = source, ingest
        self._logs: dict[str, _Log] = {}
        self._formats: dict[str, Format] = {}
        self._deciding: set[str] = set()
        self._moved = threading.Condition()
        self._under_way = 0
        self._threads: list[threading.Thread] = []
        self._is_open = False
        self._open_failure = ""
        self._pause = ""
        self._broken = ""
        self.bug: BaseException | None = None

    def start(self) -> None:
        """Begin to read and to keep."""
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._under_way, self._is_open, self.bug = 0, False, None
        self._deciding.clear()
        for log in self._logs.values():
            log.in_flight = 0
            log.samples.clear()
        self._threads = [
            # Daemons: a read from a dead disk must not keep the process.
            threading.Thread(target=self._guard, args=(body,), name=f"dozor-{name}", daemon=True)
            for name, body in (("read", self._read), ("keep", self._keep))
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait for the end of both threads, or until they are cut off."""
        for thread in self._threads:
            while thread.is_alive() and not self._ingest.cut.is_set():
                thread.join(0.1)

    def _guard(self, body: Callable[[], None]) -> None:
        try:
            body()
        except _CutOffError:
            pass
        except BaseException as bug:  # noqa: BLE001 - raised again by the service
            self.bug = bug
            # Not cut off: the service runs again, and no thread of this run may be at work beside it.
            self._ingest.stopping.set()

    # The reader

    def _read(self) -> None:
        source, ingest = self._source, self._ingest
        try:
            if self._opened():
                while not ingest.stopping.wait(ingest.delay()):
                    self._look()
                    while not ingest.stopping.is_set() and self._read_next():
                        pass
        finally:
            self._queue.put(None)  # first: the keeper must end, whatever happens to the source
            source.close()

    def _opened(self) -> bool:
        """Open the source, however long it takes; False when it is to stop before."""
        wait = self._ingest.pace.retry
        while not self._ingest.stopping.is_set():
            try:
                self._source.open(self._ingest.checkpoints.marks())
            except DozorError as failure:
                if str(failure) != self._open_failure:
                    _log.warning("%s cannot be followed: %s", self._source.name, failure)
                self._open_failure = str(failure)
                self._ingest.stopping.wait(wait)
                wait = min(wait * 2, self._ingest.pace.retry_cap)
            else:
                self._open_failure, self._is_open = "", True
                return True
        return False

    def _look(self) -> None:
        with self._ingest.stages.measure("look"):
            self._source.scan()
        now = self._ingest.clock()
        with self._moved:
            for log in self._source.followed():
                self._log_of(log.name).saw(log.unread, now)

    def _read_next(self) -> bool:
        """Hand the next lines to the workers; False when there are none."""
        ingest, pace = self._ingest, self._ingest.pace
        room = self._wait_for_room()
        if not room:
            return False
        with ingest.stages.measure("read"):
            arrival = self._source.next(room)
        size = 0 if arrival is None else len(arrival.data)
        ingest.room.give(room - size)  # a line longer than the room is taken all the same
        if arrival is None:
            return False
        name = arrival.mark.name
        ingest.grew(name)
        with self._moved:
            # While the format is not known, one batch at a time decides on it.
            while name in self._deciding and not ingest.cut.is_set():
                self._moved.wait(pace.delay)
            known = self._formats.get(name)
            if known is None and arrival.data:
                self._deciding.add(name)
            self._under_way += 1
            self._log_of(name).in_flight += size
        self._queue.put(_Work(arrival, ingest.pool.submit(self._make, arrival, known), size))
        return True

    def _wait_for_room(self) -> int:
        """Bytes that may be read now; looks on while there are none, so that no rotation is missed."""
        ingest, pace = self._ingest, self._ingest.pace
        while not ingest.stopping.is_set():
            with self._moved:
                if self._under_way < pace.queue and (room := ingest.room.take(pace.chunk_bytes)):
                    return room
                self._moved.wait(min(pace.delay, _ROOM_SECONDS))
                if self._under_way < pace.queue and (room := ingest.room.take(pace.chunk_bytes)):
                    return room
            self._look()
        return 0

    def _make(self, arrival: Arrival, known: Format | None) -> Batch:
        name = arrival.mark.name
        try:
            batch = self._ingest.maker.make(arrival, known)
            if batch.format is not None:
                self._formats[name] = batch.format
            return batch
        finally:
            with self._moved:
                self._deciding.discard(name)
                self._moved.notify_all()

    # The keeper

    def _keep(self) -> None:
        while (work := self._queue.get()) is not None:
            batch = self._made(work)
            self._stored(batch)
            self._tell(batch.findings)
            self._source.stored(batch.after)
            self._ingest.room.give(work.room)
            with self._moved:
                self._under_way -= 1
                self._count(batch)
                self._moved.notify_all()

    def _made(self, work: _Work) -> Batch:
        """What the workers made; what fails there is a bug, told and tried again, since lines must not go."""
        wait = self._ingest.pace.retry
        while True:
            try:
                batch = work.future.result()
            except BaseException as bug:  # noqa: BLE001 - logged, shown and tried again; a panic of Rust, too
                if not self._broken:
                    _log.exception(
                        "%s from byte %d cannot be worked on.", work.arrival.mark.name, work.arrival.offset
                    )
                self._broken = _reason(bug)
                self._wait(wait)
                wait = min(wait * 2, self._ingest.pace.retry_cap)
                known = self._formats.get(work.arrival.mark.name)
                work.future = self._ingest.pool.submit(self._make, work.arrival, known)
            else:
                self._broken = ""
                return batch

    def _stored(self, batch: Batch) -> None:
        """Store a batch, however long the store is away."""
        wait = self._ingest.pace.retry
        while True:
            try:
                self._store(batch)
            except Exception as failure:  # noqa: BLE001 - whatever it is, nothing may be lost
                self._paused(failure)
                self._wait(wait)
                wait = min(wait * 2, self._ingest.pace.retry_cap)
            else:
                if self._pause:
                    _log.info("The store takes lines of %s again.", self._source.name)
                    self._pause = ""
                return

    def _store(self, batch: Batch) -> None:
        ingest = self._ingest
        if batch.delivery is not None:
            with ingest.stages.measure("intent"):
                ingest.checkpoints.save(batch.mark)
            with ingest.inserting, ingest.stages.measure("insert"):
                ingest.store.insert(batch.delivery)
        with ingest.stages.measure("mark"):
            ingest.checkpoints.save(batch.after)

    def _paused(self, failure: Exception) -> None:
        reason = _reason(failure)
        if not self._pause:
            bug = None if isinstance(failure, DozorError) else failure
            _log.warning("%s is paused: %s", self._source.name, reason, exc_info=bug)
        self._pause = reason

    def _wait(self, seconds: float) -> None:
        """Wait before something is tried again; when all is to end there is no again."""
        if self._ingest.stopping.wait(seconds):
            raise _CutOffError

    def _tell(self, findings: Iterable[Finding]) -> None:
        if self._ingest.publisher is not None:
            for finding in findings:
                self._ingest.publisher.publish(finding)

    # What is known of it

    def _log_of(self, name: str) -> _Log:
        return self._logs.setdefault(name, _Log())

    def _count(self, batch: Batch) -> None:
        log = self._log_of(batch.mark.name)
        log.in_flight -= batch.size
        log.stored += batch.size
        log.lines += batch.lines
        log.rejected += batch.rejected
        self._note_strange(batch, log)
        if batch.format is not None:
            log.format = batch.format.name
        if batch.last is not None:
            last = batch.last.astimezone(UTC)
            log.last = last if log.last is None else max(log.last, last)

    def _note_strange(self, batch: Batch, log: _Log) -> None:
        """Warn once when line after line cannot be read: most likely the log's format is another."""
        before = log.strange
        log.strange = 0 if batch.lines else before + batch.rejected
        if before < _MANY_STRANGE <= log.strange:
            _log.warning(
                "%s: none of its last %d lines could be read. Name its format with --format.",
                batch.mark.name,
                log.strange,
            )

    def status(self) -> list[SourceStatus]:
        """Each log of the source and how its lines come along."""
        now = self._ingest.clock()
        followed = self._source.followed() or [Followed(self._source.name, waiting=True)]
        with self._moved:
            return [self._status_of(seen, self._log_of(seen.name), now) for seen in followed]

    def _status_of(self, seen: Followed, log: _Log, now: float) -> SourceStatus:
        lag_bytes, lag = seen.unread + log.in_flight, log.lag(now)
        state, reason = self._state(seen, lag_bytes, lag)
        if not reason and log.strange >= _MANY_STRANGE:
            reason = ngettext(
                "The last {count} line could not be read; name its format with --format.",
                "None of the last {count} lines could be read; name its format with --format.",
                log.strange,
            ).format(count=log.strange)
        return SourceStatus(
            name=seen.name,
            format=log.format,
            state=state,
            reason=reason,
            lag_bytes=lag_bytes,
            lag_seconds=lag,
            lines=log.lines,
            rejected=log.rejected,
            last_event=log.last,
            offset=seen.offset,
            size=seen.size,
        )

    def _state(self, seen: Followed, lag_bytes: int, lag: float) -> tuple[SourceState, str]:
        if self._open_failure:
            return SourceState.WAITING, self._open_failure
        if not self._is_open:
            return SourceState.STARTING, _("It is not looked for yet.")
        if self._broken:
            return SourceState.FAILED, self._broken
        if self._pause:
            return SourceState.PAUSED, self._pause
        if seen.reason:
            return SourceState.WAITING, seen.reason
        if seen.waiting:
            return SourceState.WAITING, _("There is no file '{name}' at present.").format(name=seen.name)
        if lag_bytes > _BEHIND_BYTES or lag > _BEHIND_SECONDS:
            return SourceState.BEHIND, ngettext(
                "{count} byte is not stored yet.", "{count} bytes are not stored yet.", lag_bytes
            ).format(count=lag_bytes)
        return SourceState.FOLLOWING, ""

    def tell_lag(self, limit: float) -> None:
        """Warn once when lines wait longer than the limit; take it back when it is half of that."""
        for status in self.status():
            log = self._log_of(status.name)
            lag = status.lag_seconds or 0.0
            if not log.late and lag > limit:
                log.late = True
                _log.warning(
                    "%s is %.0f s behind: %d bytes are not stored yet.", status.name, lag, status.lag_bytes
                )
            elif log.late and lag < limit / 2:
                log.late = False
                _log.info("%s has caught up.", status.name)
