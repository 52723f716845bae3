"""Recall and false positives on labelled log lines, and the cost of detection.

Converted lines hold made-up values in all fields but the one that `where` names. These are blanked,
so that only the payload can tell.
"""

from __future__ import annotations

import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dozor.columns.record import ATTACK_SCORE
from dozor.features.threats.adapters.hyperscan import HyperscanScanner
from dozor.features.threats.core.rules import load_rules
from dozor.features.threats.service import Detector

CORPUS = "attacks-dev.jsonl.gz"
REAL_LOG = "access-real-10k.log.gz"

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_COMBINED = re.compile(rf"\] {_QUOTED} \S+ \S+ {_QUOTED} {_QUOTED}")
_REQUEST = re.compile(r"([A-Z]+) (.*?)(?: HTTP/[\d.]+)?")

Fields = tuple[str, str, str, str]
"""Method, target, referer, agent."""


def run(data_dir: Path) -> None:
    """Print the detection table.

    Args:
        data_dir: Folder with the labelled corpus and the real log; without them one sentence says so.
    """
    if not (data_dir / CORPUS).exists():
        print(f"Detection is not measured: {data_dir / CORPUS} is absent.")
        return
    rules = load_rules()
    detector = Detector(rules, HyperscanScanner)
    _print_corpus(detector, data_dir / CORPUS)
    if (data_dir / REAL_LOG).exists():
        _print_real_log(detector, data_dir / REAL_LOG)


def _print_corpus(detector: Detector, path: Path) -> None:
    samples = list(_samples(path))
    started = time.perf_counter()
    attacks = _attacks(detector, [fields for _, _, fields in samples])
    seconds = time.perf_counter() - started
    total: Counter[tuple[str, str]] = Counter()
    found: Counter[tuple[str, str]] = Counter()
    for (label, source, _), attack in zip(samples, attacks, strict=True):
        for key in ((label, ""), (label, source)):
            total[key] += 1
            found[key] += attack
    print(f"{'label':<17}{'source':<42}{'lines':>7}{'attacks':>9}{'share':>10}")
    for label, source in sorted(total):
        count, hits = total[label, source], found[label, source]
        print(f"{label:<17}{source or 'all':<42}{count:>7}{hits:>9}{hits / count:>10.2%}")
    print(f"{len(samples)} lines, a third of them attacks, in {seconds:.1f} s.")


def _print_real_log(detector: Detector, path: Path) -> None:
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
        requests = [fields for line in lines if (fields := _fields(line))]
    rows = [n for n, attack in enumerate(_attacks(detector, requests)) if attack]
    print(f"{path.name}: {len(rows)} of {len(requests)} lines are attacks.")
    for row in rows:
        print("  " + " ".join(requests[row]))


def _samples(path: Path) -> Iterator[tuple[str, str, Fields]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            fields = _fields(entry["line"])
            if fields is not None:
                shown = fields if entry["tier"] == "real" else _only(entry["where"], fields)
                yield entry["label"], entry["source"], shown


def _fields(line: str) -> Fields | None:
    found = _COMBINED.search(line)
    if found is None:
        return None
    request, referer, agent = (text if text != "-" else "" for text in found.groups())
    parsed = _REQUEST.fullmatch(request)
    method, target = parsed.groups() if parsed else ("", request)
    return method, target, referer, agent


def _only(where: str, fields: Fields) -> Fields:
    method, target, referer, agent = fields
    match where:
        case "ua":
            return "GET", "/", "", agent
        case "referer":
            return "GET", "/", referer, ""
    return method, target, "", ""


def _attacks(detector: Detector, lines: Sequence[Fields]) -> list[bool]:
    columns = zip(*lines, strict=True)
    names = ("method", "target", "referer", "user_agent")
    arrays = [pa.array(list(column), pa.string_view()) for column in columns]
    scores: Any = detector.annotate(pa.record_batch(arrays, names=list(names))).column("score")
    return [score >= ATTACK_SCORE for score in scores.to_pylist()]


if __name__ == "__main__":
    import os

    run(Path(os.environ.get("DOZOR_BENCH_DATA", "../shared/data")))
