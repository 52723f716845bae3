"""Follow logs on disk: files and patterns, through every kind of rotation, each byte once.

A file is known by its inode and by the digest of its first bytes: a name says nothing after a rotation,
an inode is given again after a deletion, and a truncated file keeps both.

    the path names another inode    renamed: the old file is read to its end, then the new one
    it shrank, or begins otherwise  truncated in place (copytruncate): what was not read is looked for in
                                    the copy; then the file is read from its beginning
    it is gone                      the open file is read to its end; the path is watched
    Dozor was down meanwhile        the file is looked for among its rotated siblings, packed ones too, and
                                    those that are younger than it are read before the present one

A line is delivered once its line end is there. A file that was rotated away without one gives its last
line after `SETTLE` seconds of quiet, and is let go after `LINGER`: until then the server may still write.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dozor.features.traffic.adapters.files import is_packed, unreadable
from dozor.features.traffic.adapters.readers import (
    Packed,
    Plain,
    Reader,
    head_of,
    no_regular_file,
    open_reader,
)
from dozor.features.traffic.adapters.rotation import Sibling, family_name, identity, names_in, siblings
from dozor.features.traffic.core.errorlog import whole_entries
from dozor.features.traffic.model import Arrival, Followed, Mark
from dozor.kernel.errors import JobError

HEAD_BYTES = 1024
"""First bytes of a file that tell it from others: several lines, each with its time."""

LONGEST_LINE = 1 << 20
"""A longer line is cut: its beginning is delivered, the rest is dropped."""

SETTLE = 5.0
"""Seconds without a change after which a rotated file's last line counts as whole."""

LINGER = 60.0
"""Seconds without a change after which a rotated file is let go."""

LOOK = 1.0
"""Seconds between looks at the whole folder, where new logs of a pattern come and rotated ones go."""

_CUT_LINE = 64 << 10
_SHORTEST_HEAD = 32  # fewer bytes do not tell a file from another
_TRY_AGAIN = 10.0  # seconds before a file that broke off is opened again
_REMEMBERED = 256  # finished files of a log; more would only cost time
_NEWLINE = ord("\n")

_logger = logging.getLogger(__name__)


def _digest(head: bytes) -> str:
    return hashlib.blake2b(head, digest_size=16).hexdigest()


@dataclass(slots=True)
class _Life:
    """One file from its first byte on, under whatever names.

    Args:
        mark: Read up to here.
        reader: None while it is not open.
        path: Its present name; None when it has none.
        end: What was there at the last scan.
        live: Whether it is the youngest of its family, which the server writes to.
        copy: Whether what is open is a copy of the file, which may be shorter than what was read.
        quiet: When its last change was seen (monotonic).
        changed: Size and time of that change.
        intended: End of the range that an earlier process began to store.
        inside: Whether `mark.offset` may lie inside of a line, whose rest is dropped.
        failing: Since when it cannot be read to its end (monotonic).
        failure: Why.
        again: When to try again.
        done: Whether it is let go.
    """

    mark: Mark
    reader: Plain | Packed | None = None
    path: Path | None = None
    end: int = 0
    live: bool = False
    copy: bool = False
    quiet: float = 0.0
    changed: tuple[int, int] = (-1, 0)
    intended: int | None = None
    inside: bool = False
    failing: float | None = None
    failure: str = ""
    again: float = 0.0
    done: bool = False

    @property
    def file_identity(self) -> tuple[int, int]:
        return self.mark.device, self.mark.inode

    def close(self, now: float) -> None:
        if self.reader is not None:
            self.reader.close()
        self.reader, self.path, self.live = None, None, False
        self.quiet, self.changed = now, (-1, 0)


