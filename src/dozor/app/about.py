"""Commands that tell about Dozor itself: its settings and its versions."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator
from importlib.metadata import requires
from importlib.metadata import version as version_of

import click

from dozor import __version__
from dozor.app.invocation import Invocation, pass_invocation
from dozor.app.settings import DEFAULT, Loaded, ModelT, Setting, leaves, source_text
from dozor.kernel.i18n import _
from dozor.kernel.masking import MASK, mask


@click.command(help=_("Show every setting, its value and where the value comes from."))
@click.option("--json", "as_json", is_flag=True, help=_("Print a JSON array instead of text."))
@pass_invocation
def settings(invocation: Invocation, *, as_json: bool) -> None:
    """Print the settings in force; secrets are masked."""
    rows = list(describe(invocation.loaded))
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        click.secho(f"{row['name']} = {_shown(row['value'])}", bold=True, nl=False)
        click.echo(f"  ({source_text(str(row['source']))})\n    {row['help']} {row['variable']}")


@click.command(help=_("Show the versions of Dozor, Python and the libraries it stands on."))
def version() -> None:
    """Print one line per component."""
    click.echo(f"dozor {__version__}\npython {platform.python_version()} ({platform.platform()})")
    for requirement in requires("dozor") or []:
        name = re.split(r"[^\w-]", requirement, maxsplit=1)[0]
        click.echo(f"{name} {version_of(name)}")


def describe(loaded: Loaded[ModelT]) -> Iterator[dict[str, object]]:
    """Yield name, variable, value, source and help of each setting, ready for JSON."""
    values = loaded.settings.model_dump(mode="json")
    for setting in leaves(type(loaded.settings)):
        origin = loaded.origins.get(setting.place)
        referred = loaded.referred.get(setting.place)
        yield {
            "name": setting.key,
            "variable": setting.variable,
            "value": referred or _masked(_value(values, setting), secret=setting.is_secret),
            "source": origin[1] if origin else DEFAULT,
            "help": _(setting.help),
        }


def _value(tree: dict[str, object], setting: Setting) -> object:
    value: object = tree
    for step in setting.place:
        value = value[step] if isinstance(value, dict) else None
    # An address may hold a password.
    return mask(value) if isinstance(value, str) else value


def _masked(value: object, *, secret: bool) -> object:
    # That a secret is not set is no secret, and whoever looks for the cause of something needs to see it.
    return MASK if secret and value not in (None, [], {}) else value


def _shown(value: object) -> str:
    if value in (None, [], {}):
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={target}" for name, target in value.items())
    return str(value)
