"""Find what is wrong with values: scan all of them at once, then look closely at the suspects.

distinct values > decode > scan, plain ones for few rules    nearly all end here, without a step in Python
suspects > parts (arguments, path) > decode > views (comments, shell quotes off) > scan
pairs of view and rule > confirm one by one > verdicts
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dozor.features.threats.core.arguments import Field, Part, parts
from dozor.features.threats.core.normalise import normalise, special_rows
from dozor.features.threats.core.plain import ALPHABETS, may_match, rows_within
from dozor.features.threats.core.rules import HINT, expressions
from dozor.features.threats.core.score import line_score
from dozor.features.threats.core.tokenise import judge
from dozor.features.threats.model import AttackClass, Hit, Place, RuleSet, Verdict
from dozor.features.threats.ports import BuildScanner, Scanner

_Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Numbers of rows and of the expressions found there."""

_Numbered: TypeAlias = tuple[Scanner, NDArray[np.int64]]
"""A scanner for some expressions, and their numbers among all."""

MAX_SHOWN = 300
"""Bytes of a decoded part that evidence keeps, around the match."""

_MAX_MATCHED = 120
_MAX_WEIGHTS = 10_000
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


_QUOTABLE = frozenset({AttackClass.RCE, AttackClass.TRAVERSAL})
"""Classes whose rules look at text without its shell quoting: commands, and the files they name."""


class _Look(IntEnum):
    """What a part is looked at for."""

    FULL = 0
    UNQUOTED = 1
    """Its shell quoting is off: only for what a shell would run."""
    REPEATED = 2
    """It has been looked at as an argument: only for rules that do not look there."""


_KINDS = (
    *((field.value, _Look.FULL) for field in Field),
    *((frozenset({place}), look) for look in _Look for place in Place),
)
"""What a scanned row may be: a column's value, or a decoded part and what to look at it for."""

_KIND_OF_FIELD = {field: kind for kind, field in enumerate(Field)}
_KIND_OF_PART = {
    (place, look): len(Field) + look * len(Place) + number
    for look in _Look
    for number, place in enumerate(Place)
}


@dataclass(frozen=True, slots=True)
class _View:
    """A decoded part, or the same with a disguise taken off."""

    suspect: int
    part: Part
    text: bytes
    look: _Look = _Look.FULL


