"""The import contracts hold, and each of them would find its breach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Lint = Callable[[Path], subprocess.CompletedProcess[str]]


@pytest.fixture
def lint(root: Path) -> Lint:
    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                Path(sys.executable).with_name("lint-imports"),
                "--no-cache",
                "--no-logo",
                "--config",
                root / ".importlinter",
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    shutil.copytree(
        root / "src" / "dozor",
        tmp_path / "dozor",
        ignore=shutil.ignore_patterns("__pycache__", "*.mo", "*.po"),
    )
    return tmp_path


def test_every_contract_is_kept(lint: Lint, root: Path) -> None:
    done = lint(root / "src")
    assert done.returncode == 0, done.stdout
    assert "6 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "code", "contract"),
    [
        ("kernel/planted.py", "import dozor.columns.record", "The program is built in layers"),
        ("infra/planted.py", "import dozor.features.traffic.model", "The program is built in layers"),
        ("testing/planted.py", "import dozor.app.cli", "The program is built in layers"),
        ("homeless.py", "", "The program is built in layers"),
        ("features/traffic/core/planted.py", "import dozor.features.traffic.service", "Inside a feature"),
        ("features/threats/model_planted.py", "", "Inside a feature"),
        (
            "features/traffic/core/planted.py",
            "import dozor.features.threats.model",
            "Features do not know each other",
        ),
        ("features/orders/__init__.py", "", "Features do not know each other"),
        ("kernel/planted.py", "import httpx", "Words and rules reach no technology"),
        ("features/threats/core/planted.py", "import hyperscan", "Words and rules reach no technology"),
        (
            "features/traffic/core/planted.py",
            "import dozor.infra.logging",
            "Words and rules reach no technology",
        ),
        (
            "features/threats/adapters/planted.py",
            "import dozor.features.threats.service",
            "Adapters do not import",
        ),
        (
            "console/__init__.py",
            "import dozor.columns.record",
            "The console imports the client and the kernel alone",
        ),
    ],
)
def test_a_planted_breach_is_found(lint: Lint, copy: Path, module: str, code: str, contract: str) -> None:
    path = copy / "dozor" / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'"""Planted."""\n{code}\n')
    done = lint(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [line for line in done.stdout.splitlines() if line.endswith(" BROKEN")]
    assert any(line.startswith(contract) for line in broken), done.stdout
