"""`dozor login`, `logout` and `whoami`: who this user is to a server, for the commands that ask one.

Tokens are kept in `~/.config/dozor/tokens.json` (mode 600), by the address of the server, and refreshed by
themselves. A program takes an API key instead, from DOZOR_API_KEY.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dozor.kernel.errors import JobError, UsageError
from dozor.kernel.i18n import _, ngettext

if TYPE_CHECKING:
    from dozor.client import Client
    from dozor.client.tokens import TokenFile

DEFAULT_URL = "http://127.0.0.1:5000"
URL_VARIABLE, KEY_VARIABLE = "DOZOR_URL", "DOZOR_API_KEY"
_PLAIN = "http://"
_LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")


def tokens_path() -> Path:
    """The file of the tokens (XDG base directory specification).

    Raises:
        UsageError: The user has no home.
    """
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if base.is_absolute():
        return base / "dozor" / "tokens.json"
    try:
        return Path.home() / ".config" / "dozor" / "tokens.json"
    except RuntimeError as error:
        raise UsageError(
            _("This user has no home to keep tokens in."), hint=_("Name a folder with XDG_CONFIG_HOME.")
        ) from error


def server_url(url: str | None) -> str:
    """The server that is meant: the one that was named, else DOZOR_URL, else the one of this machine.

    Raises:
        UsageError: It is no web address.
    """
    wanted = (url or os.environ.get(URL_VARIABLE) or DEFAULT_URL).rstrip("/")
    if "://" not in wanted:
        wanted = _PLAIN + wanted
    if not wanted.startswith((_PLAIN, "https://")):
        raise UsageError(
            _("{url} is no address of a server.").format(url=wanted),
            hint=_("Write it such as https://dozor.example.com."),
        )
    return wanted


def signed_in(url: str | None = None) -> Client:
    """A client for a command that asks a server: by the key of DOZOR_API_KEY, else by kept tokens.

    Args:
        url: Address of the server; None for `server_url`'s choice.
    """
    from dozor.client import Client

    address = server_url(url)
    if key := os.environ.get(KEY_VARIABLE):
        return Client(address, token=key)
    return Client(address, tokens=_keeper(address))


def build_login() -> click.Command:
    """The command `login`, its texts in the current language."""

    @click.command(
        "login",
        short_help=_("Sign in to a server, for the commands that ask one."),
        help=_(
            "Sign in to the Dozor at URL (http://127.0.0.1:5000 by default, or DOZOR_URL). Tokens are kept "
            "in ~/.config/dozor/tokens.json, which only you may read, and renewed by themselves; the "
            "password is not kept. A program needs no login: give it an API key as DOZOR_API_KEY."
        ),
        epilog="\b\n" + _("Example: dozor login https://dozor.example.com"),
    )
    @click.argument("url", required=False, metavar=_("[URL]"))
    @click.option("--username", metavar=_("NAME"), help=_("Name; asked for without it."))
    @click.option("--password-stdin", is_flag=True, help=_("Read the password from standard input."))
    @click.option("--totp", metavar=_("CODE"), help=_("Code of the second factor; asked for when needed."))
    def login(url: str | None, *, username: str | None, password_stdin: bool, totp: str | None) -> None:
        address = server_url(url)
        if address.startswith(_PLAIN) and not address.startswith(_LOOPBACK):
            click.echo(
                _("Warning: {url} is not encrypted; others on the way can read the password.").format(
                    url=address
                ),
                err=True,
            )
        if username is None and password_stdin:
            raise UsageError(_("A password without a name."), hint=_("Name the person with --username."))
        name = username or click.prompt(_("Name"), err=True)
        password = (
            sys.stdin.readline().rstrip("\n")
            if password_stdin
            else click.prompt(_("Password"), hide_input=True, err=True)
        )
        _sign_in(address, name, password, totp, ask=not password_stdin)
        click.echo(_("Signed in to {url} as {name}.").format(url=address, name=name))

    return login


def _sign_in(address: str, name: str, password: str, totp: str | None, *, ask: bool) -> None:
    from dozor.client import Client, KeptTokens, TotpRequired

    keeper = _keeper(address)
    with Client(address) as client, keeper.locked():
        while True:
            try:
                tokens = client.access.login(name, password, totp)
            except TotpRequired as error:
                if not ask:
                    raise JobError(
                        _("A code of the second factor is needed."),
                        hint=_("Give it, or a recovery code, with --totp."),
                    ) from error
                totp = click.prompt(_("Code of the second factor"), err=True)
            else:
                break
        expires = time.time() + tokens.expires_in
        keeper.save(KeptTokens(tokens.access_token, tokens.refresh_token, expires, name))


def build_logout() -> click.Command:
    """The command `logout`, its texts in the current language."""

    @click.command(
        "logout",
        short_help=_("End the login to a server."),
        help=_("End the session at URL and forget its tokens."),
    )
    @click.argument("url", required=False, metavar=_("[URL]"))
    def logout(url: str | None) -> None:
        from dozor.client import Client, Unauthorized

        address = server_url(url)
        keeper = _keeper(address)
        if keeper.load() is None:
            click.echo(_("Nobody is signed in to {url}.").format(url=address))
            return
        with Client(address, tokens=keeper) as client:
            try:
                client.access.logout()
            except Unauthorized:
                pass  # it ended before
            finally:
                with keeper.locked():
                    keeper.forget()
        click.echo(_("Signed out of {url}.").format(url=address))

    return logout


def build_whoami() -> click.Command:
    """The command `whoami`, its texts in the current language."""

    @click.command(
        "whoami",
        short_help=_("Show who you are to a server, and what you may do."),
        help=_("Show who you are to the Dozor at URL, and what you may do there."),
    )
    @click.argument("url", required=False, metavar=_("[URL]"))
    @click.option("--json", "as_json", is_flag=True, help=_("Print a JSON object instead of text."))
    def whoami(url: str | None, *, as_json: bool) -> None:
        with signed_in(url) as client:
            me = client.access.me()
            if as_json:
                told = me.model_dump(mode="json", exclude={"csrf_token"})
                click.echo(json.dumps({"url": client.base_url, **told}, ensure_ascii=False, indent=2))
                return
            kind = _("API key") if me.kind == "key" else _("person")
            click.echo(_("{name} ({kind}) at {url}").format(name=me.username, kind=kind, url=client.base_url))
            rows = [(_("role"), me.role or "-"), (_("may"), ", ".join(me.permissions))]
            if me.kind == "person":
                rows.append((_("2nd factor"), _second_factor(me.recovery_codes_left, on=me.totp_enabled)))
            for title, text in rows:
                click.echo(f"  {title:<12}{text}")

    return whoami


def _second_factor(codes: int, *, on: bool) -> str:
    if not on:
        return _("none; add one in the console, under your name")
    left = ngettext("{count} recovery code left", "{count} recovery codes left", codes)
    return _("on, {left}").format(left=left.format(count=codes))


def _keeper(address: str) -> TokenFile:
    from dozor.client import TokenFile

    return TokenFile(tokens_path(), address)


def __getattr__(name: str) -> click.Command:
    """Commands are built when they are asked for, so that their texts are in the language of the call."""
    builders = {"login": build_login, "logout": build_logout, "whoami": build_whoami}
    if name in builders:
        return builders[name]()
    raise AttributeError(name)
