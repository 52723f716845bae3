"""What every test stands on: English, no settings and secrets from outside, the same hypothesis runs."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from dozor.kernel import masking
from dozor.kernel.i18n import set_default_language

ROOT = Path(__file__).parent.parent

# A time limit per example would make a busy machine a failed test; pytest-timeout guards the whole.
# The fixture below sets the same surroundings for all examples of a test, so sharing it is harmless.
hypothesis.settings.register_profile(
    "dozor",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("dozor")


@pytest.fixture(autouse=True)
def _known_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("DOZOR_")]:
        monkeypatch.delenv(name)
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("LOG_LEVEL", "LC_ALL", "LC_MESSAGES", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    set_default_language("en")
    monkeypatch.setattr(masking, "_hidden", set())
    monkeypatch.setattr(masking, "_hidden_pattern", None)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    sys.excepthook, threading.excepthook = hooks
    set_default_language("en")
    root.handlers[:], root.level = before


@pytest.fixture
def root() -> Path:
    """Return the folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of labelled logs beside the project; tests that want it are skipped without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no labelled logs in {folder}")
    return folder


@pytest.fixture(scope="session")
def real_log(shared_data: Path) -> Path:
    """A real access log (combined, gzip)."""
    return shared_data / "access-real-10k.log.gz"