class RuleBook:
    """A rule set with its compiled expressions; Python's are compiled when first needed."""

    def __init__(self, rules: RuleSet) -> None:
        compiled = expressions(rules)
        self.rule_set = rules
        self.rules = rules.rules
        self._tests = compiled.tests
        self._strict: dict[str, re.Pattern[bytes]] = {}
        self._weights: dict[frozenset[int], tuple[tuple[str, ...], tuple[str, ...], float]] = {}
        self._owners = np.array([test for owned in compiled.owners for test in owned], np.int64)
        self._counts = np.array([len(owned) for owned in compiled.owners], np.int64)
        self._starts = np.cumsum(self._counts) - self._counts
        self._relevant = np.array(
            [[self._looks_at(rule, *kind) for rule, _ in self._tests] for kind in _KINDS], np.bool_
        )

    def weigh(self, rules: frozenset[int]) -> tuple[tuple[str, ...], tuple[str, ...], float]:
        """What hits of these rules make of a line: rule ids and classes, ascending, and the score."""
        known = self._weights.get(rules)
        if known is None:
            chosen = [self.rules[index] for index in sorted(rules)]
            classes = sorted({rule.attack_class.value for rule in chosen})
            score = line_score((rule.attack_class, rule.score) for rule in chosen)
            known = (tuple(rule.id for rule in chosen), tuple(classes), score)
            if len(self._weights) < _MAX_WEIGHTS:
                self._weights[rules] = known
        return known

    def _looks_at(self, index: int, places: frozenset[Place], look: _Look) -> bool:
        if index == HINT:
            return True
        rule = self.rules[index]
        if look is _Look.UNQUOTED and rule.attack_class not in _QUOTABLE:
            return False
        if look is _Look.REPEATED and Place.ARG in rule.places:
            return False
        return bool(rule.places & places)

    def pairs(
        self, rows: NDArray[np.int64], found: NDArray[np.int64], kinds: NDArray[np.int64]
    ) -> list[tuple[int, int]]:
        """Rows and the tests that a scan calls for there, each pair once, by row.

        Args:
            rows: Row numbers, from a scan.
            found: Numbers of the expressions found there.
            kinds: For each row of the scanned text what it is, an index into `_KINDS`.
        """
        counts = self._counts[found]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        tests = self._owners[np.repeat(self._starts[found], counts) + offsets]
        rows = np.repeat(rows, counts)
        relevant = self._relevant[kinds[rows], tests]
        packed = np.unique(rows[relevant] * len(self._tests) + tests[relevant])
        rows, tests = np.divmod(packed, len(self._tests))
        return list(zip(rows.tolist(), tests.tolist(), strict=True))

    def rule_of(self, test: int) -> int:
        """The index of the rule that a test belongs to, or `HINT`."""
        return self._tests[test][0]

    def concerning(self, places: frozenset[Place]) -> NDArray[np.bool_]:
        """Bool, shape (expressions,): which expressions belong to rules that look at one of the places."""
        tests = [index != HINT and bool(self.rules[index].places & places) for index, _ in self._tests]
        concerned: NDArray[np.bool_] = np.logical_or.reduceat(np.array(tests)[self._owners], self._starts)
        return concerned

    def relevant_rows(
        self, rows: NDArray[np.int64], found: NDArray[np.int64], kind: int
    ) -> NDArray[np.int64]:
        """Rows of a scan, ascending, in which it found something that concerns values of this kind.

        Args:
            rows: Row numbers, from a scan.
            found: Numbers of the expressions found there.
            kind: What all rows are, an index into `_KINDS`.
        """
        concerned = np.bitwise_or.reduceat(self._relevant[kind, self._owners], self._starts)
        return np.unique(rows[concerned[found]])

    def span(self, index: int, patterns: Iterable[str], text: bytes) -> tuple[int, int] | None:
        """Where a rule holds for a decoded part by one of these patterns; None when it does not."""
        rule = self.rules[index]
        match = next((found for p in patterns if (found := self._search(p, text))), None)
        if match is None or (rule.unless and self._search(rule.unless, text)):
            return None
        if rule.confirm and not (match := self._search(rule.confirm, text)):
            return None
        if rule.sql and rule.sql not in judge(text.decode("latin-1")):
            return None
        return match.span()

    def pattern_of(self, test: int) -> str:
        """The pattern of a test."""
        return self._tests[test][1]

    def _search(self, expression: str, text: bytes) -> re.Match[bytes] | None:
        pattern = self._strict.get(expression)
        if pattern is None:
            pattern = self._strict[expression] = _compiled(expression)
        return pattern.search(text)


def _compiled(expression: str) -> re.Pattern[bytes]:
    return re.compile(expression.encode("latin-1"), re.IGNORECASE)


class Scanners:
    """Scanners for the rules of a book: for values of each alphabet, for any, and for values as sent.

    Args:
        book: The rules.
        build: Builds a scanner from expressions.
    """

    def __init__(self, book: RuleBook, build: BuildScanner) -> None:
        texts = expressions(book.rule_set).texts
        whole = np.arange(len(texts))

        def for_some(numbers: NDArray[np.int64]) -> _Numbered:
            return build([texts[number] for number in numbers]), numbers

        may = np.array([[may_match(text, kind) for kind in ALPHABETS] for text in texts], np.bool_)
        self._by_alphabet = [
            (kind, for_some(np.flatnonzero(may[:, column]))) for column, kind in enumerate(ALPHABETS)
        ]
        self._any = for_some(whole)
        self._as_sent = for_some(whole[book.concerning(frozenset({Place.TARGET}))])

    def scan(self, text: bytes) -> _Found:
        """Row numbers and expression numbers, as from one scanner for all expressions."""
        return _scan(self._any, text)

    def scan_by_kind(self, text: bytes) -> Iterator[_Found]:
        """The same in parts, quicker for many rows: each kind of row is scanned for what can be there."""
        rows = np.arange(text.count(b"\n"))
        for alphabet, scanner in self._by_alphabet:
            within = rows_within(text, alphabet)
            if 2 * within.sum() < len(rows):
                continue  # the next kind holds these too
            # Picking these rows out would take longer than scanning the fewer others with them.
            found_rows, found = _scan(scanner, text)
            yield rows[found_rows], found
            others = np.flatnonzero(~within)
            text, rows = _select(text, others), rows[others]
        found_rows, found = _scan(self._any, text)
        yield rows[found_rows], found

    def scan_as_sent(self, text: bytes) -> _Found:
        """The same for values that are encoded: only what rules look for in the target as it was sent."""
        return _scan(self._as_sent, text)


