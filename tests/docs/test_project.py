"""Promises about the files around the code."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml


def test_requirements_carry_hashes_and_no_address(root: Path) -> None:
    for path in sorted((root / "requirements").glob("*.txt")):
        text = path.read_text()
        assert "://" not in text, path
        assert text.count("--hash=") >= len(re.findall(r"^[\w-]+==", text, re.MULTILINE)) > 0, path


def test_every_dependency_is_locked(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[^\w-]", line, maxsplit=1)[0] for line in project["dependencies"]}
    locked = (root / "requirements" / "runtime.txt").read_text()
    assert not [name for name in names if f"\n{name}==" not in locked]


def test_every_target_of_make_has_a_line_of_help(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    shown = subprocess.run(["make", "-C", root], capture_output=True, text=True, check=True).stdout
    wanted = re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE)
    assert {"up", "test", "check", "bench", "fmt"} <= set(wanted)
    assert not [name for name in wanted if f"\n  {name} " not in shown]


@pytest.mark.parametrize("name", ["check", "build", "security"])
def test_workflows_pin_their_actions_and_ask_for_little(root: Path, name: str) -> None:
    text = (root / ".github" / "workflows" / f"{name}.yml").read_text()
    assert all(
        re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", use) for use in re.findall(r"uses: (.+)", text)
    )
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    assert all("timeout-minutes" in job and "permissions" in job for job in workflow["jobs"].values())


def test_hooks_call_the_recipes_of_make(root: Path) -> None:
    hooks = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == ["make check", "make test"]


def test_no_link_between_the_pages_is_dead(root: Path) -> None:
    dead = [
        f"{page.relative_to(root)}: {target}"
        for page in [*root.glob("*.md"), *root.glob("docs/**/*.md")]
        for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert dead == []


def test_decisions_are_numbered_without_gaps_and_as_their_titles_say(root: Path) -> None:
    pages = sorted((root / "docs" / "decisions").glob("*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert numbers == list(range(1, len(pages) + 1))
    assert not [
        page.name
        for page, number in zip(pages, numbers, strict=True)
        if not page.read_text().startswith(f"# {number}. ")
    ]
