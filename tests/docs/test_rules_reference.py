"""The page about the rules says what the rules say."""

from __future__ import annotations

from pathlib import Path

from dozor.features.threats.core.reference import rules_page
from dozor.features.threats.core.rules import load_rules

PAGE = Path(__file__).parents[2] / "docs/reference/rules.md"


def test_the_rules_page_is_fresh() -> None:
    assert PAGE.read_text("utf-8") == rules_page(load_rules()), (
        "write it anew: python -c 'from dozor.features.threats.core.reference import rules_page; "
        "from dozor.features.threats.core.rules import load_rules; "
        f'print(rules_page(load_rules()), end="")\' > {PAGE}'
    )
