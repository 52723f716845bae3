"""A detector with the built-in rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from dozor.features.threats.adapters.hyperscan import HyperscanScanner
from dozor.features.threats.core.rules import load_rules
from dozor.features.threats.model import RuleSet
from dozor.features.threats.service import Detector
from tests.unit.threats.requests import Annotate, Line, batch_of


@pytest.fixture(scope="session")
def rules() -> RuleSet:
    return load_rules()


@pytest.fixture(scope="session")
def detector(rules: RuleSet) -> Detector:
    return Detector(rules, HyperscanScanner)


@pytest.fixture(scope="session")
def annotate(detector: Detector) -> Annotate:
    def annotated(lines: Iterable[Line]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = detector.annotate(batch_of(lines)).to_pylist()
        return rows

    return annotated
