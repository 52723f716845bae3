"""Names of rotated logs: which files of a folder belong together, and which of them is older.

| names | order |
|---|---|
| access.log.2.gz, access.log.1, access.log | numbered, the newest is 1 |
| access.log-20261123.gz, access.log-20261124 | dated, the newest is the latest |
| access.1.log, access-20261124.log | the same before the ending, beside an access.log |
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_PACKED = re.compile(r"\.(?:gz|zst|bz2|xz)$")
_DATE = r"[._-](\d{4}-?\d\d-?\d\d(?:[T._-]?\d\d[-:]?\d\d(?:[-:]?\d\d)?|-\d{1,12})?)"
_NUMBER = r"[._-](\d{1,6})"
_ENDING = r"(?=\.[A-Za-z]+$)"
_AT_END = tuple(re.compile(pattern + "$") for pattern in (_DATE, _NUMBER))
_BEFORE_ENDING = tuple(re.compile(pattern + _ENDING) for pattern in (_DATE, _NUMBER))
_BITS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Sibling:
    """One file of a log's family.

    Args:
        path: Where it is.
        status: What the system says of it.
    """

    path: Path
    status: os.stat_result

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        return identity(self.status)


def identity(status: os.stat_result) -> tuple[int, int]:
    """Device and inode, in the 63 bits that a database column holds."""
    return status.st_dev & _BITS, status.st_ino & _BITS


def family_name(name: str, present: Collection[str]) -> str:
    """The name of the log that a file belongs to, without marks of rotation and packing.

    Args:
        name: A file's name.
        present: Names in its folder: `site-1.log` is a rotated `site.log` only beside one.
    """
    at_end, before_ending = _family(name)
    return at_end if before_ending is None or before_ending not in present else before_ending


@lru_cache(8192)
def _family(name: str) -> tuple[str, str | None]:
    """The name without marks at its end, and without a mark before its ending; None when it has none."""
    plain = _PACKED.sub("", name)
    return _without(plain, _AT_END) or plain, _without(plain, _BEFORE_ENDING)


def _without(name: str, patterns: Iterable[re.Pattern[str]]) -> str | None:
    for pattern in patterns:
        match = pattern.search(name)
        if match and match.start():
            return name[: match.start()] + name[match.end() :]
    return None


def names_in(folder: Path) -> list[str]:
    """Names of what is in a folder; none when it is gone or may not be listed."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - names alone are wanted
    except OSError:
        return []


def siblings(folder: Path, family: str) -> list[Sibling]:
    """Regular files of a family, the oldest first; in a folder that cannot be listed the log itself."""
    names = names_in(folder) or [family]
    present = frozenset(names)
    found: dict[str, Sibling] = {}
    for name in names:
        if name != family and family_name(name, present) != family:
            continue
        try:
            status = (folder / name).stat()
        except OSError:  # gone in between, or a link to nowhere
            continue
        if stat.S_ISREG(status.st_mode):
            found[name] = Sibling(folder / name, status)
    return [found[name] for name in sorted(found, key=lambda name: _age(name, family))]


def _age(name: str, family: str) -> tuple[int, str, int, bool]:
    """Sorts names of one family in the order in which their lines were written."""
    plain = _PACKED.sub("", name)
    # While a file is being packed it stands beside the plain one, which is read.
    unpacked = plain == name
    if name == family:
        return 2, "", 0, unpacked
    for patterns in (_AT_END, _BEFORE_ENDING):
        if date := patterns[0].search(plain):
            return 0, date[1], 0, unpacked
        if number := patterns[1].search(plain):
            return 1, "", -int(number[1]), unpacked
    return 2, "", 0, unpacked