def _scan(scanner: _Numbered, text: bytes) -> _Found:
    rows, found = scanner[0].scan(text)
    return rows, scanner[1][found]


def suspects(scanners: Scanners, book: RuleBook, field: Field, text: bytes) -> NDArray[np.int64]:
    """Numbers of the rows that deserve a close look, ascending.

    Args:
        scanners: For the same rules.
        book: The rules.
        field: What the rows are values of.
        text: Rows as they stand in the log, each ended by a line feed.
    """
    concerned = partial(book.relevant_rows, kind=_KIND_OF_FIELD[field])
    special = special_rows(text)
    as_they_stand = np.ones(text.count(b"\n"), np.bool_)
    as_they_stand[special] = False
    usual = np.flatnonzero(as_they_stand)
    found = [usual[concerned(*each)] for each in scanners.scan_by_kind(_select(text, usual))]
    if len(special):
        sent = _select(text, special)
        decoded = normalise(sent, fold_plus=field is not Field.USER_AGENT)
        found += [special[concerned(*each)] for each in scanners.scan_by_kind(decoded)]
        if field is Field.TARGET:
            found.append(special[concerned(*scanners.scan_as_sent(sent))])
    return np.unique(np.concatenate(found))


def _select(text: bytes, rows: NDArray[np.int64]) -> bytes:
    """These rows of `text`, in the same form."""
    if not len(rows):
        return b""
    buffer = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(buffer == ord("\n")) + 1
    starts = np.concatenate(([0], ends[:-1]))
    chosen = np.zeros(len(ends), np.bool_)
    chosen[rows] = True
    if chosen.all():
        return text
    return buffer[np.repeat(chosen, ends - starts)].tobytes()


def examine(scanners: Scanners, book: RuleBook, field: Field, values: Sequence[bytes]) -> list[Verdict]:
    """Verdicts for suspect values, in their order.

    Args:
        scanners: For the same rules.
        book: The rules.
        field: What the values are values of.
        values: Raw values without line feeds.
    """
    views = list(_views(field, values))
    text = b"".join(view.text + b"\n" for view in views)
    hits: list[dict[int, Hit]] = [{} for _ in values]
    kinds = np.array([_KIND_OF_PART[view.part.place, view.look] for view in views], np.int64)
    for row, test in book.pairs(*scanners.scan(text), kinds):
        index = book.rule_of(test)
        if index != HINT:
            view = views[row]
            _confirm(book, index, (book.pattern_of(test),), view, hits[view.suspect])
    return [_verdict(book, found_hits.values()) for found_hits in hits]


def check(book: RuleBook, place: Place, value: bytes) -> Verdict:
    """The verdict on a method or a junk request as it stands: every rule for that place in turn."""
    view = _View(0, Part(place, place.value, value), value)
    hits: dict[int, Hit] = {}
    for index, rule in enumerate(book.rules):
        if place in rule.places:
            _confirm(book, index, rule.patterns, view, hits)
    return _verdict(book, hits.values())


def _confirm(book: RuleBook, index: int, patterns: Iterable[str], view: _View, hits: dict[int, Hit]) -> None:
    if index in hits:
        return
    span = book.span(index, patterns, view.text)
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
        if part.place is Place.TARGET:
            yield _View(number, part, part.text)
            continue
        if part.repeats:
            yield _View(number, part, text, _Look.REPEATED)
            continue
        yield _View(number, part, text)
        if _DISGUISE_MARKS.search(text):
            yield from _undisguised(number, part, text)


def _undisguised(number: int, part: Part, text: bytes) -> Iterator[_View]:
    """The text without comments inside, and without shell quoting, where there is any."""
    if b"/*" in text:
        plain = _EXECUTABLE.sub(b" ", _PLAIN_COMMENT.sub(b" ", text))
        if plain != text:
            yield _View(number, part, plain)
    unquoted = _SHELL_DISGUISE.sub(lambda match: b"" if match["gone"] is not None else b" ", text)
    if unquoted != text:
        yield _View(number, part, unquoted, _Look.UNQUOTED)
