"""From hits to one number.

Within a class hits add up as independent doubts do: 1 - (1 - a)(1 - b). A class may not add more
than its cap, and classes add up in the same way. Scanning is capped below an attack, however many
scanner rules fire: whoever asks for /.env may be an attacker, but the request itself is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dozor.features.threats.model import AttackClass

CLASS_CAPS: Mapping[AttackClass, float] = {AttackClass.SCANNER: 0.45}
"""The most that a class may contribute; 1 where nothing is said."""


def line_score(hits: Iterable[tuple[AttackClass, float]]) -> float:
    """The score of a line, 0 to 1, from the class and score of each rule that hit it."""
    doubts: dict[AttackClass, float] = {}
    for attack_class, score in hits:
        doubts[attack_class] = doubts.get(attack_class, 1.0) * (1.0 - score)
    doubt = 1.0
    for attack_class, class_doubt in doubts.items():
        doubt *= max(class_doubt, 1.0 - CLASS_CAPS.get(attack_class, 1.0))
    return round(1.0 - doubt, 4)
