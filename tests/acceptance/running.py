"""A real `dozor up` in a process of its own, for tests that look at it from outside."""

from __future__ import annotations

import json
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
OWNER = "anna"
PASSWORD = "correct horse battery staple"

_QUICK = {
    "DOZOR_TRAFFIC__WORKERS": "1",
    "DOZOR_ACCESS__BCRYPT_ROUNDS": "4",
    "DOZOR_LIMITS__ENABLED": "false",  # a test that looks again and again would meet them
}
_STATE = {"DATABASE_URL", "SECRET_KEY", "DOZOR_CONFIG"}

Value = TypeVar("Value")


class Running:
    """A running process; `base` is its address once it has said so.

    Args:
        process: The process, its output read by this object alone.
        folder: Its data folder; empty when nobody named one.
        key: An API key that `http` asks with; empty to ask as nobody.
    """

    def __init__(self, process: subprocess.Popen[str], folder: str = "", key: str = "") -> None:
        self.process = process
        self.folder = folder
        self.key = key
        self.said: list[str] = []
        self.complained: list[str] = []
        self._readers = [
            threading.Thread(target=self._collect, args=(stream, into), daemon=True)
            for stream, into in ((process.stdout, self.said), (process.stderr, self.complained))
        ]
        for reader in self._readers:
            reader.start()
        self.base = until(self._address, f"an address: {self}")
        signed = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(
            base_url=self.base, timeout=30, headers={"Accept-Language": "en", **signed}, trust_env=False
        )

    def __str__(self) -> str:
        return "\n".join([*self.said, *self.complained])

    def client(self, **headers: str) -> httpx.Client:
        """A client without the key; the caller closes it."""
        return httpx.Client(
            base_url=self.base, timeout=30, headers={"Accept-Language": "en", **headers}, trust_env=False
        )

    @contextmanager
    def visitor(self, username: str = OWNER, password: str = PASSWORD) -> Iterator[httpx.Client]:
        """A client that is signed in to the console by its cookie."""
        with self.client() as client:
            typed = {"username": username, "password": password}
            answer = client.post("/api/v1/auth/login", params={"console": True}, json=typed)
            assert answer.status_code == 200, answer.text
            yield client

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


def make_key(folder: object, *words: str, **environ: str) -> str:
    """A new API key for the Dozor of a data folder, whether it runs or not; of an admin unless told."""
    role = () if "--role" in words else ("--role", "admin")
    return str(json.loads(access("key", "create", *role, *words, "--json", folder=folder, **environ))["key"])


def make_owner(folder: object, username: str = OWNER, password: str = PASSWORD, **environ: str) -> None:
    """Make the owner of the Dozor of a data folder, whether it runs or not."""
    access("setup", "--username", username, "--password-stdin", folder=folder, typed=password, **environ)


def access(*words: str, folder: object, typed: str = "", **environ: str) -> str:
    """What `dozor access` says, which must be a success."""
    done = subprocess.run(
        [DOZOR, "access", *words, "--data-dir", str(folder)],
        env={**os.environ, "DOZOR_ACCESS__BCRYPT_ROUNDS": "4", **environ},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def running(*words: object, **environ: str) -> Iterator[Running]:
    """Run `dozor up` on a free port, its limits lifted; it is killed at the end if it still runs.

    `http` asks with an admin's API key, made by the command line in the folder that `--data-dir` names.
    """
    texts = [str(word) for word in words]
    folder = texts[texts.index("--data-dir") + 1] if "--data-dir" in texts else ""
    known = {name: value for name, value in environ.items() if name in _STATE}
    key = make_key(folder, **known) if folder else ""
    command: Sequence[str] = [str(DOZOR), *_global(words), "up", "--port", "0", *_own(words)]
    with subprocess.Popen(
        command,
        env={**os.environ, **_QUICK, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            up = Running(process, folder, key)
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
