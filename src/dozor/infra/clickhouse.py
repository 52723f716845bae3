"""ClickHouse, embedded in the process (chDB) or behind a URL: statements in, Arrow out.

One process owns a folder of the embedded engine, and one connection of it is a mutex: calls take a
connection from a pool, so that readers run beside a writer. `os.fork()` hangs once the engine runs
(start children with exec or spawn), and the engine is imported only when it is opened: it costs 200 MB.

Over HTTP nothing is kept that could break: a server that was away is asked anew by the next call.
"""

from __future__ import annotations

import errno
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from dozor.infra.folder import owned_folder
from dozor.kernel.errors import CancelledError, DozorError, SettingsError, UnavailableError, UsageError
from dozor.kernel.i18n import _
from dozor.kernel.masking import mask

if TYPE_CHECKING:  # the client library is imported when a store is opened
    from clickhouse_connect.driver.client import Client
    from clickhouse_connect.driver.exceptions import Error

DATABASE: Final = "dozor"

_CONNECT_S: Final = 5
_ANSWER_S: Final = 300
_POLL_S: Final = 0.1
_HTTP_PORTS: Final = {"http": 8123, "https": 8443}
_EMBEDDED: Final = {"mark_cache_size": 128 << 20, "primary_index_cache_size": 128 << 20}
"""Caches of the engine in this process, in bytes: a server would take gigabytes."""

_SETTINGS: Final = {"max_block_size": 262_144, "preferred_block_size_bytes": 8_000_000}
"""Larger blocks of the few columns that a question reads: a seventh less time over 20 M rows."""

_NAME: Final = re.compile(r"[A-Za-z_]\w{0,62}")

# Numbers of ClickHouse's errors (src/Common/ErrorCodes.cpp), by what the reader should do.
_CANCELLED: Final = 394
_BAD_REGEX: Final = 427
_DENIED: Final = {192, 193, 194, 195, 497, 516}
_UNKNOWN_DATABASE: Final = 81
_FOR_NOW: Final = {
    *(74, 75, 76, 79, 159, 164, 198, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 279, 285),
    *(319, 425, 439, 473, 499, 999, 1000, 1001, 1002),
}
_HEAD: Final = re.compile(r"^.*?(?:Code: \d+\. )?(?:DB::Exception: )")
_TAIL: Final = re.compile(r"(?:: [Ww]hile executing .*|\s*\([A-Z_0-9]+\)(?: \(version .*\))?\s*)$", re.DOTALL)
_UNREACHED: Final = re.compile(
    r"Max retries exceeded .*?(?:\[Errno -?\d+\] ([^()\"']+)|'(Connection to \S+ timed out))"
)
"""The plain reason that no connection came about, in what the client library wraps around it."""
_LONGEST_FACT: Final = 300

Parameters = Mapping[str, Any]
"""Values by name; a statement refers to them as `{name:Type}`, and they are never pasted into it."""

Progress = Callable[[float], None]
"""Is told the share that is done; raises CancelledError when nobody wants the answer any more."""


@dataclass(frozen=True, slots=True)
class _Server:
    """Where a server is, without secrets in its text."""

    interface: str
    host: str
    port: int
    database: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.interface}://{host}:{self.port}/{self.database}"


