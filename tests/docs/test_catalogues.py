from __future__ import annotations

import pytest

from tools import i18n


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_every_text_is_translated(language: str) -> None:
    assert list(i18n.problems(i18n.catalogue_path(language))) == []


def test_a_text_without_a_translation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    template = i18n.extract()
    template.add("Never said before.")
    monkeypatch.setattr(i18n, "extract", lambda: template)
    found = list(i18n.problems(i18n.catalogue_path("ru")))
    assert found == ["'Never said before.' is not in the catalogue."]


def test_russian_has_three_plural_forms() -> None:
    assert i18n.read(i18n.catalogue_path("ru")).num_plurals == 3
