"""Measures what `dozor up` costs while nothing happens: start, memory at rest and after page visits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from bench import report

REST_SECONDS: Final = 30.0
LIMIT_MIB: Final = 650
PAGES: Final = ("", "dynamics", "geography", "top", "anomalies", "errors", "lines")

_CHROMIUM: Final = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
_PATIENCE: Final = 60.0
_PAGE_SECONDS: Final = 3.0

_DOZOR = Path(sys.executable).with_name("dozor")
_PASSWORD = "correct horse battery staple"  # noqa: S105 - of an owner who lives as long as this bench

Say = Callable[[str], None]


def run(say: Say = print) -> bool:
    """Measure and print; False when the memory at rest is above the limit."""
    say(f"dozor up at rest (limit {LIMIT_MIB} MiB after {REST_SECONDS:.0f} s)")
    alone = _measure(say, demo=False)
    return _measure(say, demo=True) and alone


def _measure(say: Say, *, demo: bool) -> bool:
    with TemporaryDirectory() as folder, _started(Path(folder), demo=demo) as (process, base, started):
        _wait_for(f"{base}/health")
        alive = time.monotonic() - started
        _wait_for(f"{base}/ready")
        ready = time.monotonic() - started
        time.sleep(REST_SECONDS)
        rest, busy = _memory(process.pid), _busy(process.pid)
        say(
            f"  {'with the demo' if demo else 'without a source':<18}"
            f"alive {alive:.1f} s, ready {ready:.1f} s; at rest {rest:.0f} MiB, {busy:.1%} of a core"
        )
        if _CHROMIUM is not None:
            _visit(base, folder)
            time.sleep(REST_SECONDS)
            say(f"  {'':<18}after {len(PAGES)} pages in a browser {_memory(process.pid):.0f} MiB")
    return rest <= LIMIT_MIB


@contextmanager
def _started(folder: Path, *, demo: bool) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    words = ["up", "--port", "0", "--data-dir", str(folder / "data"), *(["--demo"] if demo else [])]
    started = time.monotonic()
    with subprocess.Popen([_DOZOR, *words], stdout=subprocess.PIPE, text=True, cwd=report.ROOT) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stdout)
            yield process, next(match[0] for match in found if match), started
        finally:
            process.terminate()


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            with urlopen(address, timeout=_PATIENCE):  # noqa: S310 - an address of this machine
                return
        except URLError:
            time.sleep(0.02)
    raise RuntimeError(f"{address} did not answer in time.")


def _visit(base: str, folder: str) -> None:
    """Make the owner, sign in, and look at each page."""
    subprocess.run(
        [_DOZOR, "access", "setup", "--username", "anna", "--password-stdin", "--data-dir", f"{folder}/data"],
        input=_PASSWORD,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        typed = {"username": "anna", "password": _PASSWORD}
        page.request.post(f"{base}/api/v1/auth/login?console=true", data=typed, fail_on_status_code=True)
        for path in PAGES:
            page.goto(f"{base}/{path}")
            time.sleep(_PAGE_SECONDS)
        browser.close()


def _memory(pid: int) -> float:
    """Resident memory in MiB, code of libraries included."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None  # noqa: S101 - every process has it
    return int(found[1]) / 1024


def _busy(pid: int) -> float:
    """Share of one core that the process takes, over five seconds."""
    before, began = _ticks(pid), time.monotonic()
    time.sleep(5)
    return (_ticks(pid) - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