class ClickHouse:
    """Connections to one database; safe for several threads.

    Args:
        connect: Opens one more connection.
        database: Name of the database; made by `create_database`.
        place: What people call it: a folder or an address.
        embedded: Whether the engine runs in this process.
        owned: What is closed after the connections.
    """

    def __init__(
        self,
        connect: Callable[[], Client],
        database: str,
        place: str,
        *,
        embedded: bool,
        owned: ExitStack | None = None,
    ) -> None:
        self.database = database
        self.place = place
        self.embedded = embedded
        self._connect = connect
        self._idle: list[Client] = []
        self._guard = threading.Lock()
        self._watched = ThreadPoolExecutor(8, "dozor-query")
        self._owned = owned or ExitStack()
        self._closed = False

    def create_database(self) -> None:
        """Make the database if it is missing.

        Raises:
            UnavailableError: The server does not answer or does not allow it.
        """
        with self._client(use=False) as client, self._told():
            known = client.query(
                "SELECT count() FROM system.databases WHERE name = {name:String}", {"name": self.database}
            )
            if not known.result_rows[0][0]:
                client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")

    def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement without an answer.

        Raises:
            UnavailableError: The server does not answer, or cannot do it for now.
        """
        with self._client() as client, self._told():
            client.command(sql, dict(parameters or {}))

    def query(
        self, sql: str, parameters: Parameters | None = None, *, progress: Progress | None = None
    ) -> pa.Table:
        """Answer a question as one Arrow table.

        Args:
            sql: A SELECT without FORMAT.
            parameters: Values of its `{name:Type}`.
            progress: Follows a long question, and may call it off.

        Raises:
            UsageError: A regular expression that ClickHouse does not know.
            UnavailableError: The server does not answer, or cannot for now.
            CancelledError: `progress` said so, or somebody killed the query.
        """
        if progress is None:
            return self._run(sql, parameters)
        progress(0.0)
        # A comment tells the query among the others, in the process as well as on a server.
        mark = f"/* dozor-{secrets.token_hex(8)} */"
        answer = self._watched.submit(self._run, f"{mark} {sql}", parameters)
        try:
            return self._follow(answer, mark, progress)
        except BaseException:
            self._kill(answer, mark)
            raise

    def insert(self, table: str, rows: pa.RecordBatch, *, token: str) -> None:
        """Append rows; the same token again appends nothing.

        Raises:
            UnavailableError: They could not be kept for now.
        """
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_batch(rows)
        with self._client() as client, self._told(writing=True):
            client.raw_insert(
                table,
                rows.schema.names,
                sink.getvalue(),
                settings={"insert_deduplication_token": token},
                fmt="ArrowStream",
            )

    def close(self) -> None:
        """Close all connections; the engine of this process ends with the last one."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
        self._watched.shutdown(wait=True)
        for client in idle:
            client.close()
        self._owned.close()

    def _run(self, sql: str, parameters: Parameters | None) -> pa.Table:
        with self._client() as client, self._told():
            answer = client.raw_query(sql, dict(parameters or {}), fmt="ArrowStream")
            if not answer:
                raise UnavailableError(
                    _("The store {place} does not answer: {fact}.").format(
                        place=self.place, fact=_("the answer is empty")
                    )
                )
        return pa.ipc.open_stream(answer).read_all()

    def _follow(self, answer: Future[pa.Table], mark: str, progress: Progress) -> pa.Table:
        while True:
            try:
                table = answer.result(_POLL_S)
            except NotYet:
                progress(self._share(mark))
                continue
            progress(1.0)
            return table

    def _share(self, mark: str) -> float:
        """How much of a running query is done; 0 when that is not known."""
        try:
            rows = self._run(
                "SELECT read_rows, total_rows_approx FROM system.processes "
                "WHERE startsWith(query, {mark:String})",
                {"mark": mark},
            ).to_pylist()
        except DozorError:
            return 0.0
        shares = [row["read_rows"] / row["total_rows_approx"] for row in rows if row["total_rows_approx"]]
        return min(0.99, max(shares, default=0.0))

    def _kill(self, answer: Future[pa.Table], mark: str) -> None:
        """End a running query, and wait for its end: nothing is left behind."""
        while not answer.done():
            try:
                self.command("KILL QUERY WHERE startsWith(query, {mark:String}) ASYNC", {"mark": mark})
            except DozorError:
                break
            try:
                answer.exception(_POLL_S)
            except NotYet:
                continue

    @contextmanager
    def _client(self, *, use: bool = True) -> Iterator[Client]:
        with self._guard:
            if self._closed:
                raise UnavailableError(_("The store {place} is closed.").format(place=self.place))
            client = self._idle.pop() if self._idle else None
        if client is None:
            with self._told():
                client = self._connect()
        client.database = self.database if use else None
        try:
            yield client
        except BaseException:
            # A connection whose query was killed answers the next one with nothing.
            client.close()
            raise
        self._put_back(client)

    def _put_back(self, client: Client) -> None:
        with self._guard:
            if not self._closed:
                self._idle.append(client)
                return
        client.close()

    @contextmanager
    def _told(self, *, writing: bool = False) -> Iterator[None]:
        """Tell the client library's errors in words of the kernel."""
        from clickhouse_connect.driver.exceptions import Error  # noqa: PLC0415 - see above

        try:
            yield
        except Error as error:
            raise self._word(error, writing=writing) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise
            raise UnavailableError(
                _("The store {place} cannot write: {fact}.").format(
                    place=self.place, fact=error.strerror or error
                ),
                hint=_("Free some space; Dozor goes on by itself."),
            ) from error

    def _word(self, error: Error, *, writing: bool) -> DozorError | Error:
        fact = _fact(error)
        if error.code == _CANCELLED:
            return CancelledError(_("The query was called off."))
        if error.code == _BAD_REGEX:
            return UsageError(
                _("A regular expression cannot be used: {fact}.").format(fact=fact),
                hint=_("Escape special signs with a backslash, or compare with = instead of ~."),
            )
        if error.code in _DENIED:
            return UnavailableError(
                _("The store {place} refuses the user: {fact}.").format(place=self.place, fact=fact),
                hint=_("Check the user, the password and what the user may do."),
            )
        if error.code is None:
            return UnavailableError(
                _("The store {place} does not answer: {fact}.").format(place=self.place, fact=fact),
                hint=_("Check that ClickHouse runs there; Dozor goes on by itself."),
            )
        if writing or error.code in _FOR_NOW:
            return UnavailableError(
                _("The store {place} cannot do it for now: {fact}.").format(place=self.place, fact=fact),
                hint=_("Free some space or memory; Dozor goes on by itself."),
            )
        return error


