"""A real `dozor up` in a process of its own, for tests that look at it from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

DOZOR = Path(sys.executable).with_name("dozor")
PATIENCE = 60.0

Value = TypeVar("Value")


class Running:
    """A running process; `base` is its address once it has said so.

    Args:
        process: The process, its output read by this object alone.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self.complained: list[str] = []
        self._readers = [
            threading.Thread(target=self._collect, args=(stream, into), daemon=True)
            for stream, into in ((process.stdout, self.said), (process.stderr, self.complained))
        ]
        for reader in self._readers:
            reader.start()
        self.base = until(self._address, f"an address: {self}")
        self.http = httpx.Client(base_url=self.base, timeout=30, headers={"Accept-Language": "en"})

    def __str__(self) -> str:
        return "\n".join([*self.said, *self.complained])

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of an answer that must be a success."""
        answer = self.http.get(path, params=parameters)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}\n{self}"
        return answer.json()

    def ready(self) -> dict[str, Any]:
        """What `/ready` says once it says yes."""
        return until(lambda: self._ready(wanted=True), f"readiness: {self}")

    def not_ready(self) -> dict[str, Any]:
        """What `/ready` says once it says no."""
        return until(lambda: self._ready(wanted=False), f"an end of readiness: {self}")

    def stored(self, requests: int) -> None:
        """Wait until so many requests are stored, and see that there are no more."""
        until(lambda: self.count() >= requests, f"{requests} requests: {self}")
        assert self.count() == requests

    def count(self) -> int:
        """Requests in the store; 0 while it does not answer."""
        answer = self.http.get("/api/v1/traffic/coverage")
        return int(answer.json()["requests"]) if answer.status_code == 200 else 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; all that was said is there then."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Return the exit code; all that was said is there then."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        self.http.close()
        return code

    def _ready(self, *, wanted: bool) -> dict[str, Any] | None:
        answer = self.http.get("/ready")
        return answer.json() if (answer.status_code == 200) is wanted else None

    def _address(self) -> str | None:
        found = [line.split()[-1] for line in self.said if "http://127.0.0.1:" in line]
        assert found or self.process.poll() is None, f"It ended: {self}"
        return found[0] if found else None

    @staticmethod
    def _collect(stream: Any, into: list[str]) -> None:
        for line in stream:
            into.append(line.rstrip("\n"))  # noqa: PERF401 - others read the list while it grows


@contextmanager
def running(*words: object, **environ: str) -> Iterator[Running]:
    """Run `dozor up` on a free port; it is killed at the end if it still runs."""
    command: Sequence[str] = [str(DOZOR), *_global(words), "up", "--port", "0", *_own(words)]
    with subprocess.Popen(
        command,
        env={**os.environ, "DOZOR_TRAFFIC__WORKERS": "1", **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            up = Running(process)
            with up.http:
                yield up
        finally:
            if process.poll() is None:
                process.kill()


def refused(*words: object, **environ: str) -> tuple[int, str]:
    """Exit code and last words of a `dozor up` that cannot start."""
    done = subprocess.run(
        [DOZOR, "up", *map(str, words)],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return done.returncode, done.stderr.splitlines()[-1]


def until(look: Callable[[], Value | None], wanted: str, *, patience: float = PATIENCE) -> Value:
    """Look again and again until there is something."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"Waited in vain for {wanted}")


def _global(words: Sequence[object]) -> list[str]:
    return [str(word) for word in words if str(word).startswith("-v")]


def _own(words: Sequence[object]) -> list[str]:
    return [str(word) for word in words if not str(word).startswith("-v")]
