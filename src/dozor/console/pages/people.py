"""People and what they may do: the list, one of them, and the roles."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dozor.client import Permission, Person, Role
from dozor.console import listing, parts, words
from dozor.console.account import act, can, client, me, tell
from dozor.console.listing import Button, Row
from dozor.console.view import View
from dozor.kernel.i18n import _, ngettext

_CHOSEN, _ROLE, _ASKED = "person", "dz_role", "dz_confirm"


def draw(view: View) -> None:
    """Show the page."""
    with st.container(key="hidden-people"):
        st.text_input(_CHOSEN, key=_CHOSEN, bind="query-params", label_visibility="collapsed")
    people, roles = client().access.people(), client().access.roles()
    chosen = next((one for one in people if one.username == st.session_state[_CHOSEN]), None)
    left, right = st.columns([3, 2], gap="small") if chosen else (st.container(), None)
    with left:
        with st.container(border=True, key="card-people"):
            _list(view, people, roles)
        with st.container(border=True, key="card-roles"):
            _roles(roles)
    if chosen is not None and right is not None:
        with right, st.container(border=True, key="card-person"):
            _person(view, chosen, roles)
    _confirm()


def _list(view: View, people: Sequence[Person], roles: Sequence[Role]) -> None:
    caption = ngettext("{count} person", "{count} people", len(people)).format(count=len(people))
    st.html(parts.heading(_("People"), caption))
    if can("people.write"):
        _new(roles)
    listing.show(
        "people",
        [_("name"), _("role"), _("second factor"), _("last login"), _("state")],
        "minmax(120px,2fr) minmax(105px,1fr) minmax(70px,1fr) minmax(85px,1fr) minmax(100px,1fr)",
        (_row(view, one) for one in people),
        empty=_("Nobody."),
    )


def _row(view: View, person: Person) -> Row:
    shown = f' <span class="cap">{parts.text(person.display_name)}</span>' if person.display_name else ""
    owner = " " + parts.tag(_("owner"), "ok") if person.is_owner else ""
    you = " " + parts.tag(_("you")) if person.id == me().id else ""
    cells = [
        f"<b>{parts.text(person.username)}</b>{shown}{owner}{you}",
        parts.text(words.role_name(person.role)),
        parts.tag(_("on"), "ok") if person.totp_enabled else parts.tag(_("none"), "warn"),
        parts.text(view.when(person.last_login) if person.last_login else _("never")),
        _state(person),
    ]

    def choose() -> None:
        st.session_state[_CHOSEN] = person.username

    label = _("Change") if can("people.write") else _("Show")
    return Row(cells, [Button(label, f"choose-{person.id}", choose, "edit")])


def _state(person: Person) -> str:
    if person.disabled:
        return parts.tag(_("disabled"), "bad")
    if person.locked:
        return parts.tag(_("locked out"), "warn")
    return parts.tag(_("may sign in"), "ok")


def _new(roles: Sequence[Role]) -> None:
    with st.popover(_("Add a person"), icon=":material/person_add:", key="new-person"):
        tell("new-person")
        with st.form("form-person", border=False, enter_to_submit=False):
            st.text_input(_("Name to sign in with"), key="new-name", max_chars=64, autocomplete="off")
            st.text_input(_("Name as it is shown"), key="new-shown", max_chars=80, autocomplete="off")
            st.text_input(
                _("First password"), type="password", key="new-password", autocomplete="new-password"
            )
            st.selectbox(
                _("Role"),
                [one.name for one in roles],
                index=next((place for place, one in enumerate(roles) if one.name == "viewer"), 0),
                format_func=words.role_name,
                key="new-role",
            )
            st.form_submit_button(_("Add the person"), type="primary", on_click=_add)


def _add() -> None:
    state = st.session_state
    name = (state["new-name"] or "").strip()
    added = act(
        lambda: client().access.add_person(
            name,
            state["new-password"] or "",
            state["new-role"],
            display_name=(state["new-shown"] or "").strip() or None,
        ),
        _("{name} is added.").format(name=name),
        place="new-person",
    )
    if added is not None:
        for key in ("new-name", "new-shown", "new-password"):
            state[key] = ""


def _person(view: View, person: Person, roles: Sequence[Role]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(parts.heading(person.username), width="content")
        st.button(_("Close"), icon=":material/close:", type="tertiary", key="person-close", on_click=_close)
    tell("person")
    st.html(
        parts.facts(
            [
                (_("role"), words.role_name(person.role), ""),
                (_("added"), view.absolute(person.created), ""),
                (_("last login"), view.absolute(person.last_login) if person.last_login else _("never"), ""),
                (_("second factor"), _("on") if person.totp_enabled else _("none"), ""),
            ]
        )
    )
    if not can("people.write"):
        return
    if person.is_owner:
        told = _("The owner can be neither disabled nor removed, and stays an admin.")
        st.html(f'<div class="dz cap">{parts.text(told)}</div>')
    _change(person, roles)
    if person.id == me().id:
        told = _("Your own password and second factor are changed in your profile.")
        way = parts.link("profile", _("Profile"))
        st.html(f'<div class="dz cap">{parts.text(told)} {way}</div>')
        return
    _password(person)
    with st.container(horizontal=True, gap="small"):
        _deeds(person)


def _change(person: Person, roles: Sequence[Role]) -> None:
    names = [one.name for one in roles]
    with st.form(f"form-change-{person.id}", border=False):
        st.text_input(_("Name as it is shown"), person.display_name, max_chars=80, key=f"shown-{person.id}")
        st.selectbox(
            _("Role"),
            names,
            index=names.index(person.role) if person.role in names else None,
            format_func=words.role_name,
            key=f"role-{person.id}",
            disabled=person.is_owner,
        )
        st.form_submit_button(_("Save the changes"), type="primary", on_click=_save, args=(person,))


def _save(person: Person) -> None:
    shown, role = (st.session_state[f"{key}-{person.id}"] for key in ("shown", "role"))
    act(
        lambda: client().access.change_person(
            person.id, display_name=(shown or "").strip(), role=None if role == person.role else role
        ),
        _("{name} is changed.").format(name=person.username),
        place="person",
    )


def _password(person: Person) -> None:
    with st.form(f"form-password-{person.id}", border=False, clear_on_submit=True):
        st.text_input(_("New password"), type="password", key=f"pw-{person.id}", autocomplete="new-password")
        st.form_submit_button(_("Set the password"), on_click=_set_password, args=(person,))


def _set_password(person: Person) -> None:
    password = st.session_state[f"pw-{person.id}"] or ""
    act(
        lambda: client().access.change_person(person.id, password=password),
        _("{name} has a new password, and their sessions have ended.").format(name=person.username),
        place="person",
    )


def _deeds(person: Person) -> None:
    def deed(label: str, key: str, work: object, told: str, icon: str) -> None:
        def do() -> None:
            act(work, told.format(name=person.username), place="person")  # type: ignore[arg-type]

        st.button(label, key=f"{key}-{person.id}", icon=f":material/{icon}:", on_click=do)

    access = client().access
    if person.locked:
        unlocked = _("{name} may sign in again.")
        deed(_("Unlock"), "unlock", lambda: access.unlock_person(person.id), unlocked, "lock_open")
    if person.totp_enabled:
        taken = _("{name} has no second factor any more.")
        deed(
            _("Reset the second factor"),
            "totp",
            lambda: access.change_person(person.id, reset_totp=True),
            taken,
            "phonelink_erase",
        )
    if person.is_owner:
        return
    if person.disabled:
        enabled = _("{name} may sign in again.")
        deed(_("Enable"), "enable", lambda: access.change_person(person.id, disabled=False), enabled, "check")
    else:
        gone = _("{name} may not sign in any more.")
        deed(_("Disable"), "disable", lambda: access.change_person(person.id, disabled=True), gone, "block")

    def ask() -> None:
        st.session_state[_ASKED] = ("person", person.id, person.username)

    st.button(_("Remove"), key=f"remove-{person.id}", icon=":material/delete:", on_click=ask)


def _close() -> None:
    st.session_state[_CHOSEN] = ""


def _roles(roles: Sequence[Role]) -> None:
    st.html(parts.heading(_("Roles"), _("what people of a role may do")))
    tell("roles")
    if can("roles.write"):
        _edit(roles)
    listing.show(
        "roles",
        [_("role"), _("may"), _("people")],
        "minmax(110px,1fr) 4fr 60px",
        (_role(one) for one in roles),
        empty=_("No roles."),
    )


def _role(role: Role) -> Row:
    kind = " " + parts.tag(_("built in")) if role.builtin else ""
    may = _("everything") if "*" in role.permissions else ", ".join(role.permissions)
    cells = [
        f"<b>{parts.text(words.role_name(role.name) if role.builtin else role.name)}</b>{kind}",
        f'{parts.text(role.description)}<br><span class="cap mono">{parts.text(may)}</span>',
        parts.text(words.count(role.people)),
    ]
    if role.builtin or not can("roles.write"):
        return Row(cells)

    def change() -> None:
        st.session_state[_ROLE] = role.name

    def ask() -> None:
        st.session_state[_ASKED] = ("role", role.name, role.name)

    return Row(
        cells,
        [
            Button(_("Change"), f"role-change-{role.name}", change, "edit"),
            Button(_("Remove"), f"role-remove-{role.name}", ask, "delete"),
        ],
    )


def _edit(roles: Sequence[Role]) -> None:
    """A form for a new role, or for the one whose button was pressed."""
    known = client().access.permissions()
    told = {one.name: one.description for one in known}
    role = next((one for one in roles if one.name == st.session_state.get(_ROLE)), None)
    if role is not None:
        with st.container(border=True):
            st.html(parts.heading(_("Change the role {name}").format(name=role.name)))
            _role_form(known, told, role)
        return
    with st.popover(_("Add a role"), icon=":material/add:", key="new-role-form"):
        tell("new-role")
        _role_form(known, told, None)


def _role_form(known: Sequence[Permission], told: dict[str, str], role: Role | None) -> None:
    key = role.name if role else ""
    names = sorted({one.name for one in known} | set(role.permissions if role else ()))
    with st.form(f"form-role-{key}", border=False, enter_to_submit=False):
        if role is None:
            st.text_input(_("Name"), key="role-name", max_chars=64, placeholder="analyst")
        st.text_input(
            _("What it is for"), role.description if role else "", max_chars=200, key=f"role-told-{key}"
        )
        st.multiselect(
            _("May"),
            names,
            list(role.permissions) if role else [],
            format_func=lambda name: f"{name}: {told[name]}" if told.get(name) else name,
            key=f"role-may-{key}",
            placeholder=_("Choose permissions"),
            select_all=False,
        )
        with st.container(horizontal=True):
            label = _("Save the role") if role else _("Add the role")
            st.form_submit_button(label, type="primary", on_click=_save_role, args=(role,))
            if role is not None:
                st.form_submit_button(_("Cancel"), on_click=_leave_role)


def _save_role(role: Role | None) -> None:
    state = st.session_state
    key = role.name if role else ""
    may, told = tuple(state[f"role-may-{key}"]), state[f"role-told-{key}"] or ""
    access = client().access
    if role is None:
        name = (state["role-name"] or "").strip()
        saved = act(
            lambda: access.add_role(name, may, description=told),
            _("The role {name} is added.").format(name=name),
            place="new-role",
        )
        if saved is not None:
            state["role-name"], state["role-told-"], state["role-may-"] = "", "", []
        return
    changed = act(
        lambda: access.change_role(role.name, permissions=may, description=told),
        _("The role {name} is changed.").format(name=role.name),
        place="roles",
    )
    if changed is not None:
        _leave_role()


def _leave_role() -> None:
    st.session_state.pop(_ROLE, None)


def _confirm() -> None:
    wish = st.session_state.get(_ASKED)
    if wish is None or wish[0] not in {"person", "role"}:
        return
    del st.session_state[_ASKED]
    kind, number, name = wish
    access = client().access
    if kind == "role":
        listing.confirm(
            _("Remove the role {name}?").format(name=name),
            _("It cannot be taken back. A role that people still have stays."),
            _("Remove the role"),
            lambda: act(
                lambda: access.remove_role(number),
                _("The role {name} is removed.").format(name=name),
                place="roles",
            ),
        )
        return
    listing.confirm(
        _("Remove {name}?").format(name=name),
        _("Their sessions and API keys end at once. What they did stays in the audit trail."),
        _("Remove the person"),
        lambda: act(
            lambda: access.remove_person(number), _("{name} is removed.").format(name=name), place="person"
        ),
        typed=name,
    )