@dataclass(slots=True)
class _Family:
    """A log with its rotated files.

    Args:
        folder: Where they are.
        name: File name without marks of rotation.
        title: What people call it.
        log: What its marks call it.
        matched: Names of its files that the pattern asks for.
        lives: Those that are not read to their end, the oldest first.
        seen: Names, identities and sizes at the last look around.
        looked: When that was (monotonic).
        there: Identity of the file under the log's own name.
        problem: Why something in it cannot be read.
    """

    folder: Path
    name: str
    title: str
    log: str
    matched: frozenset[str]
    lives: list[_Life] = field(default_factory=list)
    seen: list[tuple[str, tuple[int, int], int]] = field(default_factory=list)
    looked: float = float("-inf")
    there: tuple[int, int] | None = None
    problem: str = ""


def tail_sources(names: Sequence[str]) -> list[TailSource]:
    """A source for each path or pattern; a log that several of them mean is followed once."""
    claims: dict[str, TailSource] = {}
    return [TailSource(name, claims=claims) for name in names]


class TailSource:
    """Follows one path, or all files that a pattern matches.

    A path is followed from its beginning; of its rotated files only those are read that were written
    since Dozor last followed it. A pattern that matches rotated files too (`access.log*`) asks for these.

    Args:
        pattern: A path or a pattern with `*`, `?` or `[...]`.
        name: What people call the source; None takes the pattern.
        title: What people call a log of it, by file name without rotation; None takes its path.
        settle: Seconds as `SETTLE`.
        linger: Seconds as `LINGER`.
        look: Seconds as `LOOK`.
        claims: Logs that other sources follow, by absolute path; each is followed by the first that
            finds it. None knows of no others.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        pattern: str | os.PathLike[str],
        *,
        name: str | None = None,
        title: Callable[[str], str] | None = None,
        settle: float = SETTLE,
        linger: float = LINGER,
        look: float = LOOK,
        claims: dict[str, TailSource] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pattern = os.path.abspath(os.fspath(pattern))  # noqa: PTH100 - links stay as they are
        self._name = os.fspath(pattern) if name is None else name
        self._is_pattern = glob.has_magic(self._pattern) and not os.path.lexists(self._pattern)
        self._title = title
        self._claims: dict[str, TailSource] = {} if claims is None else claims
        if not self._is_pattern:  # a path that is named comes before any pattern
            self._claims.setdefault(self._pattern, self)
        self._settle, self._linger, self._look, self._clock = settle, linger, look, clock
        self._families: dict[tuple[Path, str], _Family] = {}
        self._marks: dict[str, Mark] = {}
        self._matched = float("-inf")
        self._followed: tuple[Followed, ...] = ()
        self._first_scan = True
        self._turn = 0

    @property
    def name(self) -> str:
        """The path or pattern as it was given."""
        return self._name

    def open(self, marks: Sequence[Mark]) -> None:
        """Begin where these marks say."""
        self.close()
        self._marks = {mark.file: mark for mark in marks}
        self._first_scan = True
        self.scan()

    def close(self) -> None:
        """Close all files."""
        for family in self._families.values():
            for life in family.lives:
                life.close(self._clock())
        self._families.clear()
        self._matched = float("-inf")

    def stored(self, mark: Mark) -> None:
        """Nothing is to be done: what was read is known."""

    def followed(self) -> Sequence[Followed]:
        """The logs; none while nothing fits a pattern."""
        return self._followed

    def scan(self) -> None:
        """Look what is there by now."""
        now = self._clock()
        if now - self._matched >= self._look:
            self._match()
            self._matched = now
        for family in self._families.values():
            self._scan(family, now)
        self._first_scan = False
        self._followed = tuple(map(_as_followed, self._families.values()))

    def next(self, limit: int) -> Arrival | None:
        """The next lines that were there at the last scan; logs take turns, older files come first."""
        now, families = self._clock(), list(self._families.values())
        for place in range(self._turn, self._turn + len(families)):
            arrival = self._next_of(families[place % len(families)], limit, now)
            if arrival is not None:
                self._turn = place % len(families) + 1  # one that grows without end holds up no other
                return arrival
        return None

    def _next_of(self, family: _Family, limit: int, now: float) -> Arrival | None:
        for life in list(family.lives):
            try:
                arrival = self._take(life, limit, now)
            except (OSError, JobError) as error:
                arrival = self._fail(family, life, error, now)
            if life.done:
                self._remember(life.mark)
                life.close(now)
                family.lives.remove(life)
            if arrival is not None:
                return arrival
        return None

    def _remember(self, mark: Mark) -> None:
        """Keep the mark of a file that is let go, as the latest; of a log's finished ones some suffice."""
        self._marks.pop(mark.file, None)
        self._marks[mark.file] = mark
        finished = [known.file for known in self._marks.values() if known.log == mark.log and known.finished]
        for file in finished[:-_REMEMBERED]:
            del self._marks[file]

    # Which files are there

    def _match(self) -> None:
        """Find the logs that the path or pattern asks for."""
        names: dict[tuple[Path, str], set[str]] = {}
        if not self._is_pattern:
            path = Path(self._pattern)
            names[path.parent, path.name] = {path.name}
        else:
            present: dict[Path, frozenset[str]] = {}
            for path in map(Path, glob.glob(self._pattern)):  # noqa: PTH207 - the pattern is absolute
                if path.parent not in present:
                    present[path.parent] = frozenset(names_in(path.parent) or [path.name])
                key = path.parent, family_name(path.name, present[path.parent])
                names.setdefault(key, set()).add(path.name)
        for key in names.keys() - self._families.keys():
            title = self._title_of(*key)
            log = title if self._title is not None else str(key[0] / key[1])
            if self._claims.setdefault(log, self) is self:
                self._families[key] = _Family(*key, title, log, frozenset())
        for key, family in self._families.items():  # one without a match may have been rotated away
            family.matched = frozenset(names.get(key, ()))

    def _title_of(self, folder: Path, name: str) -> str:
        if self._title is not None:
            return self._title(name)
        return str(folder / name) if self._is_pattern else self._name

    def _scan(self, family: _Family, now: float) -> None:
        try:
            status = (family.folder / family.name).stat()
        except OSError:
            there = None
        else:
            there = identity(status)
        if there != family.there or now - family.looked >= self._look:
            family.there = there
            self._look_around(family, now)
        truncated = [life for life in family.lives if not self._measured(family, life, now)]
        for life in truncated:
            _logger.info("%s was truncated; it is read from its beginning.", family.title)
            life.close(now)
        if truncated:
            family.seen.clear()
            self._look_around(family, now)
            for life in family.lives:
                self._measured(family, life, now)

    def _measured(self, family: _Family, life: _Life, now: float) -> bool:
        try:
            return self._measure(life, now)
        except OSError as error:  # such as a network disk that is away
            self._break_off(family, life, error, now)
            return True

    def _measure(self, life: _Life, now: float) -> bool:
        """Note how much there is to read; False when the file was truncated."""
        if not isinstance(life.reader, Plain):
            return True
        status = life.reader.status()
        changed = status.st_size, status.st_mtime_ns
        if life.copy:
            life.end = max(status.st_size, life.mark.offset)
        elif changed != life.changed:
            if status.st_size < life.mark.offset or not begins_as(life.reader, life.mark):
                return False
            life.end = status.st_size
        if changed != life.changed:
            life.changed, life.quiet = changed, now
        return True

    def _look_around(self, family: _Family, now: float) -> None:
        """Find each file of the family again; open those that are to be read."""
        family.looked = now
        around = siblings(family.folder, family.name)
        open_now = {life.file_identity for life in family.lives if life.reader is not None}
        seen = [
            (file.path.name, file.identity, 0 if file.identity in open_now else file.status.st_size)
            for file in around
        ]
        failing = family.problem or any(life.failure for life in family.lives)
        if seen == family.seen and not failing and not self._first_scan:
            return
        family.seen = seen
        family.problem = self._problem(family, around)
        self._recognise_all(family, around, now)
        place = {file.path: number for number, file in enumerate(around)}
        for life in family.lives:
            if life.path not in place:
                life.path = None
            life.live = life.path is not None and place[life.path] == len(around) - 1
        family.lives.sort(key=lambda life: -1 if life.path is None else place[life.path])
        if self._first_scan:
            self._tell_missed(family, now)

    def _problem(self, family: _Family, around: Sequence[Sibling]) -> str:
        """What is wrong with the log's own path, if it is there and cannot be followed."""
        path = family.folder / family.name
        if self._is_pattern or any(file.path == path for file in around):
            return ""
        try:
            path.stat()
        except FileNotFoundError:
            return ""
        except OSError as error:
            return str(unreadable(str(path), error))
        return str(no_regular_file(path))

    def _recognise_all(self, family: _Family, around: Sequence[Sibling], now: float) -> None:
        known = self._known(family)
        places: dict[str, int] = {}
        strangers: list[tuple[int, Sibling]] = []
        for place, file in enumerate(around):
            life = self._recognise(family, known, file)
            if life is None:
                strangers.append((place, file))
                continue
            places[life.mark.file] = max(place, places.get(life.mark.file, 0))
            if life.file_identity == file.identity and life.reader is not None:
                life.path = file.path
            elif life.reader is None and now >= life.again and self._has_more(family, life, file):
                self._begin(family, life, file, now)
        last = max(places.values(), default=-1)
        latest = max((life.mark.modified for life in known), default=None)
        for place, file in strangers:
            missed = place > last if places else latest is not None and file.status.st_mtime_ns > latest
            if missed or file.path.name in family.matched:
                self._begin(family, _Life(Mark(family.log, uuid.uuid4().hex, family.title)), file, now)

    def _known(self, family: _Family) -> list[_Life]:
        """Lives that a file may be: those followed, then those of earlier times, the latest first."""
        followed = {life.mark.file for life in family.lives}
        return family.lives + [
            _Life(replace(mark, end=None), intended=mark.end, inside=mark.offset > 0)
            for mark in reversed(self._marks.values())
            if mark.log == family.log and mark.file not in followed
        ]

    def _recognise(self, family: _Family, known: Sequence[_Life], file: Sibling) -> _Life | None:
        """The life that a file is: by its inode and its beginning, else by its beginning (packed, copied)."""
        heads: dict[int, str] = {}

        def is_beginning_of(mark: Mark) -> bool:
            if mark.head_size not in heads:
                head = self._head(family, file, mark.head_size)
                heads[mark.head_size] = _digest(head) if len(head) == mark.head_size else ""
            return heads[mark.head_size] == mark.head

        for life in known:
            if life.file_identity == file.identity:
                if life.reader is not None:
                    return life
                if not life.mark.head_size or (
                    file.status.st_size >= life.mark.offset and is_beginning_of(life.mark)
                ):
                    return life
        for life in known:
            # A file that kept its inode but not its size was truncated, even if it begins as before.
            moved = life.file_identity != file.identity or is_packed(self._head(family, file, 8, raw=True))
            if life.mark.head_size >= _SHORTEST_HEAD and moved and is_beginning_of(life.mark):
                return life
        return None

    def _head(self, family: _Family, file: Sibling, size: int, *, raw: bool = False) -> bytes:
        try:
            if raw:
                with file.path.open("rb") as opened:
                    return opened.read(size)
            return head_of(file.path, size)
        except JobError as error:
            family.problem = str(error)
        except OSError as error:
            family.problem = str(unreadable(str(file.path), error))
        return b""

    def _has_more(self, family: _Family, life: _Life, file: Sibling) -> bool:
        """Whether a file that is not open is worth opening."""
        if not life.mark.finished:
            return True
        if life.file_identity != file.identity or file.status.st_size <= life.mark.offset:
            return False
        return not is_packed(self._head(family, file, 8, raw=True))

    def _begin(self, family: _Family, life: _Life, file: Sibling, now: float) -> None:
        try:
            life.reader = open_reader(file.path)
            status = life.reader.status()
            if not begins_as(life.reader, life.mark):  # it was renamed since it was recognised
                life.close(now)
                family.seen.clear()
                return
        except OSError as error:
            family.problem = str(unreadable(str(file.path), error))
            return
        except JobError as error:
            family.problem = str(error)
            return
        there = identity(status)
        life.copy = life.mark.inode != 0 and life.file_identity != there
        life.mark = replace(
            life.mark, device=there[0], inode=there[1], modified=status.st_mtime_ns, finished=False
        )
        life.path, life.quiet, life.changed, life.done = file.path, now, (-1, 0), False
        if not any(life is other for other in family.lives):
            family.lives.append(life)

    def _tell_missed(self, family: _Family, now: float) -> None:
        """Say which files that were followed are nowhere any more; they are awaited for a while."""
        followed = {life.mark.file for life in family.lives}
        for life in self._known(family):
            if life.mark.finished or life.mark.file in followed:
                continue
            life.quiet = now
            family.lives.insert(0, life)
            _logger.warning(
                "%s was rotated away while nobody followed it and is not found in %s: "
                "what was written to it after byte %d is not read.",
                family.title,
                family.folder,
                life.mark.offset,
            )

    # What is in them

    def _take(self, life: _Life, limit: int, now: float) -> Arrival | None:
        if life.reader is None:
            return self._finish(life, now)
        if life.intended is not None:
            return self._take_intended(life)
        if life.inside and not self._leave_line(life):
            return self._finish(life, now)
        data = self._read(life, limit)
        life.failing, life.failure = None, ""
        size = data.rfind(b"\n") + 1
        if size and len(data) >= limit:
            size = whole_entries(data[:size])
        if not size and len(data) >= LONGEST_LINE:
            _logger.warning(
                "Line %d of %s is longer than %d bytes and is cut.",
                life.mark.line,
                life.mark.name,
                LONGEST_LINE,
            )
            return self._arrival(life, data[:_CUT_LINE])
        if size or (data and self._is_last(life, data, now)):
            return self._arrival(life, data[:size] if size else data)
        return None if data else self._finish(life, now)

    def _read(self, life: _Life, limit: int) -> bytes:
        """Read what was there at the scan; nothing if the file was truncated meanwhile."""
        reader, mark = life.reader, life.mark
        assert reader is not None  # noqa: S101 - asked before
        there = limit if isinstance(reader, Packed) else life.end - mark.offset
        if there <= 0:
            return b""
        data = reader.read(mark.offset, min(there, limit))
        if limit < LONGEST_LINE and len(data) == limit and b"\n" not in data:
            data = reader.read(mark.offset, LONGEST_LINE)
        # What was read is that file's only if nobody truncated it before or meanwhile.
        if isinstance(reader, Plain) and not (
            reader.status().st_size >= mark.offset + len(data) and begins_as(reader, mark)
        ):
            life.changed, life.end = (-1, 0), mark.offset
            return b""
        return data

    def _is_last(self, life: _Life, data: bytes, now: float) -> bool:
        """Whether a line without an end is the last of its file."""
        if isinstance(life.reader, Packed):
            return len(life.reader.read(life.mark.offset, len(data) + 1)) == len(data)
        return not life.live and now - life.quiet >= self._settle

    def _take_intended(self, life: _Life) -> Arrival | None:
        """The range that an earlier process began to store, as it was then."""
        reader, mark, end = life.reader, life.mark, life.intended
        assert reader is not None  # noqa: S101 - asked before
        assert end is not None  # noqa: S101 - asked before
        data = b""
        while more := reader.read(mark.offset + len(data), end - mark.offset - len(data)):
            data += more
        if len(data) < end - mark.offset:
            _logger.warning(
                "%s is shorter than it was: %d bytes are gone.", mark.name, end - mark.offset - len(data)
            )
        life.intended = None
        # The token names the range as it was, whatever is left of it, since it may be stored already.
        return replace(self._arrival(life, data, end=end), again=True)

    def _leave_line(self, life: _Life) -> bool:
        """Go behind the rest of a line that was cut; False while its end is not there."""
        reader = life.reader
        assert reader is not None  # noqa: S101 - asked before
        life.inside = reader.read(life.mark.offset - 1, 1) != b"\n"
        while life.inside and (rest := reader.read(life.mark.offset, LONGEST_LINE)):
            found = rest.find(b"\n") + 1
            life.mark = replace(life.mark, offset=life.mark.offset + (found or len(rest)))
            life.inside = not found
        return not life.inside

    def _arrival(self, life: _Life, data: bytes, *, end: int | None = None) -> Arrival:
        end = life.mark.offset + len(data) if end is None else end
        known = _with_head(life, data, end)
        lines = int(np.count_nonzero(np.frombuffer(data, np.uint8) == _NEWLINE))
        life.inside = not data.endswith(b"\n")
        life.mark = replace(known, offset=end, line=known.line + lines + life.inside)
        return Arrival(data, known.offset, known.line, mark=replace(known, end=end), after=life.mark)

    def _finish(self, life: _Life, now: float) -> Arrival | None:
        """Let go of a rotated file that is read and has been quiet for long; at once of a packed one."""
        if not isinstance(life.reader, Packed) and (life.live or now - life.quiet < self._linger):
            return None
        life.done = True
        life.mark = replace(life.mark, finished=True, end=life.intended)
        return Arrival(b"", life.mark.offset, life.mark.line, mark=life.mark, after=life.mark)

    def _fail(self, family: _Family, life: _Life, error: OSError | JobError, now: float) -> Arrival | None:
        """Try again after a while, though not for ever: a damaged archive does not get better."""
        since = self._break_off(family, life, error, now)
        if now - since < self._linger:
            return None
        _logger.warning("%s The rest of it is not read.", life.failure)
        life.done = True
        life.mark = replace(life.mark, finished=True, end=life.intended)
        return Arrival(b"", life.mark.offset, life.mark.line, mark=life.mark, after=life.mark)

    def _break_off(self, family: _Family, life: _Life, error: OSError | JobError, now: float) -> float:
        """Close a file that cannot be read for now; since when it cannot."""
        words = unreadable(family.title, error) if isinstance(error, OSError) else error
        life.failure, life.again = str(words), now + _TRY_AGAIN
        life.failing = now if life.failing is None else life.failing
        life.close(now)
        life.inside = life.mark.offset > 0
        return life.failing


def begins_as(reader: Reader, mark: Mark) -> bool:
    """Whether a file begins as the one of a mark did."""
    return not mark.head_size or _digest(reader.head(mark.head_size)) == mark.head


def _with_head(life: _Life, data: bytes, end: int) -> Mark:
    """The mark with a digest of as many first bytes as there are by now."""
    mark, reader = life.mark, life.reader
    known = replace(mark, modified=max(mark.modified, life.changed[1]))
    if mark.head_size == HEAD_BYTES or reader is None:
        return known
    size = min(HEAD_BYTES, end)
    head = data[:size] if not mark.offset else reader.head(size)
    if len(head) < size or (mark.head_size and _digest(head[: mark.head_size]) != mark.head):
        return known
    return replace(known, head_size=size, head=_digest(head))


def _as_followed(family: _Family) -> Followed:
    unread = sum(max(0, life.end - life.mark.offset) for life in family.lives)
    reason = family.problem or next((life.failure for life in family.lives if life.failure), "")
    live = next((life for life in family.lives if life.live), None)
    if live is None:
        return Followed(family.title, unread=unread, reason=reason, waiting=True)
    return Followed(family.title, live.mark.offset, live.end, unread, reason)
