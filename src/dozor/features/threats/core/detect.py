"""Find what is wrong with values: scan all of them at once, then look closely at the suspects.

distinct values > decode > scan            nearly all end here, without a step in Python
suspects > parts (arguments, path) > decode > views (comments, shell quotes off) > scan
pairs of view and rule > confirm one by one > verdicts
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dozor.features.threats.core.arguments import Field, Part, parts
from dozor.features.threats.core.normalise import normalise, row_ends, special_rows
from dozor.features.threats.core.rules import expressions, widened
from dozor.features.threats.core.tokenise import judge
from dozor.features.threats.model import Hit, Place, Rule, RuleSet, Verdict
from dozor.features.threats.ports import Scanner

MAX_SHOWN = 300
"""Bytes of a decoded part that evidence keeps, around the match."""

_MAX_MATCHED = 120
_CONTEXT = 80

_PLAIN_COMMENT = re.compile(rb"/\*(?![!+]).*?(?:\*/|$)", re.DOTALL)
_EXECUTABLE = re.compile(rb"/\*[!+]\d*|\*/")
_SHELL_DISGUISE = re.compile(
    rb"\$\{?IFS\}?(?:\$\d)?"  # the shell's separator in place of a space
    rb"|(?P<gone>\\(?=[\w/.-])|''|\"\"|``|\^(?=\w)|\$\(\)|<\(\)|>\(\)"
    rb"|(?<=[\w/])\$(?:[@*!_?$-]|[A-Za-z]\b|\{\w{1,12}\})|(?<=[\w/])['\"](?=[\w/])"
    rb"|(?<![\w])['\"](?=[\w/]+['\"]\w)|(?<=\w)['\"](?=[\w/ ]))",
)
_DISGUISE_MARKS = re.compile(rb"/\*|[\\'\"`^$][\w/.'\"`(@*!?{-]|[<>]\(\)|[\w/]['\"]")


@dataclass(frozen=True, slots=True)
class _View:
    """A decoded part, or the same with a disguise taken off."""

    suspect: int
    part: Part
    text: bytes


class RuleBook:
    """A rule set with its compiled expressions; Python's are compiled when first needed."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules.rules
        self._hints = rules.hints
        self._tests: dict[int, _Test] = {}
        self._loose: dict[int, re.Pattern[bytes]] = {}
        owners = expressions(rules).owners
        self._owners = np.array([owner for owned in owners for owner in owned], np.int64)
        self._counts = np.array([len(owned) for owned in owners], np.int64)
        self._starts = np.cumsum(self._counts) - self._counts
        tests = len(self.rules) + len(self._hints)
        self._relevant = {
            field: np.array([self._looks_at(index, field) for index in range(tests)], np.bool_)
            for field in Field
        }

    def _looks_at(self, index: int, field: Field) -> bool:
        return self.is_hint(index) or bool(self.rules[index].places & field.value)

    def is_hint(self, index: int) -> bool:
        """Whether a test's index stands for a hint."""
        return index >= len(self.rules)

    def pairs(
        self, rows: NDArray[np.int64], found: NDArray[np.int64], field: Field
    ) -> list[tuple[int, int]]:
        """Rows and the tests that a scan calls for there, each pair once, by row."""
        counts = self._counts[found]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        owners = self._owners[np.repeat(self._starts[found], counts) + offsets]
        rows = np.repeat(rows, counts)
        relevant = self._relevant[field][owners]
        packed = np.unique(rows[relevant] * len(self._relevant[field]) + owners[relevant])
        rows, owners = np.divmod(packed, len(self._relevant[field]))
        return list(zip(rows.tolist(), owners.tolist(), strict=True))

    def may_match(self, index: int, text: bytes) -> bool:
        """Whether a rule or a hint might match some part of a whole decoded value."""
        loose = self._loose.get(index)
        if loose is None:
            patterns = (
                (self._hints[index - len(self.rules)],)
                if self.is_hint(index)
                else self.rules[index].patterns
            )
            joined = "|".join(f"(?:{widened(pattern)})" for pattern in patterns)
            loose = self._loose[index] = _compiled(joined)
        return loose.search(text) is not None

    def test(self, index: int) -> _Test:
        """The confirming test of a rule."""
        test = self._tests.get(index)
        if test is None:
            test = self._tests[index] = _Test(self.rules[index])
        return test


