"""Each line stands in the store once, whatever is killed, rotated and packed meanwhile.

What is compared is the store and the files: every line that stands in the logs and their rotated files, no
more and no less. The kill points are steps of storing (`ingest_process.PLACES`), chosen by a seed.
"""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.ingest_process import PLACES
from tests.acceptance.nginx import Nginx, free_port

_PROCESS = Path(__file__).with_name("ingest_process.py")
_DEADLINE = 60.0


def wait_for(what: Callable[[], object], deadline: float = _DEADLINE) -> None:
    end = time.monotonic() + deadline
    while not what():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


class Follower:
    """The process that follows logs; it may be killed and started again.

    Args:
        folder: Its data folder.
        sources: What it follows.
    """

    def __init__(self, folder: Path, sources: Sequence[Path | str]) -> None:
        folder.mkdir()
        self.folder, self.sources = folder, [str(source) for source in sources]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, kill: str | None = None) -> None:
        (self.folder / "status.json").unlink(missing_ok=True)
        command = [sys.executable, str(_PROCESS), "follow", str(self.folder), *self.sources]
        command += ["--kill", kill] if kill else []
        self._process = subprocess.Popen(command)
        wait_for(lambda: self._follows() or self._ended())

    def status(self) -> dict[str, tuple[str, int, int]]:
        try:
            found: dict[str, tuple[str, int, int]] = json.loads((self.folder / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def _follows(self) -> bool:
        status = self.status()
        return bool(status) and all(state != "starting" for state, _lag, _lines in status.values())

    def _ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def killed(self) -> None:
        """Wait until it has killed itself."""
        assert self._process is not None
        assert self._process.wait(_DEADLINE) == -signal.SIGKILL

    def is_behind(self) -> bool:
        return any(lag for _state, lag, _lines in self.status().values())

    def rests(self, *, after: Callable[[], bool] = lambda: True) -> bool:
        """Wait until it has killed itself or, after something, caught up for longer than a look around takes.

        Returns:
            Whether it runs.
        """
        began = time.monotonic()

        def is_done() -> bool:
            nonlocal began
            if self.is_behind() or not self.status() or not after():
                began = time.monotonic()
            return self._ended() or time.monotonic() - began > 1.5

        wait_for(is_done)
        return not self._ended()

    def stop(self) -> None:
        """Wait until it has caught up; end it as people do."""
        assert self._process is not None
        assert self.rests(), "the follower ended by itself"
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(_DEADLINE) == 0

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stored(self) -> dict[str, dict[str, list[str]]]:
        """What is in the store: requests, errors and rejects by source."""
        command = [sys.executable, str(_PROCESS), "dump", str(self.folder)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        found: dict[str, dict[str, list[str]]] = json.loads(done.stdout)
        return found


@contextmanager
def following(folder: Path, sources: Sequence[Path | str]) -> Iterator[Follower]:
    follower = Follower(folder, sources)
    try:
        yield follower
    finally:
        follower.end()


def seeded_kills(seed: int, count: int) -> list[str]:
    """Different places, each reached after a few batches."""
    dice = random.Random(seed)  # noqa: S311 - the same each time
    return [f"{place}:{dice.randint(2, 9)}" for place in dice.sample(PLACES, count)]


def differences(expected: Counter[str], found: Counter[str]) -> dict[str, Any]:
    """Empty when both are equal; else some examples."""
    lost, doubled = expected - found, found - expected
    return {name: dict(list(part.items())[:5]) for name, part in (("lost", lost), ("more", doubled)) if part}


def assert_all_stored_once(nginx: Nginx, stored: dict[str, dict[str, list[str]]]) -> None:
    access, jsonl, error = nginx.logs
    for log in (access, jsonl):
        written = nginx.requests(log)
        assert len(written) > 100
        assert max(written.values()) == 1, "a request has no path of its own"
        assert differences(written, Counter(stored["requests"].get(str(log), []))) == {}
    missing = re.compile(r"/missing/[\w-]+")
    failures = [line.decode() for line in nginx.written(error) if b"[error]" in line]
    told = Counter(found[0] for line in failures if (found := missing.search(line)))
    kept = Counter(
        found[0] for line in stored["errors"].get(str(error), []) if (found := missing.search(line))
    )
    assert told
    assert differences(told, kept) == {}
    assert stored["rejects"] == {}


def test_nginx_under_load_through_a_rotation_of_each_kind_and_a_kill(tmp_path: Path) -> None:
    with Nginx(tmp_path / "nginx") as nginx, following(tmp_path / "data", nginx.logs) as follower:
        follower.start(kill="stored:4")
        load = nginx.load("a", 1, connections=2)
        follower.killed()
        nginx.rename()
        load.wait()
        nginx.copytruncate()
        nginx.pack()
        follower.start()
        nginx.load("b", 1, connections=2).wait()
        follower.stop()
        assert_all_stored_once(nginx, follower.stored())


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_nginx_under_load_through_two_rotations_of_each_kind_and_three_kills(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - the same each time
    kills = seeded_kills(seed, 3)
    with Nginx(tmp_path / "nginx") as nginx, following(tmp_path / "data", nginx.logs) as follower:
        rotations = [nginx.rename, nginx.rename, nginx.copytruncate, nginx.copytruncate]
        dice.shuffle(rotations)
        for number, kill in enumerate([*kills, None]):
            follower.start(kill)
            load = nginx.load(f"l{number}", 4)
            time.sleep(dice.uniform(0.1, 2))
            if rotations[number] == nginx.rename:
                nginx.rename()  # under load
            load.wait()
            if rotations[number] == nginx.copytruncate:
                nginx.copytruncate()
            if kill:
                nginx.load(f"m{number}", 1).wait()
                follower.killed()
            if dice.random() < 0.5:
                nginx.pack()
            nginx.load(f"n{number}", 1).wait()
        follower.stop()
        assert_all_stored_once(nginx, follower.stored())


class Writer(threading.Thread):
    """Writes numbered lines in pieces that end anywhere, some of them no requests, and rotates.

    Args:
        log: Where to.
        seed: Of everything that it does by chance.
        count: How many lines.
    """

    def __init__(self, log: Path, seed: int, count: int) -> None:
        super().__init__()
        self._log, self._count = log, count
        self._dice = random.Random(seed)  # noqa: S311 - the same each time
        self.requests: Counter[str] = Counter()
        self.rejects: Counter[str] = Counter()

    def run(self) -> None:
        file = self._log.open("ab", buffering=0)
        rotated = 0
        for number in range(self._count):
            line = self._line(number)
            while line:
                cut = self._dice.choice([len(line), len(line), self._dice.randint(1, len(line))])
                file.write(line[:cut])
                line = line[cut:]
                if line or self._dice.random() < 0.02:
                    time.sleep(0.001)
            if self._dice.random() < 4 / self._count:
                file.close()
                rotated += 1
                for older in range(rotated - 1, 0, -1):
                    path = self._log.with_name(f"{self._log.name}.{older}")
                    path.rename(self._log.with_name(f"{self._log.name}.{older + 1}"))
                self._log.rename(self._log.with_name(f"{self._log.name}.1"))
                file = self._log.open("ab", buffering=0)
        file.close()

    def _line(self, number: int) -> bytes:
        if self._dice.random() < 0.05:
            self.rejects[f"no request {number}"] += 1
            return f"no request {number}\n".encode()
        self.requests[f"/n/{number}"] += 1
        return (
            f'198.51.100.{number % 250} - - [22/Nov/2026:10:00:00 +0000] "GET /n/{number} HTTP/1.1" 200 1 '
            f'"-" "agent {self._dice.randint(0, 1 << 20)}"\n'
        ).encode()


@pytest.mark.parametrize(
    ("seed", "count", "kills"),
    [
        pytest.param(5, 6_000, ["partial:3"], id="quick"),
        *(
            pytest.param(seed, 60_000, seeded_kills(seed, 5), id=f"seed{seed}", marks=pytest.mark.long)
            for seed in range(10, 14)
        ),
    ],
)
@pytest.mark.timeout(600)
def test_lines_that_are_written_in_pieces_are_stored_once(
    tmp_path: Path, seed: int, count: int, kills: list[str]
) -> None:
    log = tmp_path / "access.log"
    log.touch()
    writer = Writer(log, seed, count)
    with following(tmp_path / "data", [log]) as follower:
        follower.start(kills[0])
        writer.start()
        for kill in [*kills[1:], None]:
            follower.rests(after=lambda: not writer.is_alive())
            follower.end()
            follower.start(kill)
        writer.join()
        follower.stop()
        stored = follower.stored()
    assert differences(writer.requests, Counter(stored["requests"][str(log)])) == {}
    assert differences(writer.rejects, Counter(stored["rejects"][str(log)])) == {}


def test_what_syslog_received_is_stored_once_though_the_process_is_killed(tmp_path: Path) -> None:
    port = free_port()
    with following(tmp_path / "data", [f"syslog:tcp:{port}"]) as follower:
        follower.start(kill="partial:1")
        with pytest.raises(OSError, match=r"."):  # until nobody listens any more
            _send(port, 0, 1_000_000)
        follower.killed()
        follower.start()
        _send(port, 1_000_000, 500)
        follower.stop()
        stored = follower.stored()
    spooled = Counter(_paths((tmp_path / "data" / "spool").rglob("nginx.log")))
    assert len(spooled) > 500
    assert differences(spooled, Counter(stored["requests"][f"syslog:tcp:127.0.0.1:{port}/nginx"])) == {}


def _send(port: int, first: int, count: int) -> None:
    """Send requests by TCP, and now and then something that is none."""
    with socket.create_connection(("127.0.0.1", port)) as sender:
        for number in range(first, first + count):
            line = f'198.51.100.7 - - [22/Nov/2026:10:00:00 +0000] "GET /n/{number} HTTP/1.1" 200 1 "-" "-"'
            line = line if number % 50 else "no request"
            sender.sendall(f"<190>Nov 22 10:00:00 web1 nginx: {line}\n".encode())


def _paths(spool: Iterator[Path]) -> list[str]:
    lines = [line for path in spool for line in path.read_text().splitlines()]
    return [line.split("GET ")[1].split()[0] for line in lines if "GET " in line]
