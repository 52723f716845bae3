"""The command `dozor access`: who may read the state's files may do everything, so it is the rescue.

Each command works beside a running Dozor, which takes notice within a few seconds.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import click

from dozor.features.access.cli.audit import add_audit
from dozor.features.access.cli.options import (
    Parts,
    as_json,
    data_dir,
    given_or_new_password,
    iso,
    lifetime,
    password_stdin,
    print_json,
    print_table,
    read_password,
    shown_time,
)
from dozor.features.access.core.subjects import account_subject, address_subject
from dozor.features.access.model import COMMAND_LINE, LOCAL, OPERATOR, Key, Person, Session
from dozor.features.access.service import Access
from dozor.features.access.service.throttle import EVERYBODY
from dozor.kernel.errors import JobError
from dozor.kernel.i18n import _


def build_access_command(parts: Parts) -> click.Group:
    """The command `access`, its texts in the current language.

    Args:
        parts: What it needs from the program.
    """

    @click.group(
        "access",
        help=_("Look after people, keys and the audit trail on this machine, also while Dozor runs."),
    )
    def access() -> None:
        pass

    _add_setup(access, parts)
    _add_people(access, parts)
    _add_rescue(access, parts)
    _add_keys(access, parts)
    _add_sessions(access, parts)
    _add_allow_list(access, parts)
    add_audit(access, parts)
    return access


def _add_setup(access: click.Group, parts: Parts) -> None:
    @access.command("setup", help=_("Make the owner, who may do everything, when there is none yet."))
    @click.option("--username", required=True, metavar=_("NAME"), help=_("Name to sign in with."))
    @password_stdin
    @data_dir
    def setup(username: str, data_dir: Path | None, *, password_stdin: bool) -> None:
        async def story(access: Access) -> Person:
            return await access.setup.create_owner_here(username, password)

        password = read_password(from_stdin=password_stdin)
        person = parts.run(data_dir, story)
        click.echo(_("{name} is the owner now.").format(name=person.username))

    @access.command(
        "setup-link", help=_("Print a new link by which the owner is made in the browser; it works once.")
    )
    @data_dir
    def setup_link(data_dir: Path | None) -> None:
        async def story(access: Access) -> str:
            return await access.setup.new_token()

        token = parts.run(data_dir, story)
        if not token:
            raise JobError(
                _("There is an owner already."),
                hint=_("Sign in, or run 'dozor access reset-password NAME' on the server."),
            )
        click.echo(f"{parts.address()}/setup#{token}")

    @access.command(
        "rotate-key", help=_("Make a new secret key; what the former ones signed and encrypted stays good.")
    )
    @data_dir
    def rotate_key(data_dir: Path | None) -> None:
        click.echo(parts.rotate(data_dir))


def _add_people(access: click.Group, parts: Parts) -> None:
    @access.group("people", help=_("See, add, change and remove people."))
    def people() -> None:
        pass

    @people.command("list", help=_("Show who may sign in."))
    @as_json
    @data_dir
    def list_people(data_dir: Path | None, *, as_json: bool) -> None:
        async def story(access: Access) -> list[Person]:
            return list(await access.people.list())

        found = parts.run(data_dir, story)
        if as_json:
            print_json([_person_facts(person) for person in found])
            return
        titles = (_("name"), _("role"), _("state"), _("second factor"), _("last sign-in"))
        print_table(titles, [_person_row(person) for person in found])

    _add_person(people, parts)
    for command, help_text, is_active in (
        ("disable", _("Let a person sign in no more, and end all sessions."), False),
        ("enable", _("Let a disabled person sign in again."), True),
    ):
        _add_switch(people, parts, command, help_text, is_active=is_active)

    @people.command("remove", help=_("Remove a person with sessions and keys; the audit trail stays."))
    @click.argument("name", metavar=_("NAME"))
    @data_dir
    def remove(name: str, data_dir: Path | None) -> None:
        async def story(access: Access) -> None:
            person = await access.people.named(name)
            await access.people.remove(COMMAND_LINE, LOCAL, person.id)

        parts.run(data_dir, story)
        click.echo(_("{name} is removed.").format(name=name))


def _add_person(people: click.Group, parts: Parts) -> None:
    @people.command("add", help=_("Add a person; without --password-stdin a password is made and printed."))
    @click.argument("name", metavar=_("NAME"))
    @click.option("--role", default=OPERATOR, show_default=True, help=_("What the person may do."))
    @click.option("--display-name", default="", help=_("How pages call the person."))
    @password_stdin
    @data_dir
    def add(name: str, role: str, display_name: str, data_dir: Path | None, *, password_stdin: bool) -> None:
        async def story(access: Access) -> Person:
            return await access.people.create(
                COMMAND_LINE, LOCAL, username=name, password=password, role=role, display_name=display_name
            )

        password, is_new = given_or_new_password(from_stdin=password_stdin)
        person = parts.run(data_dir, story)
        click.echo(_("{name} may sign in now, as {role}.").format(name=person.username, role=person.role))
        _show_password(password, is_new=is_new)

    @people.command("role", help=_("Give a person another role; it counts at once."))
    @click.argument("name", metavar=_("NAME"))
    @click.argument("role", metavar=_("ROLE"))
    @data_dir
    def change_role(name: str, role: str, data_dir: Path | None) -> None:
        async def story(access: Access) -> Person:
            person = await access.people.named(name)
            return await access.people.update(COMMAND_LINE, LOCAL, person.id, role=role)

        person = parts.run(data_dir, story)
        click.echo(_("{name} has the role {role} now.").format(name=person.username, role=person.role))


def _add_switch(people: click.Group, parts: Parts, command: str, help_text: str, *, is_active: bool) -> None:
    @people.command(command, help=help_text)
    @click.argument("name", metavar=_("NAME"))
    @data_dir
    def switch(name: str, data_dir: Path | None) -> None:
        async def story(access: Access) -> Person:
            person = await access.people.named(name)
            return await access.people.update(COMMAND_LINE, LOCAL, person.id, is_active=is_active)

        person = parts.run(data_dir, story)
        text = _("{name} may sign in again.") if person.is_active else _("{name} may sign in no more.")
        click.echo(text.format(name=person.username))


def _add_rescue(access: click.Group, parts: Parts) -> None:
    @access.command(
        "unlock", help=_("End the lock-out of a person or an address after failed sign-ins; of all without.")
    )
    @click.argument("who", required=False, metavar=_("[NAME|ADDRESS]"))
    @data_dir
    def unlock(who: str | None, data_dir: Path | None) -> None:
        async def story(access: Access) -> None:
            for subject in _subjects(who):
                await access.people.unlock_subject(COMMAND_LINE, LOCAL, subject, who or EVERYBODY)

        parts.run(data_dir, story)
        click.echo(_unlocked(who))

    @access.command(
        "reset-password",
        help=_("Give a person a new password and end all sessions; without --password-stdin it is printed."),
    )
    @click.argument("name", metavar=_("NAME"))
    @password_stdin
    @data_dir
    def reset_password(name: str, data_dir: Path | None, *, password_stdin: bool) -> None:
        async def story(access: Access) -> None:
            person = await access.people.named(name)
            await access.people.update(COMMAND_LINE, LOCAL, person.id, password=password)
            await access.people.unlock_subject(COMMAND_LINE, LOCAL, account_subject(name), person.username)

        password, is_new = given_or_new_password(from_stdin=password_stdin)
        parts.run(data_dir, story)
        click.echo(_("{name} has a new password.").format(name=name))
        _show_password(password, is_new=is_new)

    @access.command("reset-totp", help=_("Remove a person's second factor and recovery codes."))
    @click.argument("name", metavar=_("NAME"))
    @data_dir
    def reset_totp(name: str, data_dir: Path | None) -> None:
        async def story(access: Access) -> None:
            person = await access.people.named(name)
            await access.people.update(COMMAND_LINE, LOCAL, person.id, reset_totp=True)

        parts.run(data_dir, story)
        click.echo(_("{name} signs in with the password alone now.").format(name=name))


def _add_keys(access: click.Group, parts: Parts) -> None:
    @access.group("key", help=_("Make, see and revoke API keys."))
    def key() -> None:
        pass

    @key.command("create", help=_("Make an API key that belongs to nobody, and print it this once."))
    @click.option("--role", required=True, metavar=_("ROLE"), help=_("What the key may do."))
    @click.option(
        "--expires", metavar=_("TIME"), help=_("How long it lives, such as 30d or 12h; for ever without.")
    )
    @click.option("--name", default=None, metavar=_("NAME"), help=_("What it is for."))
    @click.option(
        "--scope",
        "scopes",
        multiple=True,
        metavar=_("PERMISSION"),
        help=_("Narrow it down to this permission of the role; may be repeated."),
    )
    @as_json
    @data_dir
    def create(
        role: str,
        expires: str | None,
        name: str | None,
        scopes: tuple[str, ...],
        data_dir: Path | None,
        *,
        as_json: bool,
    ) -> None:
        async def story(access: Access) -> tuple[Key, str]:
            return await access.keys.create(
                COMMAND_LINE, LOCAL, name=name or role, role=role, scopes=scopes, expires_in=life
            )

        life = lifetime(expires)
        made, secret = parts.run(data_dir, story)
        if as_json:
            print_json({"id": made.id, "key": secret})
            return
        click.echo(secret)
        click.echo(_("This is key {id}. It is shown this once: keep it now.").format(id=made.id), err=True)

    @key.command("list", help=_("Show API keys without their secrets."))
    @as_json
    @data_dir
    def list_keys(data_dir: Path | None, *, as_json: bool) -> None:
        async def story(access: Access) -> tuple[list[Key], dict[str, str]]:
            names = {person.id: person.username for person in await access.people.list()}
            return list(await access.keys.all()), names

        found, names = parts.run(data_dir, story)
        if as_json:
            print_json([_key_facts(one, names) for one in found])
            return
        titles = (_("id"), _("name"), _("role"), _("scopes"), _("person"), _("expires"), _("last use"))
        print_table(titles, [_key_row(one, names) for one in found])

    @key.command("revoke", help=_("Revoke an API key for good."))
    @click.argument("key_id", metavar="ID")
    @data_dir
    def revoke(key_id: str, data_dir: Path | None) -> None:
        async def story(access: Access) -> None:
            await access.keys.revoke(COMMAND_LINE, LOCAL, key_id)

        parts.run(data_dir, story)
        click.echo(_("Key {id} is revoked.").format(id=key_id))


def _add_sessions(access: click.Group, parts: Parts) -> None:
    @access.group("sessions", help=_("See and end sessions."))
    def sessions() -> None:
        pass

    @sessions.command("list", help=_("Show who is signed in, from where and since when."))
    @as_json
    @data_dir
    def list_sessions(data_dir: Path | None, *, as_json: bool) -> None:
        async def story(access: Access) -> tuple[list[Session], dict[str, str]]:
            names = {person.id: person.username for person in await access.people.list()}
            return list(await access.sessions.all()), names

        found, names = parts.run(data_dir, story)
        if as_json:
            print_json([_session_facts(one, names) for one in found])
            return
        titles = (_("id"), _("person"), _("kind"), _("address"), _("since"), _("last use"), _("expires"))
        print_table(titles, [_session_row(one, names) for one in found])

    @sessions.command("revoke", help=_("End a session."))
    @click.argument("session_id", metavar="ID")
    @data_dir
    def revoke(session_id: str, data_dir: Path | None) -> None:
        async def story(access: Access) -> None:
            await access.sessions.end(COMMAND_LINE, LOCAL, session_id)

        parts.run(data_dir, story)
        click.echo(_("Session {id} is ended.").format(id=session_id))


def _add_allow_list(access: click.Group, parts: Parts) -> None:
    @access.group("allow-list", help=_("Addresses that may use the console (access.console_networks)."))
    def allow_list() -> None:
        pass

    for command, help_text, is_on in (
        ("clear", _("Let every address use the console, whatever the setting says."), False),
        ("restore", _("Let the setting count again."), True),
    ):
        _add_allow_switch(allow_list, parts, command, help_text, is_on=is_on)

    @allow_list.command("show", help=_("Tell whether the setting counts."))
    @data_dir
    def show(data_dir: Path | None) -> None:
        async def story(access: Access) -> bool:
            return await access.allow_list.is_off()

        click.echo(_("The list is off.") if parts.run(data_dir, story) else _("The setting counts."))


def _add_allow_switch(group: click.Group, parts: Parts, command: str, help_text: str, *, is_on: bool) -> None:
    @group.command(command, help=help_text)
    @data_dir
    def switch(data_dir: Path | None) -> None:
        async def story(access: Access) -> None:
            await access.allow_list.switch(COMMAND_LINE, LOCAL, on=is_on)

        parts.run(data_dir, story)
        click.echo(
            _("The setting counts again.")
            if is_on
            else _("Every address may use the console until 'restore'.")
        )


def _subjects(who: str | None) -> tuple[str, ...]:
    if who is None:
        return (EVERYBODY,)
    try:
        ip_address(who)
    except ValueError:
        return (account_subject(who),)
    return (address_subject(who),)


def _unlocked(who: str | None) -> str:
    if who is None:
        return _("Everybody may try again, from everywhere.")
    if _subjects(who) == (address_subject(who),):
        return _("Everybody may try again from {address}.").format(address=who)
    return _("{name} may try again, from every address.").format(name=who)


def _show_password(password: str, *, is_new: bool) -> None:
    if is_new:
        click.echo(_("Password: {password}").format(password=password))


def _person_row(person: Person) -> tuple[str, ...]:
    state = _("owner") if person.is_owner else _("active") if person.is_active else _("disabled")
    return (
        person.username,
        person.role,
        state,
        _("on") if person.has_totp else _("off"),
        shown_time(person.last_login),
    )


def _person_facts(person: Person) -> dict[str, object]:
    return {
        "id": person.id,
        "username": person.username,
        "display_name": person.display_name,
        "role": person.role,
        "is_owner": person.is_owner,
        "is_active": person.is_active,
        "has_totp": person.has_totp,
        "created": iso(person.created),
        "last_login": iso(person.last_login),
    }


def _key_row(key: Key, names: dict[str, str]) -> tuple[str, ...]:
    return (
        key.id,
        key.name,
        key.role,
        " ".join(key.scopes),
        names.get(key.person_id or "", ""),
        shown_time(key.expires),
        shown_time(key.seen),
    )


def _key_facts(key: Key, names: dict[str, str]) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "scopes": list(key.scopes),
        "person": names.get(key.person_id or ""),
        "created": iso(key.created),
        "expires": iso(key.expires),
        "seen": iso(key.seen),
    }


def _session_row(session: Session, names: dict[str, str]) -> tuple[str, ...]:
    return (
        session.id,
        names.get(session.person_id, ""),
        session.kind,
        session.address,
        shown_time(session.created),
        shown_time(session.seen),
        shown_time(session.expires),
    )


def _session_facts(session: Session, names: dict[str, str]) -> dict[str, object]:
    return {
        "id": session.id,
        "person": names.get(session.person_id),
        "kind": session.kind,
        "address": session.address,
        "agent": session.agent,
        "created": iso(session.created),
        "seen": iso(session.seen),
        "expires": iso(session.expires),
    }
