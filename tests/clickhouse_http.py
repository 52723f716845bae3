"""ClickHouse over HTTP for tests: the embedded engine behind what the client library uses of the protocol.

    python tests/clickhouse_http.py FOLDER PORT_FILE [PASSWORD]

The same engine as the real server's, so that SQL, types and errors are the real ones. The port is chosen by
the system and written to PORT_FILE. No two requests share a connection at a time, and none a session.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

_NO_SETTINGS = {
    *("query", "database", "query_id", "session_id", "default_format", "wait_end_of_query", "compress"),
    *("client_protocol_version", "http_headers_progress_interval_ms", "send_progress_in_http_headers"),
}
_CODE = re.compile(r"Code: (\d+)\.")
_INSERT = re.compile(r"\s*INSERT\s+INTO\s+.*\sFORMAT\s+(\w+)\s*$", re.IGNORECASE | re.DOTALL)
_DENIED = (
    "Code: 516. DB::Exception: default: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n")
        else:
            self._run()

    def do_POST(self) -> None:
        self._run()

    def log_message(self, format: str, *args: object) -> None:
        """Tests have nothing to read here."""

    def _run(self) -> None:
        params = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._is_allowed():
            self._answer(403, _DENIED.encode(), {"X-ClickHouse-Exception-Code": "516"})
            return
        try:
            answer = self._query(params, body)
        except Exception as error:  # noqa: BLE001 - whatever the engine says is what the client shall see
            text = str(error)
            code = _CODE.search(text)
            self._answer(500, text.encode(), {"X-ClickHouse-Exception-Code": code[1] if code else "1001"})
        else:
            self._answer(200, answer)

    def _is_allowed(self) -> bool:
        kind, _, words = self.headers.get("Authorization", "").partition(" ")
        given = base64.b64decode(words).decode() if kind == "Basic" else ":"
        return not self.server.password or given == f"default:{self.server.password}"

    def _query(self, params: dict[str, str], body: bytes) -> bytes:
        bound = {name[6:]: value for name, value in params.items() if name.startswith("param_")}
        # What stands in the URL comes before what stands in the body.
        sql, data = (params["query"], body) if "query" in params else (body.decode(), b"")
        settings = {
            name: value
            for name, value in params.items()
            if name not in _NO_SETTINGS and not name.startswith("param_")
        }
        key = (params.get("database", ""), *settings.items())
        connection = self.server.take(key)
        if (insert := _INSERT.fullmatch(sql)) and data:
            answer = self._insert(connection, sql[: insert.start(1)], insert[1], data)
        else:
            result = connection.query(sql, params.get("default_format", "TabSeparated"), params=bound)
            answer = result.bytes() or b""
        # After an error it is left: what it says next could not be trusted.
        self.server.idle.setdefault(key, []).append(connection)
        return answer

    def _insert(self, connection: Any, head: str, form: str, data: bytes) -> bytes:
        with tempfile.NamedTemporaryFile(dir=self.server.folder) as file:
            file.write(data)
            file.flush()
            head = re.sub(r"FORMAT\s+$", "", head, flags=re.IGNORECASE)
            connection.query(f"{head} FROM INFILE '{file.name}' FORMAT {form}", "TabSeparated")
        return b""

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path, password: str) -> None:
        super().__init__(("127.0.0.1", int(os.environ.get("PORT", "0"))), _Handler)
        self.folder = folder
        self.password = password
        self.location = str(folder / "chdb")
        # One connection stays open: with the last one the engine would go.
        self.kept = chdb.connect(self.location)
        self.idle: dict[tuple[Any, ...], list[Any]] = {}

    def take(self, key: tuple[Any, ...]) -> Any:
        """A connection with this database and these settings, which no other request uses."""
        idle = self.idle.get(key)
        if idle:
            return idle.pop()
        database, *settings = key
        connection = chdb.connect(self.location)
        if database:
            connection.query(f"USE `{database}`")
        for name, value in settings:
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            connection.query(f"SET {name} = '{quoted}'")
        return connection


def main(folder: Path, port_file: Path, password: str = "") -> None:
    """Serve until the process is ended."""
    folder.mkdir(parents=True, exist_ok=True)
    server = _Server(folder, password)
    unfinished = port_file.with_suffix(".new")
    unfinished.write_text(str(server.server_address[1]))
    unfinished.rename(port_file)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
