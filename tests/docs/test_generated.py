from __future__ import annotations

import re
from pathlib import Path

import pytest

from dozor.app.settings import Settings, leaves, load
from tools import docs


@pytest.mark.parametrize(("path", "text"), list(docs.pages()), ids=lambda value: getattr(value, "name", ""))
def test_generated_pages_are_fresh(path: Path, text: str) -> None:
    assert path.read_text() == text, "run `make docs`"


def test_the_settings_page_names_every_setting() -> None:
    page = docs.SETTINGS_PAGE.read_text()
    assert not [setting.key for setting in leaves(Settings) if f"| `{setting.key}` |" not in page]


def test_the_examples_of_the_settings_page_work_and_agree(tmp_path: Path) -> None:
    page = docs.SETTINGS_PAGE.read_text()
    yaml, shell = re.findall(r"```\w+\n(.*?)```", page, re.DOTALL)
    (tmp_path / "dozor.yaml").write_text(yaml)
    variables = dict(line.split("=", 1) for line in shell.split())
    from_yaml = load(Settings, {}, folder=tmp_path).settings.traffic
    from_variables = load(Settings, variables, folder=tmp_path / "empty").settings.traffic
    assert from_yaml.trusted_proxies == from_variables.trusted_proxies
    assert from_yaml.json_fields == from_variables.json_fields


def test_the_notice_names_every_package_of_the_lock_with_a_licence() -> None:
    rows = dict(re.findall(r"^\| ([\w-]+) \| (.+) \|$", docs.NOTICE.read_text(), re.MULTILINE))
    rows.pop("package", None)
    rows.pop("---", None)
    assert set(rows) == set(docs.locked_packages())
    assert all(rows.values())
