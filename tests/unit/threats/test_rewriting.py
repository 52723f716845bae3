"""An attack stays an attack however it is written."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from dozor.features.threats.adapters.hyperscan import HyperscanScanner
from dozor.features.threats.core.rules import load_rules
from dozor.features.threats.model import Place
from dozor.features.threats.service import Detector
from tests.unit.threats.requests import Line, batch_of

RULES = load_rules()
DETECTOR = Detector(RULES, HyperscanScanner)
SAMPLES = [
    (rule.id, text)
    for rule in RULES.rules
    if Place.ARG in rule.places and rule.score >= 0.5
    for text in rule.positive
    if text.isascii() and "\n" not in text
]


def _always_encoded(text: str) -> str:
    return "".join(f"%{ord(char):02X}" for char in text)


def _iis(text: str) -> str:
    return "".join(char if char.isalnum() else f"%u{ord(char):04x}" for char in text)


def _logged_by_nginx(text: str) -> str:
    return "".join(char if char.isalnum() else f"\\x{ord(char):02X}" for char in text)


def _full_width(text: str) -> str:
    return quote("".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text))


def _overlong(text: str) -> str:
    return "".join(
        char if char.isalnum() else f"%{0xC0 | ord(char) >> 6:02x}%{0x80 | ord(char) & 0x3F:02x}"
        for char in text
    )


def _entities(text: str) -> str:
    return quote("".join(char if char.isalnum() else f"&#x{ord(char):x};" for char in text))


WRITINGS: dict[str, Callable[[str], str]] = {
    "percent": lambda text: quote(text, safe=""),
    "percent everywhere": _always_encoded,
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "thrice": lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    "plus": lambda text: quote(text, safe=" ").replace(" ", "+"),
    "IIS": _iis,
    "nginx": _logged_by_nginx,
    "full width": _full_width,
    "overlong": _overlong,
    "entities": _entities,
    "null bytes": lambda text: "%00".join(quote(char, safe="") for char in text),
    "tabs": lambda text: quote(text.replace(" ", "\t"), safe=""),
    "more spaces": lambda text: quote(text.replace(" ", "   "), safe=""),
}


@settings(max_examples=400)
@given(
    sample=st.sampled_from(SAMPLES),
    writing=st.sampled_from(sorted(WRITINGS)),
    before=st.sampled_from(["", "page=2&", "a=1&b=two&"]),
    after=st.sampled_from(["", "&sort=price", "&x=%20y&z"]),
)
def test_an_attack_survives_encoding_and_other_arguments(
    sample: tuple[str, str], writing: str, before: str, after: str
) -> None:
    rule, text = sample
    target = f"/list?{before}id={WRITINGS[writing](text)}{after}"
    row = DETECTOR.annotate(batch_of([Line(target=target)])).to_pylist()[0]
    assert rule in row["rules"], target
    assert row["score"] >= 0.5


@settings(max_examples=200)
@given(
    sample=st.sampled_from([sample for sample in SAMPLES if "aced" not in sample[1]]),
    flips=st.integers(min_value=0),
)
def test_an_attack_survives_a_change_of_case(sample: tuple[str, str], flips: int) -> None:
    rule, text = sample
    mixed = "".join(char.swapcase() if flips >> (at % 64) & 1 else char for at, char in enumerate(text))
    row = DETECTOR.annotate(batch_of([Line(target="/list?id=" + quote(mixed, safe=""))])).to_pylist()[0]
    assert row["score"] >= 0.5, (rule, mixed)


SQL_SAMPLES = [(rule, text) for rule, text in SAMPLES if rule.startswith("sqli-") and " " in text]


@settings(max_examples=100)
@given(
    sample=st.sampled_from(
        [
            s
            for s in SQL_SAMPLES
            if s[0] in ("sqli-union-select", "sqli-tautology", "sqli-stacked", "sqli-clause")
        ]
    ),
    comment=st.sampled_from(["/**/", "/*x*/", "/*!*/", "/**/ /**/"]),
)
def test_sql_survives_comments_in_place_of_spaces(sample: tuple[str, str], comment: str) -> None:
    _, text = sample
    commented = text.rstrip().replace(" ", comment)
    row = DETECTOR.annotate(batch_of([Line(target="/list?id=" + quote(commented, safe=""))])).to_pylist()[0]
    assert row["score"] >= 0.5, commented
