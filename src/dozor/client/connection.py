"""One kept connection pool to a server: sends parameters, reads answers, turns failures into exceptions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from dozor.client.errors import ApiError, ServerError, Unavailable, error_of
from dozor.kernel.i18n import _, current_language
from dozor.wire.base import Request, Wire
from dozor.wire.problem import Problem

if TYPE_CHECKING:
    import pyarrow as pa

Answer = TypeVar("Answer", bound=Wire)

ARROW = "application/vnd.apache.arrow.stream"

_WAITS = (0.1, 0.4)  # s before the second and the third attempt
_PROBLEM = "application/problem+json"
_FIRST_ERROR = 400


class Connection:
    """Sends calls; safe for several threads.

    A GET is sent again when no connection could be made, or when the server closed a kept one at that moment.

    Args:
        base_url: Address of the server, without `/api`.
        timeout: Seconds without a byte after which a call is given up.
        headers: Sent with every call.
        transport: Instead of the network, for tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            headers=dict(headers or {}),
            transport=transport,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30),
            # A proxy of the environment would take calls to the own machine away.
            trust_env=False,
        )

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def get(self, path: str, answer: type[Answer], request: Request | None = None) -> Answer:
        """Ask for a model.

        Raises:
            ApiError: See `dozor.client.errors`.
        """
        response = self._send("GET", path, request, accept="application/json")
        _raise_for(response)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            raise ServerError(
                _("The answer of {url} is not what this version expects.").format(url=response.url),
                hint=_("Use the same version of Dozor on both sides."),
            ) from error

    def delete(self, path: str) -> None:
        """Delete a thing.

        Raises:
            ApiError: See `dozor.client.errors`.
        """
        _raise_for(self._send("DELETE", path, None, accept="application/json"))

    @contextmanager
    def batches(self, path: str, request: Request) -> Iterator[pa.RecordBatchReader]:
        """Ask for an Arrow stream, read as it comes; leaving the block early stops the query.

        Raises:
            ApiError: See `dozor.client.errors`.
        """
        import pyarrow as pa  # noqa: PLC0415 - 40 MB that most callers do not need

        with (
            _as_api_errors(self._http.base_url),
            self._http.stream(
                "GET", path, params=_params(request), headers={"Accept": ARROW, **_language()}
            ) as response,
        ):
            if response.status_code >= _FIRST_ERROR:
                response.read()
                _raise_for(response)
            try:
                with pa.ipc.open_stream(pa.PythonFile(_Body(response), mode="r")) as reader:
                    yield reader
            except pa.ArrowInvalid as error:
                raise ServerError(_("The answer of {url} broke off.").format(url=response.url)) from error

    def table(self, path: str, request: Request) -> pa.Table:
        """Ask for an Arrow stream as one table.

        Raises:
            ApiError: See `dozor.client.errors`.
        """
        with self.batches(path, request) as reader:
            return reader.read_all()

    def _send(self, method: str, path: str, request: Request | None, *, accept: str) -> httpx.Response:
        waits = iter(_WAITS if method == "GET" else ())
        headers = {"Accept": accept, **_language()}
        with _as_api_errors(self._http.base_url):
            while True:
                try:
                    return self._http.request(method, path, params=_params(request), headers=headers)
                except (httpx.ConnectError, httpx.RemoteProtocolError):
                    if (wait := next(waits, None)) is None:
                        raise
                    time.sleep(wait)


class _Body:
    """The body of a response as a file that Arrow can read."""

    closed = False

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.iter_bytes()
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        parts = [self._rest]
        have = len(self._rest)
        while size < 0 or have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        if size < 0:
            self._rest = b""
            return data
        self._rest = data[size:]
        return data[:size]

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


def _language() -> dict[str, str]:
    return {"Accept-Language": current_language()}


def _params(request: Request | None) -> list[tuple[str, str | int | float | bool | None]]:
    """What differs from the defaults, lists as repeated parameters."""
    if request is None:
        return []
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in request.model_dump(mode="json", exclude_defaults=True).items():
        pairs += [(name, item) for item in (value if isinstance(value, list) else [value])]
    return pairs


def merged(kind: type[Request], scope: BaseModel | None, **more: Any) -> Any:
    """A request of a kind, from the shared parameters and its own; None is not given."""
    shared = {} if scope is None else scope.model_dump(exclude_unset=True)
    return kind(**shared, **{name: value for name, value in more.items() if value is not None})


def _raise_for(response: httpx.Response) -> None:
    if response.status_code < _FIRST_ERROR:
        return
    problem = None
    if response.headers.get("Content-Type", "").startswith(_PROBLEM):
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            problem = None
    raise error_of(
        response.status_code,
        problem,
        _("{url} answered {status}.").format(
            url=response.url.copy_with(query=None), status=response.status_code
        ),
    )


@contextmanager
def _as_api_errors(base_url: httpx.URL) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise Unavailable(
            _("Dozor at {url} does not answer in time.").format(url=base_url),
            hint=_("Try a shorter stretch of time, or again in a moment."),
        ) from error
    except httpx.ConnectError as error:
        raise Unavailable(
            _("Dozor at {url} cannot be reached.").format(url=base_url),
            hint=_("Start it with `dozor up`, or name another address."),
        ) from error
    except httpx.TransportError as error:
        raise Unavailable(
            _("The connection to Dozor at {url} broke off: {fact}.").format(url=base_url, fact=error),
            hint=_("Try again in a moment."),
        ) from error


__all__ = ["ARROW", "ApiError", "Connection", "merged"]
