"""Detection over batches: add the detection columns, and make findings of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, chain
from typing import Any, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dozor.columns.batches import column_to_arrow
from dozor.columns.memory import UNKNOWN, ValueMemory
from dozor.columns.record import DETECT_COLUMNS, EVIDENCE
from dozor.features.threats.core.arguments import Field
from dozor.features.threats.core.detect import RuleBook, Scanners, check, examine, suspects
from dozor.features.threats.model import Hit, Place, RuleSet, Verdict
from dozor.features.threats.ports import BuildScanner
from dozor.kernel.finding import Evidence, Finding, Subject, SubjectKind

MAX_EVIDENCE = 8
"""Pieces of evidence kept for a line."""

_FINDING_EVIDENCE = 3
_MAX_CACHED_LENGTH = 4096

_CLEAN_CODE = 0

_COLUMNS = {Field.TARGET: "target", Field.REFERER: "referer", Field.USER_AGENT: "user_agent"}


class VerdictCache:
    """The verdicts on recent suspects, oldest forgotten first; safe for threads.

    Args:
        size: How many verdicts to keep.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._verdicts: OrderedDict[tuple[Field, bytes], Verdict] = OrderedDict()

    def get(self, field: Field, values: Iterable[bytes]) -> dict[bytes, Verdict]:
        """The verdicts known for these values."""
        known: dict[bytes, Verdict] = {}
        with self._lock:
            for value in values:
                verdict = self._verdicts.get((field, value))
                if verdict is not None:
                    self._verdicts.move_to_end((field, value))
                    known[value] = verdict
        return known

    def put(self, field: Field, verdicts: Iterable[tuple[bytes, Verdict]]) -> None:
        """Remember verdicts; very long values are not worth their memory."""
        with self._lock:
            for value, verdict in verdicts:
                if len(value) <= _MAX_CACHED_LENGTH:
                    self._verdicts[field, value] = verdict
            while len(self._verdicts) > self._size:
                self._verdicts.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Judged:
    """One column's verdicts: `codes` (int64, one per row) are indices into `verdicts`; 0 is clean."""

    codes: NDArray[np.int64]
    verdicts: list[Verdict]


