"""No log and no error page shows a secret: all kinds are sent through them, and the outputs searched."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import logging
import pkgutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, SecretStr

import dozor
from dozor.app import cli
from dozor.app.live import _log_as_others_do as log_as_others_do
from dozor.app.logs import start_logging
from dozor.app.settings import Settings
from dozor.infra import problems
from dozor.kernel.errors import JobError, UnavailableError, UsageError
from dozor.kernel.masking import hide

PASSWORD = "tr0ub4dor-and-3"
"""Known to the process, as a database's password is: no look gives it away."""

SECRETS = {
    "a password": f"password={PASSWORD}",
    "a password in prose": PASSWORD,
    "a bot's token": "Bot 110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1 stopped.",
    "an access token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "an API key": "dz_0123456789ab_Vb0sYp0nUq3Z6dZq3l6d1J8rJ2b9s5v7w1x3y5z7A9B",
    "a refresh token": "dzr_Rf0sYp0nUq3Z6dZq3l6d1J8rJ2b9s5v7w1x3y5z7A9B",
    "a header": "Authorization: Basic YW5uOm9wZW4tc2VzYW1l",
    "a cookie": "Cookie: dozor_lang=ru; dozor_session=plainvalue1234567",
    "a URL": "postgresql://dozor:db-pa55@db:5432/dozor",
    "a cloud's key": "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYzEXAMPLEKEY",
    "a hash": "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
    "a second factor": "otpauth://totp/Dozor:ann?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Dozor",
}
PLAIN = (
    PASSWORD,
    "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "Vb0sYp0nUq3Z6dZq3l6d1J8rJ2b9s5v7w1x3y5z7A9B",
    "Rf0sYp0nUq3Z6dZq3l6d1J8rJ2b9s5v7w1x3y5z7A9B",
    "YW5uOm9wZW4tc2VzYW1l",
    "plainvalue1234567",
    "db-pa55",
    "wJalrXUtnFEMI",
    "abcdefghijklmnopqrstuu",
    "JBSWY3DPEHPK3PXP",
    "hunter-two",
    "111222",
)
"""What no output may hold."""

NESTED = {
    "bots": [{"name": "echo", "botToken": "hunter-two", "proxy": "http://ann:db-pa55@proxy"}],
    "headers": {"X-Api-Key": "hunter-two", "Cookie": "a=hunter-two"},
    "login": {"username": "ann", "password": "hunter-two", "totp": "111222"},
    "keys": (b"dzr_Rf0sYp0nUq3Z6dZq3l6d1J8rJ2b9s5v7w1x3y5z7A9B",),
}


@dataclass
class Login:
    username: str
    password: str


@pytest.fixture(autouse=True)
def _known() -> None:
    hide(PASSWORD)


@pytest.fixture
def _quiet() -> Iterator[None]:
    """Put loggers back as they were: the tests set up logging of a whole process."""
    known = {name: logging.getLogger(name) for name in list(logging.root.manager.loggerDict)}
    before = {name: (each.level, each.handlers[:], each.propagate) for name, each in known.items()}
    raising = logging.raiseExceptions
    yield
    logging.raiseExceptions = raising
    for handler in logging.getLogger().handlers[:]:
        logging.getLogger().removeHandler(handler)
        handler.close()
    for name, (level, handlers, propagate) in before.items():
        known[name].setLevel(level)
        known[name].handlers[:], known[name].propagate = handlers, propagate


def every_logger() -> list[logging.Logger]:
    """Those of all modules of Dozor and of the libraries that come with them."""
    for module in pkgutil.walk_packages(dozor.__path__, "dozor."):
        if not module.name.startswith(("dozor.console.script.", "dozor.infra.migrations.versions.")):
            importlib.import_module(module.name)
    log_as_others_do()  # before the console is loaded
    for name in (
        "uvicorn.error",
        "uvicorn.access",
        "streamlit",
        "sqlalchemy.engine",
        "alembic",
        "httpx",
        "asyncio",
    ):
        logging.getLogger(name)
    return [logging.getLogger(), *map(logging.getLogger, sorted(logging.root.manager.loggerDict))]


def fail(text: str) -> None:
    raise ConnectionError(text) from ValueError({"text": text})


def drive(logger: logging.Logger) -> None:
    """Everything that a logger can be told, with secrets in all of it."""
    for text in SECRETS.values():
        logger.warning(text)
        logger.warning("It said %s.", text)
        logger.warning("It said %(text)s.", {"text": text, "password": "hunter-two"})
        logger.warning("A fact.", extra={"fact": text, "deep": [{"deeper": (text,)}]})
        try:
            fail(text)
        except ConnectionError as error:
            error.__traceback__ = None  # the message is what tells
            logger.exception("It failed.")
    logger.warning("It is here.", stack_info=True)
    logger.warning("It holds %s and %r.", NESTED, [NESTED])
    logger.warning(NESTED)
    logger.warning("A fact.", extra={**NESTED, "password": "hunter-two", "who": Login("ann", "hunter-two")})
    logger.warning("It said %(password)s.", {"password": "hunter-two"})


