"""Read rules from YAML files, check them, and derive what the scanner needs.

A file holds `rules` (a list), and may hold `words` (name to list, usable in expressions as
`{{name}}`: any of the words) and `hints` (expressions). See docs/reference/rules.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from dozor.features.threats.core.tokenise import JUDGEMENTS
from dozor.features.threats.model import ANYWHERE, AttackClass, Place, Rule, RuleSet
from dozor.kernel.errors import SettingsError
from dozor.kernel.finding import Severity
from dozor.kernel.i18n import _

_ID = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_WORDS = re.compile(r"\{\{([a-z_]+)\}\}")
_LOOK_AROUND = re.compile(r"(?<!\\)(?:\\\\)*(?:\(\?(?:[=!>]|<[=!]|P[=<])|\\[1-9])")
_KEYS = frozenset(
    [
        "id",
        "class",
        "title",
        "severity",
        "score",
        "where",
        "pattern",
        "patterns",
        "confirm",
        "sql",
        "unless",
        "references",
        "positive",
        "negative",
    ]
)
_REQUIRED = ("id", "class", "title", "severity", "score", "references", "positive", "negative")

_START = r"(?:^|[=&?/ #])"
_END = r"(?:$|[&?#;= ])"


def load_rules(extra_dir: Path | None = None, disabled: Iterable[str] = ()) -> RuleSet:
    """The built-in rules, those of a folder, and what is switched off.

    Args:
        extra_dir: A folder with further `*.yaml` files; a rule there replaces a built-in rule of
            the same id. None: built-in rules alone.
        disabled: Ids of rules to leave out.

    Raises:
        SettingsError: A file cannot be read, a rule is malformed, or an id in `disabled` is
            unknown; the message names the file, the rule and the fact.
    """
    built_in = [
        (entry.name, entry.read_text("utf-8"))
        for entry in files("dozor.features.threats").joinpath("rules").iterdir()
        if entry.name.endswith(".yaml")
    ]
    extra = _read_dir(extra_dir) if extra_dir is not None else []
    rules: dict[str, Rule] = {}
    hints: list[str] = []
    for texts, compile_all in ((built_in, False), (extra, True)):
        for name, text in texts:
            file_rules, file_hints = parse_rules(text, name, compile_all=compile_all)
            rules.update((rule.id, rule) for rule in file_rules)
            hints += file_hints
    return RuleSet(_without(rules, frozenset(disabled)), tuple(hints))


def _read_dir(folder: Path) -> list[tuple[str, str]]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".yaml")
        return [(str(path), path.read_text("utf-8")) for path in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            _("Cannot read the rules in {folder}: {error}.").format(folder=folder, error=error),
            hint=_("Name a readable folder of YAML files in UTF-8, or none."),
        ) from error


def _without(rules: Mapping[str, Rule], disabled: frozenset[str]) -> tuple[Rule, ...]:
    unknown = sorted(disabled - rules.keys())
    if unknown:
        raise SettingsError(
            _("There is no rule {rules} to switch off.").format(rules=", ".join(unknown)),
            hint=_("docs/reference/rules.md lists the ids of all rules."),
        )
    return tuple(rules[id_] for id_ in sorted(rules.keys() - disabled))


def parse_rules(text: str, name: str, *, compile_all: bool = True) -> tuple[list[Rule], list[str]]:
    """Rules and hints of one YAML text.

    Args:
        text: Content of the file.
        name: What to call the file in an error.
        compile_all: Whether to compile every expression. Takes a second for the built-in rules,
            whose tests do it.

    Raises:
        SettingsError: The text is no YAML or a rule in it is malformed.
    """
    try:
        content = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise _malformed(name, "", " ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise _malformed(name, "", _("a mapping with the key `rules` is expected"))
    words = {key: _any_of(values) for key, values in (content.get("words") or {}).items()}
    hints = [_expand(hint, words) for hint in content.get("hints") or ()]
    rules = [_rule(entry, words, name) for entry in content.get("rules") or ()]
    if compile_all:
        for rule in rules:
            _compile_all(rule, name)
    return rules, hints


def _malformed(name: str, rule: str, fact: str) -> SettingsError:
    place = f"{name}: {rule}" if rule else name
    return SettingsError(
        _("{place}: {fact}.").format(place=place, fact=fact),
        hint=_("docs/reference/rules.md says what a rule file holds."),
    )


def _any_of(values: Sequence[object]) -> str:
    # Longest first: the Python engine takes the first alternative that fits.
    return "(?:" + "|".join(sorted(map(str, values), key=len, reverse=True)) + ")"


def _expand(expression: str, words: Mapping[str, str]) -> str:
    return _WORDS.sub(lambda match: words[match[1]], expression)


def _rule(entry: object, words: Mapping[str, str], name: str) -> Rule:
    if not isinstance(entry, dict):
        raise _malformed(name, "", _("a rule is a mapping"))
    id_ = str(entry.get("id", "?"))
    missing = [key for key in _REQUIRED if key not in entry]
    unknown = sorted(set(entry) - _KEYS)
    if missing or unknown or not _ID.fullmatch(id_):
        fact = _("missing: {missing}; unknown: {unknown}; ids look like sqli-union-select")
        shown = fact.format(missing=", ".join(missing) or "-", unknown=", ".join(unknown) or "-")
        raise _malformed(name, id_, shown)
    try:
        return _checked(entry, words, id_)
    except (KeyError, ValueError, TypeError, re.error) as error:
        raise _malformed(name, id_, str(error)) from error


def _checked(entry: Mapping[str, Any], words: Mapping[str, str], id_: str) -> Rule:
    patterns = entry.get("patterns") or [entry["pattern"]]
    rule = Rule(
        id=id_,
        attack_class=AttackClass(entry["class"]),
        title=entry["title"],
        severity=Severity[entry["severity"].upper()],
        score=float(entry["score"]),
        places=_places(entry.get("where", "any")),
        patterns=tuple(_expand(pattern, words) for pattern in patterns),
        confirm=_expand(entry["confirm"], words) if "confirm" in entry else None,
        sql=entry.get("sql"),
        unless=_expand(entry["unless"], words) if "unless" in entry else None,
        references=tuple(entry["references"]),
        positive=tuple(entry["positive"]),
        negative=tuple(entry["negative"]),
    )
    _check(rule)
    return rule


def _check(rule: Rule) -> None:
    if not 0 < rule.score <= 1:
        raise ValueError(_("the score must be above 0 and at most 1"))
    if rule.sql is not None and rule.sql not in JUDGEMENTS:
        raise ValueError(_("`sql` must be one of {names}").format(names=", ".join(sorted(JUDGEMENTS))))
    if any(_LOOK_AROUND.search(pattern) for pattern in rule.patterns):
        raise ValueError(_("`pattern` may hold no look-around and no back-reference; use `confirm`"))


def _compile_all(rule: Rule, name: str) -> None:
    for expression in (*rule.patterns, rule.confirm or "", rule.unless or ""):
        try:
            re.compile(expression.encode("latin-1"), re.IGNORECASE)
        except (re.error, UnicodeEncodeError) as error:
            raise _malformed(name, rule.id, f"{error}: {expression}") from error


def _places(value: str | Sequence[str]) -> frozenset[Place]:
    if value == "any":
        return ANYWHERE
    return frozenset(Place(place) for place in ([value] if isinstance(value, str) else value))


HINT = -1
"""Stands for a rule's index where a test belongs to a hint."""


