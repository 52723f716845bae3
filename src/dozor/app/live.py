"""The running process: which services there are, and what is said when they start."""

from __future__ import annotations

from contextlib import ExitStack

import click

from dozor.app.server import Parts, create_app, late_console
from dozor.app.settings import Settings
from dozor.app.up import default_data_dir
from dozor.infra.folder import owned_folder
from dozor.infra.server import Server, bind
from dozor.infra.supervisor import Ending, Supervisor, signals
from dozor.kernel.i18n import _


async def run(settings: Settings, *, demo: bool) -> Ending:
    """Run every service that the settings ask for until the process is told to stop."""
    del demo
    with ExitStack() as stack:
        listening = bind(settings.host, settings.port)
        stack.callback(listening.close)
        folder = stack.enter_context(owned_folder(settings.data_dir or default_data_dir()))
        port = listening.getsockname()[1]
        supervisor = Supervisor(grace=settings.shutdown_grace_s)
        app = create_app(
            Parts(
                port=port,
                reasons=dict,
                statuses=lambda: supervisor.statuses,
                console=late_console(),
            )
        )
        supervisor.add(Server(app, listening), essential=True)
        click.echo(_("Dozor: http://127.0.0.1:{port}").format(port=port))
        click.echo(_("Data:  {folder}").format(folder=folder))
        with signals(supervisor, reload=lambda: None):
            return await supervisor.run()