def assert_bare(output: str) -> None:
    found = [line for line in output.splitlines() if any(secret in line for secret in PLAIN)]
    assert not found, found[:5]


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_logger_shows_a_secret_on_standard_error_or_in_a_file(tmp_path: Path, log_format: str) -> None:
    shown = io.StringIO()
    with redirect_stderr(shown):
        start_logging(
            Settings.model_validate({"log_level": "debug", "log_format": log_format, "log_dir": tmp_path})
        )
        loggers = every_logger()
        for logger in loggers:
            drive(logger)
    assert len(loggers) > 50
    outputs = [shown.getvalue(), *(path.read_text() for path in tmp_path.iterdir())]
    assert len(outputs) >= 3
    for output in outputs:
        assert output.count("It said") + output.count("It failed") > len(loggers)
        assert_bare(output)
    if log_format == "json":
        assert all(json.loads(line) for line in shown.getvalue().splitlines())


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize(
    "formatter",
    [
        {"class": "src.monitoring.JSONFormatter"},
        {"format": "%(levelname)s %(name)s %(message)s"},
        {"class": "logging.Formatter", "format": "%(message)s"},
        {"()": "uvicorn.logging.DefaultFormatter", "fmt": "%(levelprefix)s %(message)s"},
        None,
    ],
)
def test_no_formatter_of_a_logging_section_shows_a_secret(
    tmp_path: Path, formatter: dict[str, Any] | None
) -> None:
    file = tmp_path / "own.log"
    handler = {"class": "logging.FileHandler", "filename": str(file)}
    section = {
        "version": 1,
        "formatters": {"own": formatter} if formatter else {},
        "handlers": {"own": {**handler, **({"formatter": "own"} if formatter else {})}},
        "root": {"level": "DEBUG", "handlers": ["own"]},
    }
    start_logging(Settings.model_validate({"logging": section}))
    for name in ("dozor.test", "uvicorn.error"):
        drive(logging.getLogger(name))
    output = file.read_text()
    assert output.count("It said") > 10
    assert_bare(output)


@pytest.mark.usefixtures("_quiet")
def test_what_nobody_caught_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging(Settings())

    thread = threading.Thread(target=fail, args=(SECRETS["a URL"],))
    thread.start()
    thread.join()
    try:
        fail(SECRETS["a URL"])
    except ConnectionError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    output = capsys.readouterr().err
    assert output.count("ConnectionError") >= 2
    assert_bare(output)


def failing_app() -> FastAPI:
    """An application whose pages fail in every way that there is, each telling a secret."""
    app = FastAPI()
    problems.install(app)

    class Body(BaseModel):
        username: str
        password: SecretStr
        token: int

    def raising(error: Callable[[str], Exception]) -> Callable[[str], None]:
        def page(which: str) -> None:
            raise error(SECRETS[which])

        return page

    for path, error in (
        ("usage", lambda text: UsageError(text, hint=text)),
        ("parameter", lambda text: problems.ParameterError("where", text, text, hint=text)),
        ("missing", problems.NotFoundError),
        ("job", lambda text: JobError(text, hint=text)),
        ("away", UnavailableError),
        ("bug", lambda text: RuntimeError(text, NESTED)),
    ):
        app.add_api_route(f"/{path}", raising(error))

    @app.post("/body")
    def body(given: Body, number: int = 0) -> None:
        del given, number

    return app


async def asked(app: FastAPI) -> list[httpx.Response]:
    """Its answers to everything that fails."""
    found = []
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://dozor") as client:
        for which, text in SECRETS.items():
            found += [
                await client.get(f"/{page}", params={"which": which})
                for page in ("usage", "parameter", "missing", "job", "away", "bug")
            ]
            found.append(await client.get(f"/nowhere/{quote(text)}"))
            found.append(await client.put("/body", params={"token": text}))
            found.append(
                await client.post("/body", json=dict.fromkeys(("username", "password", "token"), text))
            )
            found.append(await client.post("/body", json=[text]))
            kind = {"Content-Type": "application/json"}
            found.append(await client.post("/body", content=text, headers=kind))
            found.append(await client.post("/body", params={"number": text}, json={}))
    return found


@pytest.mark.usefixtures("_quiet")
def test_no_error_page_shows_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging(Settings.model_validate({"log_level": "debug"}))
    answers = asyncio.run(asked(failing_app()))
    statuses = {answer.status_code for answer in answers}
    assert {400, 404, 405, 422, 500, 503} <= statuses
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        assert_bare(answer.text + str(answer.headers))
    assert_bare(capsys.readouterr().err)


def test_no_end_of_a_command_shows_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    for text in SECRETS.values():
        assert cli.main(["report", text]) != 0
        assert cli.main(["-vv", "detect", "--where", text]) != 0
        assert cli.main([text]) != 0
    told = capsys.readouterr()
    assert_bare(told.out + told.err)