class Detector:
    """Applies rules to batches. Pure and safe for threads: only its memory of verdicts changes.

    Args:
        rules: The rules.
        build_scanner: Builds a scanner from expressions.
        cache_size: How many verdicts on suspect values to remember across batches.
    """

    def __init__(self, rules: RuleSet, build_scanner: BuildScanner, *, cache_size: int = 50_000) -> None:
        self._book = RuleBook(rules)
        self._scanners = Scanners(self._book, build_scanner)
        self._cache = VerdictCache(cache_size)
        self._clean = {field: ValueMemory() for field in _COLUMNS}

    def annotate(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Add the columns of `record.DETECT_COLUMNS`.

        Args:
            batch: Rows with at least the text columns method, target, referer and user_agent
                (string_view, string or large_string).

        Returns:
            The same rows with rules, classes, score and evidence appended.
        """
        judged = [self._column(batch, field) for field in _COLUMNS]
        judged.append(self._methods(batch))
        judged.append(self._junk(batch))
        arrays = _detect_columns(self._book, batch.num_rows, judged)
        metadata: Any = batch.schema.metadata
        schema = pa.schema([*batch.schema, *DETECT_COLUMNS], metadata=metadata)
        return pa.RecordBatch.from_arrays([*batch.columns, *arrays], schema=schema)

    def _column(self, batch: pa.RecordBatch, field: Field) -> _Judged:
        column = pl.Series(batch.column(_COLUMNS[field]))
        clean = self._clean[field]
        hashes = clean.hashes(column)
        # Most values of a log come again, so most rows are done here, without a look at the value.
        doubtful = np.flatnonzero(clean.recall(hashes) == UNKNOWN)
        if not len(doubtful):
            return _Judged(np.zeros(len(column), np.int64), [()])
        _, first, codes = np.unique(hashes[doubtful], return_index=True, return_inverse=True)
        values = _binary(column_to_arrow(column.gather(doubtful[first]), pa.string_view()))
        judged = _spread(codes, len(values), self._verdicts(field, values))
        clean.remember(hashes[doubtful[judged.codes == 0]], _CLEAN_CODE)
        spread = np.zeros(len(column), np.int64)
        spread[doubtful] = judged.codes
        return _Judged(spread, judged.verdicts)

    def _verdicts(self, field: Field, values: Any) -> list[tuple[int, Verdict]]:
        """Distinct values with something wrong: number and verdict."""
        text = _rows(values)
        numbers = suspects(self._scanners, self._book, field, text)
        chosen = [value.replace(b"\n", b"\r") for value in values.take(pa.array(numbers)).to_pylist()]
        known = self._cache.get(field, chosen)
        unknown = [value for value in chosen if value not in known]
        fresh = list(zip(unknown, examine(self._scanners, self._book, field, unknown), strict=True))
        self._cache.put(field, fresh)
        known.update(fresh)
        return [
            (number, known[value])
            for number, value in zip(numbers.tolist(), chosen, strict=True)
            if known[value]
        ]

    def _methods(self, batch: pa.RecordBatch) -> _Judged:
        codes, values = _distinct(batch.column("method"))
        verdicts = [
            (number, verdict)
            for number, value in enumerate(values.to_pylist())
            if value and (verdict := check(self._book, Place.METHOD, value))
        ]
        return _spread(codes, len(values), verdicts)

    def _junk(self, batch: pa.RecordBatch) -> _Judged:
        """Lines without a method are no requests: their text is judged as a whole."""
        lengths: Any = pc.binary_length(_binary(batch.column("method")))
        rows = np.flatnonzero(lengths.to_numpy(zero_copy_only=False) == 0)
        codes = np.zeros(batch.num_rows, np.int64)
        if not len(rows):
            return _Judged(codes, [()])
        row_codes, values = _distinct(_binary(batch.column("target")).take(pa.array(rows)))
        verdicts = [
            (number, verdict)
            for number, value in enumerate(values.to_pylist())
            if (verdict := check(self._book, Place.REQUEST, value))
        ]
        judged = _spread(row_codes, len(values), verdicts)
        codes[rows] = judged.codes
        return _Judged(codes, judged.verdicts)

    def findings(self, batch: pa.RecordBatch) -> list[Finding]:
        """One finding per client and class of an annotated batch.

        Args:
            batch: Rows with at least client, ts, and the columns of `record.DETECT_COLUMNS`.

        Returns:
            Findings of the kinds `threats.<class>`, in the order of clients and classes.
        """
        counts: Any = pc.list_value_length(batch.column("rules"))
        touched = np.flatnonzero(counts.to_numpy(zero_copy_only=False))
        places: Any = pa.array(touched)
        clients: Any = batch.column("client")
        lines = [
            {"client": client, **line}
            for client, line in zip(
                # Arrow does not take from string views.
                clients.cast(pa.string()).take(places).to_pylist(),
                batch.select(["ts", "rules", "classes", "score", "evidence"]).take(places).to_pylist(),
                strict=True,
            )
        ]
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for line in lines:
            for name in line["classes"]:
                groups.setdefault((line["client"], name), []).append(line)
        return [self._finding(*key, groups[key]) for key in sorted(groups)]

    def _finding(self, client: str, name: str, lines: Sequence[dict[str, Any]]) -> Finding:
        rules = {rule.id: rule for rule in self._book.rules if rule.attack_class == name}
        strongest = sorted(lines, key=lambda line: -line["score"])[:_FINDING_EVIDENCE]
        evidence = (
            next(item for item in line["evidence"] if item["rule"] in rules)
            for line in strongest
            if any(item["rule"] in rules for item in line["evidence"])
        )
        times: list[datetime] = [line["ts"] for line in lines]
        return Finding(
            kind=f"threats.{name}",
            subject=Subject(SubjectKind.ADDRESS, client),
            severity=max(rules[id_].severity for line in lines for id_ in line["rules"] if id_ in rules),
            score=strongest[0]["score"],
            first=min(times),
            last=max(times),
            count=len(lines),
            evidence=tuple(Evidence(**item) for item in evidence),
        )


def _binary(column: Any) -> Any:
    # Bytes, not text: a log may hold bytes that are no UTF-8, and nothing here needs characters.
    text = column.cast(pa.string()) if pa.types.is_string_view(column.type) else column
    return text.cast(pa.binary())


def _distinct(column: Any) -> tuple[NDArray[np.int32], Any]:
    """For each row the number of its value, and the distinct values as bytes."""
    encoded = column.dictionary_encode()
    return encoded.indices.to_numpy(), _binary(encoded.dictionary)


def _rows(values: Any) -> bytes:
    """The values as rows that end with a line feed; a line feed inside becomes a carriage return."""
    if not len(values):
        return b""
    listed = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    join: Any = pc.binary_join
    joined: bytes = join(listed, b"\n")[0].as_py()
    if joined.count(b"\n") >= len(values):
        return b"".join(value.replace(b"\n", b"\r") + b"\n" for value in values.to_pylist())
    return joined + b"\n"


def _spread(codes: NDArray[np.integer[Any]], size: int, verdicts: Sequence[tuple[int, Verdict]]) -> _Judged:
    """From verdicts on distinct values to verdicts on rows."""
    table = np.zeros(max(size, 1), np.int64)
    for position, (number, _) in enumerate(verdicts, 1):
        table[number] = position
    return _Judged(table[codes], [(), *(verdict for _, verdict in verdicts)])


def _detect_columns(book: RuleBook, rows: int, judged: Sequence[_Judged]) -> list[Any]:
    """The four columns: one result per distinct combination of verdicts, spread over the rows it is for."""
    touched = np.flatnonzero(np.bitwise_or.reduce([column.codes for column in judged]))
    combined = np.zeros(len(touched), np.int64)
    for column in judged:
        mixed = combined * len(column.verdicts) + column.codes[touched]
        _, first, combined = np.unique(mixed, return_index=True, return_inverse=True)
    results = [
        _result(book, [column.verdicts[column.codes[row]] for column in judged])
        for row in touched[first].tolist()
    ]
    rules, classes, scores, evidence = zip(_CLEAN, *results, strict=True)
    score = np.zeros(rows, np.float32)
    score[touched] = np.array(scores, np.float32)[combined + 1]
    lists = (_texts(rules), _texts(classes), _evidence_lists(evidence))
    spread = [_spread_lists(column.take(pa.array(combined + 1)), touched, rows) for column in lists]
    return [*spread[:2], pa.array(score), spread[2]]


def _texts(values: Sequence[Sequence[str]]) -> Any:
    return pa.ListArray.from_arrays(_offsets(values), pa.array(chain.from_iterable(values), pa.string()))


def _evidence_lists(values: Sequence[Sequence[_Shown]]) -> Any:
    """Evidence column by column: Arrow takes much longer for a dictionary each."""
    fields = zip(*chain.from_iterable(values), strict=True) if any(values) else [()] * len(EVIDENCE)
    parts = [pa.array(field, pa.string()) for field in fields]
    return pa.ListArray.from_arrays(
        _offsets(values), pa.StructArray.from_arrays(parts, fields=list(EVIDENCE))
    )


def _offsets(values: Sequence[Sequence[object]]) -> Any:
    return pa.array([0, *accumulate(map(len, values))], pa.int32())


def _spread_lists(lists: Any, touched: NDArray[np.int64], rows: int) -> Any:
    """Lists of `rows` rows: those given stand at the rows `touched` (ascending), all others are empty."""
    lengths = np.zeros(rows + 1, np.int32)
    lengths[touched + 1] = lists.value_lengths().to_numpy(zero_copy_only=False)
    return pa.ListArray.from_arrays(pa.array(np.cumsum(lengths, dtype=np.int32)), lists.flatten())


_Shown: TypeAlias = tuple[str, str, str, str]
"""Where, decoded, matched and rule of a piece of evidence, the fields of `record.EVIDENCE`."""

_Result: TypeAlias = tuple[Sequence[str], Sequence[str], float, Sequence[_Shown]]

_CLEAN: _Result = ((), (), 0.0, ())


def _result(book: RuleBook, verdicts: Iterable[Verdict]) -> _Result:
    told = [verdict for verdict in verdicts if verdict]
    hits = list(chain.from_iterable(told))
    if len(told) > 1:  # a single verdict has its strongest hit first already
        hits.sort(key=lambda hit: -book.rules[hit.rule].score)
    names, classes, score = book.weigh(frozenset(hit.rule for hit in hits))
    return names, classes, score, [_evidence(book, hit) for hit in hits[:MAX_EVIDENCE]]


def _evidence(book: RuleBook, hit: Hit) -> _Shown:
    return hit.where, hit.decoded, hit.matched, book.rules[hit.rule].id
