"""A real nginx for tests: three logs of the same requests, on a free port, rotated as people do it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

# The log formats and the level of the error log are those of the handed-in nginx.conf.
_CONF = """
user {user};
worker_processes 2;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                    '$status $body_bytes_sent "$http_referer" '
                    '"$http_user_agent" "$http_x_forwarded_for" '
                    'rt=$request_time ut="$upstream_response_time"';
    log_format json escape=json '{{"time_iso8601":"$time_iso8601","remote_addr":"$remote_addr",'
        '"request":"$request","status":"$status","body_bytes_sent":"$body_bytes_sent",'
        '"http_referer":"$http_referer","http_user_agent":"$http_user_agent","request_time":"$request_time"}}';
    access_log {folder}/access.log main;
    access_log {folder}/access.json json;
    {more}
    client_body_temp_path {folder}/tmp1; proxy_temp_path {folder}/tmp2; fastcgi_temp_path {folder}/tmp3;
    uwsgi_temp_path {folder}/tmp4; scgi_temp_path {folder}/tmp5;
    server {{
        listen 127.0.0.1:{port};
        location /ok {{ return 200 "ok"; }}
        location /missing {{ root {folder}; }}
    }}
}}
"""
_LUA = """
local thread = 0
function setup(t) thread = thread + 1; t:set("id", thread) end
function init(args) number = 0; part = args[1] end
function request()
   number = number + 1
   local place = "/ok/"
   if number % 4 == 0 then place = "/missing/" end
   return wrk.format("GET", place .. part .. "-" .. id .. "-" .. number)
end
"""


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


class Nginx:
    """nginx with its logs in a folder; use it as a context manager.

    Args:
        folder: Where everything of it lives.
        more: Further lines of its `http` block.
    """

    def __init__(self, folder: Path, *, more: str = "") -> None:
        for program in ("nginx", "wrk"):
            if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
                pytest.skip(f"{program} is not installed (apt-get install nginx wrk)")
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        self.logs = [folder / name for name in ("access.log", "access.json", "error.log")]
        user = "root" if os.geteuid() == 0 else ""
        conf = _CONF.format(folder=folder, port=self.port, user=user, more=more)
        (folder / "nginx.conf").write_text(conf if user else conf.replace("user ;", ""))
        (folder / "requests.lua").write_text(_LUA)
        self._process: subprocess.Popen[bytes] | None = None
        self._loads: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        command = [shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"]
        command += ["-e", str(self.folder / "error.log"), "-p", str(self.folder)]
        self._process = subprocess.Popen([*command, "-c", str(self.folder / "nginx.conf")])
        end = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < end, "nginx did not start"
            assert self._process.poll() is None, "nginx ended at once"
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for load in self._loads:
            load.kill()
            load.wait()
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)

    def load(self, part: str, seconds: float, *, connections: int = 8) -> subprocess.Popen[bytes]:
        """Begin to send requests as fast as they are answered; each has its own path."""
        command = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "-s", str(self.folder / "requests.lua")]
        command += [f"http://127.0.0.1:{self.port}/", "--", part]
        load = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self._loads.append(load)
        return load

    def rename(self) -> None:
        """Rotate by rename, then let nginx reopen its logs, as logrotate does."""
        for log in self.logs:
            self._shift(log)
            log.rename(log.with_name(f"{log.name}.1"))
        self._tell(signal.SIGUSR1)
        end = time.monotonic() + 10
        while not all(log.exists() for log in self.logs):
            assert time.monotonic() < end, "nginx did not reopen its logs"
            time.sleep(0.005)

    def copytruncate(self) -> None:
        """Rotate by copy and truncation; nothing may be written meanwhile, since that is what this loses."""
        for log in self.logs:
            self._shift(log)
            shutil.copy2(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)

    def pack(self) -> None:
        """Pack what was rotated before the last time, as `delaycompress` does."""
        for log in self.logs:
            plain = log.with_name(f"{log.name}.2")
            if plain.exists():
                subprocess.run(["gzip", str(plain)], check=True)

    def _shift(self, log: Path) -> None:
        for number in range(9, 0, -1):
            for ending in ("", ".gz"):
                old = log.with_name(f"{log.name}.{number}{ending}")
                if old.exists():
                    old.rename(log.with_name(f"{log.name}.{number + 1}{ending}"))

    def _tell(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def written(self, log: Path) -> list[bytes]:
        """Lines of a log and of all its rotated files."""
        found: list[bytes] = []
        for path in self.folder.iterdir():
            if path.name == log.name or path.name.startswith(f"{log.name}."):
                command = ["gzip", "-dc", str(path)] if path.suffix == ".gz" else ["cat", str(path)]
                found += subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
        return found

    def requests(self, log: Path) -> Counter[str]:
        """Targets of an access log and how often they stand there."""
        return Counter(line.split(b"GET ", 1)[1].split(b" ", 1)[0].decode() for line in self.written(log))
