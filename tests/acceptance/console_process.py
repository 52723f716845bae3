"""Runs the console alone, over an API that the test holds in its hands: `console_process.py API_URL`."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from dozor.console import build_app
from dozor.infra.server import bind


def main(api_url: str) -> None:
    """Serve on a free port and say where."""
    console = build_app(api_url)
    app = Starlette(routes=[Mount("/", app=console)], lifespan=console.lifespan())
    with bind("127.0.0.1", 0) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)  # noqa: T201
        uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1])