@dataclass(frozen=True, slots=True)
class Expressions:
    """What to build the scanner from, and what its finds call for.

    Args:
        texts: Expressions for the scanner.
        owners: For each the indices of the `tests` that it calls for.
        tests: A rule's index (or `HINT`) and one of its patterns.
    """

    texts: tuple[str, ...]
    owners: tuple[tuple[int, ...], ...]
    tests: tuple[tuple[int, str], ...]


@lru_cache(maxsize=4)
def expressions(rules: RuleSet) -> Expressions:
    """The expressions of all rules and hints, each text once.

    Rules about the method or about junk are not among them: such texts are few, and checked one
    by one.
    """
    owners: dict[str, list[int]] = {}
    tests: list[tuple[int, str]] = []
    for index, rule in enumerate(rules.rules):
        if not rule.places <= {Place.METHOD, Place.REQUEST}:
            tests += [(index, pattern) for pattern in rule.patterns]
    tests += [(HINT, hint) for hint in rules.hints]
    for number, (_rule, pattern) in enumerate(tests):
        owners.setdefault(widened(pattern), []).append(number)
    return Expressions(tuple(owners), tuple(map(tuple, owners.values())), tuple(tests))


_SYNTAX = re.compile(r"\\.|\[\^?(?:\\.|[^\]\\])+\]|([\^$])|\{(\d+),(\d+)\}", re.DOTALL)
_LONG = 20


def widened(pattern: str) -> str:
    """The expression for a value as a whole: finds all that `pattern` finds in a part of it, and more.

    `^` and `$` also mean the ends of an argument. Long counted repeats become endless ones, which
    an automaton needs few states for: the database compiles in a fraction of the time.
    """

    def replaced(match: re.Match[str]) -> str:
        anchor, least, most = match.groups()
        if anchor:
            return _START if anchor == "^" else _END
        if most is None or int(most) < _LONG:
            return match[0]
        return "*" if least == "0" else "+"

    return _SYNTAX.sub(replaced, pattern)
