"""Keeps the message catalogues equal to the source: `python -m tools.i18n update | check`.

Click's own messages are part of the catalogue, since Click asks the default gettext domain for them.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "dozor"
LANGUAGES = ("ru",)
WIDTH = 110


def extract() -> Catalog:
    """Return a catalogue without translations of every message in Dozor's and Click's source."""
    template = Catalog(project="dozor", charset="utf-8")
    methods = [("**.py", "python"), ("**/templates/**.html", "jinja2.ext:babel_extract")]
    options = {"**/templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}
    for folder in (SOURCE, Path(click.__file__).parent):
        found = extract_from_dir(folder, methods, options, keywords=DEFAULT_KEYWORDS)
        for _file, _line, message, comments, context in found:
            # Where a message stands is left out: each edit above it would change the catalogue.
            template.add(message, None, auto_comments=comments, context=context)
    return template


def read(path: Path) -> Catalog:
    """Read the catalogue in the file `path`."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def update(path: Path) -> None:
    """Take new messages into the catalogue at `path` and drop those that nobody says any more."""
    catalogue = read(path)
    catalogue.update(extract(), no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    text = io.BytesIO()
    write_po(text, catalogue, width=WIDTH, sort_output=True, omit_header=True)
    header = (
        'msgid ""\nmsgstr ""\n'
        f'"Language: {catalogue.locale_identifier}\\n"\n'
        '"MIME-Version: 1.0\\n"\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n'
        '"Content-Transfer-Encoding: 8bit\\n"\n'
        f'"Plural-Forms: {catalogue.plural_forms}\\n"\n\n'
    )
    path.write_bytes(header.encode() + text.getvalue())


def problems(path: Path) -> Iterator[str]:
    """Yield a sentence for each message of the source that the catalogue at `path` does not cover."""
    catalogue = read(path)
    wanted = {message.id for message in extract() if message.id}
    known = {message.id: message for message in catalogue if message.id}
    for text in sorted(map(repr, wanted - known.keys())):
        yield f"{text} is not in the catalogue."
    for text in sorted(map(repr, known.keys() - wanted)):
        yield f"{text} is in the catalogue but not in the source."
    for message in known.values():
        if message.fuzzy or not _translated(message, catalogue.num_plurals):
            yield f"{message.id!r} is not translated."
        for error in message.check(catalogue):
            yield f"{message.id!r}: {error}."


def _translated(message: Message, plurals: int) -> bool:
    if not message.pluralizable:
        return bool(message.string)
    return isinstance(message.string, tuple) and len(message.string) == plurals and all(message.string)


def catalogue_path(language: str) -> Path:
    """Return where the catalogue of `language` stands."""
    return SOURCE / "locale" / language / "LC_MESSAGES" / "dozor.po"


def main(arguments: list[str]) -> int:
    """Run `update` or `check` over the catalogues of all languages; return the exit code."""
    if arguments == ["update"]:
        for language in LANGUAGES:
            update(catalogue_path(language))
        return 0
    found = [f"{language}: {text}" for language in LANGUAGES for text in problems(catalogue_path(language))]
    for text in found:
        print(text, file=sys.stderr)  # noqa: T201 - a tool's output
    if found:
        print("Run `make i18n` and translate what is new.", file=sys.stderr)  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