class _Test:
    """Confirms one rule on one decoded part."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[bytes], ...]:
        return tuple(_compiled(pattern) for pattern in self._rule.patterns)

    @cached_property
    def _confirm(self) -> re.Pattern[bytes] | None:
        return _compiled(self._rule.confirm) if self._rule.confirm else None

    @cached_property
    def _unless(self) -> re.Pattern[bytes] | None:
        return _compiled(self._rule.unless) if self._rule.unless else None

    def span(self, text: bytes) -> tuple[int, int] | None:
        """Where the rule matches `text`; None when it does not."""
        match = next((found for p in self._patterns if (found := p.search(text))), None)
        if match is None or (self._unless and self._unless.search(text)):
            return None
        if self._confirm and not (match := self._confirm.search(text)):
            return None
        if self._rule.sql and self._rule.sql not in judge(text.decode("latin-1")):
            return None
        return match.span()


def _compiled(expression: str) -> re.Pattern[bytes]:
    return re.compile(expression.encode("latin-1"), re.IGNORECASE)


def suspects(scanner: Scanner, book: RuleBook, field: Field, text: bytes) -> NDArray[np.int64]:
    """Numbers of the rows that deserve a close look, ascending.

    Args:
        scanner: Built from the expressions of the same rules.
        book: The rules.
        field: What the rows are values of.
        text: Rows as they stand in the log, each ended by a line feed.
    """
    found = _suspects(scanner, book, field, text)
    special = special_rows(text)
    if len(special):
        decoded = normalise(_select(text, special), fold_plus=field is not Field.USER_AGENT)
        found += special[_suspects(scanner, book, field, decoded)].tolist()
    return np.unique(np.array(found, np.int64))


def _suspects(scanner: Scanner, book: RuleBook, field: Field, text: bytes) -> list[int]:
    ends = row_ends(text)
    suspect: list[int] = []
    row_text, current = b"", -1
    for row, index in book.pairs(*scanner.scan(text), field):
        if suspect and suspect[-1] == row:
            continue
        if row != current:
            current = row
            row_text = text[int(ends[row - 1]) + 1 if row else 0 : int(ends[row])]
        if book.may_match(index, row_text):
            suspect.append(row)
    return suspect


def _select(text: bytes, rows: NDArray[np.intp]) -> bytes:
    """These rows of `text`, in the same form."""
    buffer = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(buffer == 10) + 1
    starts = np.concatenate(([0], ends[:-1]))
    chosen = np.zeros(len(ends), np.bool_)
    chosen[rows] = True
    return buffer[np.repeat(chosen, ends - starts)].tobytes()


def examine(scanner: Scanner, book: RuleBook, field: Field, values: Sequence[bytes]) -> list[Verdict]:
    """Verdicts for suspect values, in their order.

    Args:
        scanner: Built from the expressions of the same rules.
        book: The rules.
        field: What the values are values of.
        values: Raw values without line feeds.
    """
    views = list(_views(field, values))
    text = b"".join(view.text + b"\n" for view in views)
    hits: list[dict[int, Hit]] = [{} for _ in values]
    for row, index in book.pairs(*scanner.scan(text), field):
        if not book.is_hint(index):
            view = views[row]
            _confirm(book, index, view, hits[view.suspect])
    return [_verdict(book, found_hits.values()) for found_hits in hits]


def check(book: RuleBook, place: Place, value: bytes) -> Verdict:
    """The verdict on a method or a junk request: every rule for that place, one by one."""
    decoded = normalise(value.replace(b"\n", b"\r") + b"\n")[:-1]
    view = _View(0, Part(place, place.value, value), decoded)
    hits: dict[int, Hit] = {}
    for index, rule in enumerate(book.rules):
        if place in rule.places:
            _confirm(book, index, view, hits)
    return _verdict(book, hits.values())


def _confirm(book: RuleBook, index: int, view: _View, hits: dict[int, Hit]) -> None:
    if index in hits or view.part.place not in book.rules[index].places:
        return
    span = book.test(index).span(view.text)
    if span is not None:
        hits[index] = _hit(index, view, *span)


def _hit(index: int, view: _View, start: int, end: int) -> Hit:
    first = max(0, start - _CONTEXT) if len(view.text) > MAX_SHOWN else 0
    return Hit(
        rule=index,
        where=view.part.where,
        decoded=_shown(view.text[first : first + MAX_SHOWN]),
        matched=_shown(view.text[start : min(end, start + _MAX_MATCHED)]),
    )


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _verdict(book: RuleBook, hits: Iterable[Hit]) -> Verdict:
    return tuple(sorted(hits, key=lambda hit: (-book.rules[hit.rule].score, hit.rule)))


def _views(field: Field, values: Sequence[bytes]) -> Iterator[_View]:
    cut = [(number, part) for number, value in enumerate(values) for part in parts(field, value)]
    decoded = normalise(b"".join(part.text + b"\n" for _, part in cut)).split(b"\n")
    for (number, part), text in zip(cut, decoded, strict=False):
        yield _View(number, part, text)
        for bare in _undisguised(text):
            yield _View(number, part, bare)


def _undisguised(text: bytes) -> Iterator[bytes]:
    """The text without comments inside, and without shell quoting, where there is any."""
    if not _DISGUISE_MARKS.search(text):
        return
    if b"/*" in text:
        plain = _EXECUTABLE.sub(b" ", _PLAIN_COMMENT.sub(b" ", text))
        if plain != text:
            yield plain
    unquoted = _SHELL_DISGUISE.sub(lambda match: b"" if match["gone"] is not None else b" ", text)
    if unquoted != text:
        yield unquoted