def open_clickhouse(
    *,
    folder: Path | None = None,
    url: str | None = None,
    user: str = "default",
    password: str = "",
    database: str | None = None,
) -> ClickHouse:
    """Open the embedded engine on a folder, or a server by its URL.

    A server that does not answer yet is no fault: the calls say so, until it does.

    Args:
        folder: Where the embedded engine keeps its files; this process owns it until it is closed.
        url: `http://host:8123/database`; when it is given, `folder` is not used.
        user: Name at the server; one in the URL wins.
        password: As `user`.
        database: Its name; None takes that of the URL, else `dozor`.

    Raises:
        SettingsError: The URL is none, or the server refuses the user.
        JobError: Another process owns the folder, or it cannot be used.
    """
    if url:
        return _open_server(url, user, password, database)
    if folder is None:
        raise TypeError("open_clickhouse needs a folder or a URL.")
    return _open_embedded(folder, database or DATABASE)


def place_of(url: str) -> str:
    """The database that a URL means, `http://host:8123/dozor`: the same for each way to write it.

    Raises:
        SettingsError: The URL is none.
    """
    return str(_read_url(url, None)[0])


def _open_embedded(folder: Path, database: str) -> ClickHouse:
    with ExitStack() as opened:
        opened.enter_context(owned_folder(folder))
        # Imported late: see above.
        from clickhouse_connect import get_client  # noqa: PLC0415

        def connect() -> Client:
            return get_client(
                interface="chdb", path=str(folder / "chdb"), chdb_options=_EMBEDDED, settings=_SETTINGS
            )

        clickhouse = ClickHouse(connect, database, str(folder), embedded=True, owned=opened.pop_all())
    try:
        clickhouse.create_database()
    except BaseException:
        clickhouse.close()
        raise
    return clickhouse


def _open_server(url: str, user: str, password: str, database: str | None) -> ClickHouse:
    server, in_url = _read_url(url, database)
    name, secret = in_url if in_url[0] else (user, password)
    from clickhouse_connect import common, get_client  # noqa: PLC0415 - see above

    # One session at a time would make one query at a time of all.
    common.set_setting("autogenerate_session_id", False)  # noqa: FBT003 - the library's own form

    def connect() -> Client:
        return get_client(
            interface=server.interface,
            host=server.host,
            port=server.port,
            username=name,
            password=secret,
            connect_timeout=_CONNECT_S,
            send_receive_timeout=_ANSWER_S,
            compress=False,
            settings=_SETTINGS,
        )

    clickhouse = ClickHouse(connect, server.database, str(server), embedded=False)
    try:
        clickhouse.create_database()
    except UnavailableError as error:
        if getattr(error.__cause__, "code", None) in _DENIED:
            clickhouse.close()
            raise SettingsError(error.message, hint=error.hint) from error
    return clickhouse


def _read_url(url: str, database: str | None) -> tuple[_Server, tuple[str, str]]:
    """The server of a URL, and the user and password that stand in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    named = parts.path.strip("/")
    if parts.scheme not in _HTTP_PORTS or not parts.hostname or parts.query or "/" in named:
        raise _wrong_url(url)
    chosen = database or named or DATABASE
    if not _NAME.fullmatch(chosen):
        raise _wrong_url(url)
    server = _Server(parts.scheme, parts.hostname, port or _HTTP_PORTS[parts.scheme], chosen)
    return server, (unquote(parts.username or ""), unquote(parts.password or ""))


def _wrong_url(url: str) -> SettingsError:
    return SettingsError(
        _("The ClickHouse address '{url}' cannot be used.").format(url=mask(url)),
        hint=_("Write it as http://host:8123/database or https://host:8443/database."),
    )


def _fact(error: Error) -> str:
    """What ClickHouse says, on one line, without its codes."""
    text = " ".join(_TAIL.sub("", _HEAD.sub("", str(error), count=1)).split()).rstrip(".")
    if (unreached := _UNREACHED.search(text)) is not None:
        text = unreached[1] or unreached[2]
    return mask(text if len(text) <= _LONGEST_FACT else text[:_LONGEST_FACT] + "…")
