"""Texts and numbers in the reader's language.

English is the message id, Russian comes from `dozor/locale`. The language belongs to the running
context, so that a server can answer two people in two languages at once; threads that were started
without a context of their own speak the process's default language.

Mark a text with `_("…")` and fill it in afterwards: `_("{name} is a directory.").format(name=name)`.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "ru")
LOCALE = Path(__file__).parent.parent / "locale"

_DOMAIN = "dozor"
_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_SIZE_STEP = 1024
_MILLISECONDS_BELOW = 1.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86400

_default = "en"
_chosen: ContextVar[str | None] = ContextVar("language", default=None)


def current_language() -> str:
    """Return the language of the running context: `en` or `ru`."""
    return _chosen.get() or _default


def use_language(language: str) -> ExitStack:
    """Speak `language` from now on in this context; as a `with` block, until its end.

    A language without a catalogue means English.
    """
    token = _chosen.set(_known(language))
    restore = ExitStack()
    restore.callback(_chosen.reset, token)
    return restore


def set_default_language(language: str) -> None:
    """Speak `language` in this process wherever no other is in use, libraries included.

    Click takes its own words ("Usage:", "No such option") from gettext's default domain, which knows
    one language per process and reads it from the environment.
    """
    global _default  # noqa: PLW0603 - gettext's default domain is a global of the process as well
    _default = _known(language)
    os.environ["LANGUAGE"] = _default
    gettext.bindtextdomain(_DOMAIN, LOCALE)
    gettext.textdomain(_DOMAIN)


def language_from_environment(environ: Mapping[str, str]) -> str:
    """Return the language that the environment asks for, `en` when it names none that we speak.

    `DOZOR_LANG` wins. Else the locale's variables count as GNU gettext reads them: the first of `LC_ALL`,
    `LC_MESSAGES` and `LANG` that is set is the locale, and `LANGUAGE` may list better choices unless
    that locale is `C`, which scripts set to get stable English.
    """
    own = environ.get("DOZOR_LANG", "")
    if own:
        return _known(own)
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((environ[name] for name in names if environ.get(name)), "C")
    if locale.partition(".")[0] in {"C", "POSIX"}:
        return "en"
    wishes = [*environ.get("LANGUAGE", "").split(":"), locale]
    return next((wish[:2].lower() for wish in wishes if wish[:2].lower() in LANGUAGES), "en")


def _(message: str) -> str:
    """Return `message` in the current language."""
    return _catalogue(current_language()).gettext(message)


def N_(message: str) -> str:  # noqa: N802 - gettext's own name for a mark
    """Mark a message that is said later, by `_` on the variable that holds it."""
    return message


def ngettext(singular: str, plural: str, number: int) -> str:
    """Return the form of a message that fits `number` in the current language."""
    return _catalogue(current_language()).ngettext(singular, plural, number)


def format_number(number: float, digits: int = 0) -> str:
    """Return `number` with its thousands apart and `digits` decimals: `1,204.5`, in Russian `1 204,5`."""
    text = f"{number:,.{digits}f}"
    if current_language() == "ru":
        return text.translate({ord(","): _NO_BREAK_SPACE, ord("."): ","})
    return text


def format_percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction of one as a percentage: `0.125` is `12.5%`, in Russian `12,5 %`."""
    space = _NO_BREAK_SPACE if current_language() == "ru" else ""
    return f"{format_number(100 * fraction, digits)}{space}%"


def format_bytes(count: float) -> str:
    """Return a size in bytes with a binary unit and at most one decimal: `1.5 KiB`, in Russian `1,5 КиБ`."""
    units = (_("B"), _("KiB"), _("MiB"), _("GiB"), _("TiB"), _("PiB"))
    power = 0
    # 1023.95 and more would be shown as 1024.0 of the smaller unit.
    while power < len(units) - 1 and abs(round(count, 1)) >= _SIZE_STEP:
        count /= _SIZE_STEP
        power += 1
    return _quantity(count, 1 if power else 0, units[power])


def format_duration(seconds: float) -> str:
    """Return a length of time by its two largest units: `350 ms`, `4.2 s`, `3 min 5 s`, `2 d 4 h`."""
    if round(seconds, 3) < _MILLISECONDS_BELOW:
        return _quantity(1000 * seconds, 0, _("ms"))
    if round(seconds, 1) < _MINUTE:
        return _quantity(seconds, 1, _("s"))
    if round(seconds) < _HOUR:
        return _two_units(round(seconds), _MINUTE, (_("min"), _("s")))
    minutes = round(seconds / _MINUTE)
    if minutes * _MINUTE < _DAY:
        return _two_units(minutes, 60, (_("h"), _("min")))
    return _two_units(round(seconds / _HOUR), 24, (_("d"), _("h")))


def _known(language: str) -> str:
    code = language[:2].lower()
    return code if code in LANGUAGES else "en"


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation(_DOMAIN, LOCALE, languages=[language], fallback=True)


def _quantity(number: float, digits: int, unit: str) -> str:
    return f"{format_number(number, digits)}{_NO_BREAK_SPACE}{unit}"


def _two_units(count: int, step: int, units: tuple[str, str]) -> str:
    large, small = divmod(count, step)
    parts = [_quantity(large, 0, units[0])]
    if small:
        parts.append(_quantity(small, 0, units[1]))
    return " ".join(parts)
