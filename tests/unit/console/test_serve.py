from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from streamlit.file_util import get_static_dir

from dozor.console import frame
from dozor.console.serve import _CompressedFiles, _own_page, content_security_policy
from dozor.console.settings import PAGES
from dozor.console.theme import DARK, LIGHT, streamlit_options, style_tokens

INDEX = (Path(get_static_dir()) / "index.html").read_text(encoding="utf-8")
STATIC = Path(__file__).parents[3] / "src" / "dozor" / "console" / "static"


def test_only_the_inline_script_of_the_page_may_run() -> None:
    policy = content_security_policy(INDEX)
    (script,) = re.findall(r"<script>(.*?)</script>", _own_page(INDEX, "ru", "1").decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "unsafe-eval" not in policy
    assert "default-src 'none'" in policy
    assert re.search(r"script-src[^;]*unsafe-inline", policy) is None


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_is_ours_and_names_nothing_foreign(language: str) -> None:
    page = _own_page(INDEX, language, "abc").decode()
    assert f'<html lang="{language}">' in page
    assert "<title>Dozor</title>" in page
    assert "console.css?abc" in page
    for unwanted in ("SourceSans", "service-desc", "favicon.png", "https://"):
        assert unwanted not in re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)


def test_streamlit_is_told_to_stay_at_home() -> None:
    options = streamlit_options()
    assert options["browser.gatherUsageStats"] is False
    assert options["runner.postScriptGC"] is False
    assert options["client.showErrorDetails"] == "none"
    for face in options["theme.fontFaces"]:
        assert (STATIC / face["url"].removeprefix("app/static/")).is_file()


def test_every_page_keeps_the_theme_that_was_chosen() -> None:
    script = (STATIC / "preferences.js").read_text(encoding="utf-8")
    listed = re.search(r"for \(const page of (\[.*?\])", script, re.DOTALL)
    assert listed
    assert re.findall(r'"(\w*)"', listed[1]) == list(PAGES)


def test_every_page_has_an_entry() -> None:
    assert list(frame._ENTRIES) == list(PAGES)


def test_the_style_sheet_uses_only_colours_that_there_are() -> None:
    rules = (STATIC / "console.css").read_text(encoding="utf-8")
    assert rules.count("{") == rules.count("}")
    assert set(re.findall(r"var\((--dz-[\w-]+)", rules)) <= set(re.findall(r"(--dz-[\w-]+):", style_tokens()))
    assert "http" not in rules


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_texts_can_be_read_on_the_page(theme: object) -> None:
    def contrast(one: str, other: str) -> float:
        lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
        return (lighter + 0.05) / (darker + 0.05)

    for name in ("text", "muted", "accent", "ok", "warn", "high", "critical", "info", "bots"):
        assert contrast(getattr(theme, name), getattr(theme, "bg")) >= 4.5, name  # noqa: B009
    assert contrast(getattr(theme, "on_primary"), getattr(theme, "accent")) >= 4.5  # noqa: B009


@pytest.mark.parametrize("name", ["\0", "x" * 5000, "../index.html", ""])
def test_a_name_that_no_file_of_ours_has_is_none(name: str) -> None:
    files = _CompressedFiles(Path(get_static_dir()), STATIC, {})
    assert files.find(f"static/{name}", {"headers": []}) is None
