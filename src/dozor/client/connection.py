"""One kept connection pool to a server: sends parameters, reads answers, turns failures into exceptions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from dozor import __version__
from dozor.client.errors import ApiError, Forbidden, ServerError, Unauthorized, Unavailable, error_of
from dozor.client.identity import Anonymous, Identity
from dozor.kernel.i18n import _, current_language
from dozor.wire.base import Request, Wire
from dozor.wire.problem import Problem

if TYPE_CHECKING:
    import pyarrow as pa

Answer = TypeVar("Answer", bound=Wire)
Sent = TypeVar("Sent")

ARROW = "application/vnd.apache.arrow.stream"

_WAITS = (0.1, 0.4)  # s before the second and the third attempt
_PROBLEM = "application/problem+json"
_FIRST_ERROR = 400


class Connection:
    """Sends calls; safe for several threads.

    A GET is sent again when no connection could be made, or when the server closed a kept one at that moment;
    any call once more when the server did not know who called and the identity could be renewed.

    Args:
        base_url: Address of the server, without `/api`.
        timeout: Seconds without a byte after which a call is given up.
        headers: Sent with every call.
        transport: Instead of the network, for tests.

    Attributes:
        identity: Who calls.
        more: Headers that are sent with every call of theirs.
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
            headers={"User-Agent": f"dozor-client/{__version__}", **(headers or {})},
            transport=transport,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30),
            # A proxy of the environment would take calls to the own machine away.
            trust_env=False,
            # One pool serves several people: a cookie that is set for one must not be sent for another.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
        self.more: Mapping[str, str] = {}
        self.identity: Identity = Anonymous()

    def bound(self, identity: Identity, headers: Mapping[str, str] | None = None) -> Connection:
        """The same connections for somebody else.

        Args:
            identity: Who calls.
            headers: Sent with every call of theirs.
        """
        other = copy(self)
        other.identity, other.more = identity, dict(headers or {})
        return other

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def get(self, path: str, answer: type[Answer], request: Request | None = None) -> Answer:
        """Ask for a model.

        Raises:
            ApiError: See `dozor.client.errors`.
        """
        return _read(self._send("GET", path, query=request), answer)

    def send(self, method: str, path: str, answer: type[Answer], body: Request | None = None) -> Answer:
        """Send a body and read what is answered.

        Raises:
            ApiError: See `dozor.client.errors`.
        """
        return _read(self._send(method, path, body=body), answer)

    def tell(self, method: str, path: str, body: Request | None = None) -> None:
        """Send a body, and read no answer.

        Raises:
            ApiError: See `dozor.client.errors`.
        """
        self._send(method, path, body=body)

    def delete(self, path: str) -> None:
        """Delete a thing.

        Raises:
            ApiError: See `dozor.client.errors`.
        """
        self._send("DELETE", path)

    @contextmanager
    def streamed(self, path: str, request: Request, accept: str) -> Iterator[Iterator[bytes]]:
        """Ask for bytes, read as they come.

        Raises:
            ApiError: See `dozor.client.errors`.
        """
        with self._open(path, request, accept) as response, _as_api_errors(self._http.base_url):
            yield response.iter_bytes()

    @contextmanager
    def batches(self, path: str, request: Request) -> Iterator[pa.RecordBatchReader]:
        """Ask for an Arrow stream, read as it comes; leaving the block early stops the query.

        Raises:
            ApiError: See `dozor.client.errors`.
        """
        import pyarrow as pa  # noqa: PLC0415 - 40 MB that most callers do not need

        with self._open(path, request, ARROW) as response, _as_api_errors(self._http.base_url):
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

    def _send(
        self, method: str, path: str, *, query: Request | None = None, body: Request | None = None
    ) -> httpx.Response:
        content = None if body is None else body.model_dump_json(exclude_unset=True, warnings=False)

        def once(identity: Mapping[str, str]) -> httpx.Response:
            headers = {**self._headers("application/json"), **identity}
            if content is not None:
                headers["Content-Type"] = "application/json"
            response = self._patiently(method, path, query, content, headers)
            _raise_for(response)
            return response

        return self._known(once, changing=method != "GET")

    @contextmanager
    def _open(self, path: str, request: Request, accept: str) -> Iterator[httpx.Response]:
        with ExitStack() as stack:
            stack.enter_context(_as_api_errors(self._http.base_url))

            def once(identity: Mapping[str, str]) -> httpx.Response:
                headers = {**self._headers(accept), **identity}
                asked = self._http.stream("GET", path, params=_params(request), headers=headers)
                with ExitStack() as opened:
                    response = opened.enter_context(asked)
                    if response.status_code >= _FIRST_ERROR:
                        response.read()
                        _raise_for(response)
                    stack.push(opened.pop_all())
                return response

            yield self._known(once, changing=False)

    def _known(self, once: Callable[[Mapping[str, str]], Sent], *, changing: bool) -> Sent:
        """Send a call in the name of the identity, once more if that could be renewed."""
        identity = self.identity.headers(changing=changing)
        try:
            return once(identity)
        except (Unauthorized, Forbidden) as error:
            if not self.identity.renewed(identity, error):
                raise
        return once(self.identity.headers(changing=changing))

    def _patiently(
        self, method: str, path: str, query: Request | None, content: str | None, headers: dict[str, str]
    ) -> httpx.Response:
        waits = iter(_WAITS if method == "GET" else ())
        with _as_api_errors(self._http.base_url):
            while True:
                try:
                    return self._http.request(
                        method, path, params=_params(query), content=content, headers=headers
                    )
                except (httpx.ConnectError, httpx.RemoteProtocolError):
                    if (wait := next(waits, None)) is None:
                        raise
                    time.sleep(wait)

    def _headers(self, accept: str) -> dict[str, str]:
        return {"Accept": accept, "Accept-Language": current_language(), **self.more}


def _read(response: httpx.Response, answer: type[Answer]) -> Answer:
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        raise ServerError(
            _("The answer of {url} is not what this version expects.").format(url=response.url),
            hint=_("Use the same version of Dozor on both sides."),
        ) from error


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


def _params(request: Request | None) -> list[tuple[str, str | int | float | bool | None]]:
    """What differs from the defaults, lists as repeated parameters."""
    if request is None:
        return []
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in request.model_dump(mode="json", exclude_defaults=True, warnings=False).items():
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
    fallback = _("{url} answered {status}.").format(
        url=response.url.copy_with(query=None), status=response.status_code
    )
    wait = response.headers.get("Retry-After", "")
    raise error_of(
        response.status_code, problem, fallback, retry_after=int(wait) if wait.isdecimal() else None
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
