"""`python -m bench`: the report against GoAccess, detection, live ingest, queries, access, rest; or one."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bench import access, idle, ingest, report

_MULTIPLES = {"k": 1_000, "M": 1_000_000}
_LINES = "1M,10M"
_DISTINCT = "0.3,1.0"


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments name; 1 when a count was wrong."""
    asked = _parser().parse_args(arguments)
    if asked.what == "generate":
        return _generate(asked)
    right = True
    if asked.what in ("all", "report"):
        right = _report(asked)
    if asked.what in ("all", "detection"):
        _detection(asked.data)
    if asked.what in ("all", "ingest"):
        right = ingest.run() and right
    if asked.what in ("all", "queries"):
        right = _queries(asked.rows) and right
    if asked.what in ("all", "access"):
        right = access.run() and right
    if asked.what in ("all", "idle"):
        right = idle.run() and right
    return 0 if right else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        default="all",
        choices=["all", "report", "detection", "ingest", "queries", "access", "idle", "generate"],
    )
    parser.add_argument("--lines", default=_LINES, help=f"sizes of the logs (default {_LINES})")
    parser.add_argument(
        "--distinct", default=_DISTINCT, help=f"shares of distinct targets (default {_DISTINCT})"
    )
    parser.add_argument(
        "--pairs",
        type=int,
        help=f"pairs of runs on each log (default {report.PAIRS} on 1M with the first share, else 1)",
    )
    parser.add_argument("--rows", default="20M", help="rows of the store that is queried (default 20M)")
    parser.add_argument("--quick", action="store_true", help="one pair on 1M lines")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("DOZOR_BENCH_DATA", report.ROOT.parent / "shared" / "data")),
        help="folder with the labelled corpora (default DOZOR_BENCH_DATA, else ../shared/data)",
    )
    return parser


def _report(asked: argparse.Namespace) -> bool:
    if asked.quick:
        return report.run([report.Plan(1_000_000, _shares(_DISTINCT)[0], 1)])
    return report.run(report.plans(_counts(asked.lines), _shares(asked.distinct), asked.pairs))


def _detection(data: Path) -> None:
    # imported when it is wanted, as it loads the rules and the scanner
    from bench import detection  # noqa: PLC0415

    print()
    detection.run(data)


def _queries(rows: str) -> bool:
    from bench import queries  # noqa: PLC0415 - as above

    print()
    return queries.run(_counts(rows)[0])


def _generate(asked: argparse.Namespace) -> int:
    from bench.generate import LogSpec, access_log, attack_samples  # noqa: PLC0415

    for share in _shares(asked.distinct):
        for count in _counts(asked.lines):
            print(access_log(LogSpec(count, share), attack_samples(), report.FOLDER), flush=True)
    return 0


def _counts(text: str) -> list[int]:
    return [int(float(part.rstrip("kM")) * _MULTIPLES.get(part[-1], 1)) for part in text.split(",")]


def _shares(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
