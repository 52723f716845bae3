"""The frame of every page: navigation, filter bar, live chip, account; and how a page is refreshed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from dozor.client import ApiError, Sources, Unauthorized
from dozor.console import account, parts, words
from dozor.console.account import can, client, me
from dozor.console.actions import GOTO, RELOAD, choose_stretch
from dozor.console.data import BLANK, call_off
from dozor.console.pages import (
    anomalies,
    audit,
    dynamics,
    errors,
    geography,
    keys,
    lines,
    overview,
    people,
    profile,
    sessions,
    top,
)
from dozor.console.scope import RANGES, condition, merge, read_scope
from dozor.console.settings import LANGUAGE_COOKIE, settings
from dozor.console.theme import theme
from dozor.console.view import View
from dozor.kernel.i18n import LANGUAGES, N_, _, current_language, format_duration, ngettext, use_language

REFRESH = 5
"""Seconds between two looks at a page whose range ends now."""

_LATE = timedelta(seconds=30)
_LONGEST_NAME = 24
_STATIC = Path(__file__).parent / "static"
_OPERATORS = ("=", "!=", "~", ">=", "<=", ">", "<")
_FIELDS = (
    "path", "client", "country", "status", "method", "host", "user_agent", "ua_family", "referer", "query",
    "bytes", "request_time", "classes", "rules", "score", "attack", "is_bot", "user", "protocol", "source",
)  # fmt: skip
_FILTER_EXAMPLES = (
    "status >= 500",
    "status >= 400",
    "attack = true",
    "attack = false",
    "is_bot = false",
    "method = POST",
    "request_time > 1",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of the console.

    Args:
        draw: Shows it.
        title: Its title, in English.
        icon: Name of its Material symbol.
        section: Where it stands in the menu: `traffic`, `people`, or nowhere.
        permission: What one must be allowed to see it; empty for everybody.
        bar: What stands above it: `traffic` (range and filters), `range`, or the title alone.
    """

    draw: Callable[[View], None]
    title: str
    icon: str
    section: str
    permission: str
    bar: str


_ENTRIES = {
    "": Entry(overview.draw, N_("Overview"), "visibility", "", "traffic.read", "traffic"),
    "dynamics": Entry(dynamics.draw, N_("Dynamics"), "show_chart", "traffic", "traffic.read", "traffic"),
    "geography": Entry(geography.draw, N_("Geography"), "public", "traffic", "traffic.read", "traffic"),
    "top": Entry(top.draw, N_("Top lists and statuses"), "leaderboard", "traffic", "traffic.read", "traffic"),
    "anomalies": Entry(anomalies.draw, N_("Anomalies"), "crisis_alert", "traffic", "traffic.read", "traffic"),
    "errors": Entry(errors.draw, N_("Server errors"), "dns", "traffic", "traffic.read", "traffic"),
    "lines": Entry(lines.draw, N_("Lines"), "notes", "traffic", "traffic.read", "traffic"),
    "people": Entry(people.draw, N_("People and roles"), "group", "people", "people.read", "title"),
    "sessions": Entry(sessions.draw, N_("Sessions"), "devices", "people", "sessions.read", "title"),
    "keys": Entry(keys.draw, N_("API keys"), "key", "people", "keys.read", "title"),
    "audit": Entry(audit.draw, N_("Audit trail"), "history", "people", "audit.read", "range"),
    "profile": Entry(profile.draw, N_("Profile"), "account_circle", "", "", "title"),
}
"""All pages by their paths, in the order of the menu."""


def run() -> None:
    """Show the frame, then the page that the URL names."""
    st.session_state["dz_language"] = language = _language()
    use_language(language)
    st.set_page_config(page_title="Dozor", page_icon=str(_STATIC / "mark.svg"), layout="wide")
    st.logo(str(_STATIC / "logo.svg"), icon_image=str(_STATIC / "logo.svg"), size="large")
    if kind := st.context.theme.type:
        # Popovers and dialogs stand outside of the element that Streamlit gives the theme to.
        st.html(f"<style>:root{{color-scheme:{kind}}}</style>")
    known = account.find_me()
    pages = _pages(signed_in=known is not None)
    sections: dict[str, list[Any]] = {
        "": [pages[""]],
        _("Traffic"): [pages[name] for name, entry in _ENTRIES.items() if entry.section == "traffic"],
        _("People"): [pages[name] for name, entry in _ENTRIES.items() if entry.section == "people"],
    }
    sections[""].append(pages["profile"])
    page = st.navigation(sections, position="top" if known is not None else "hidden")
    entry = _ENTRIES[page.url_path]
    bar = entry.bar if known is not None and _may_see(entry) else "title"
    _keep_in_url(filters=bar == "traffic")
    if known is None:
        account.show_signed_out(view().scope.href(page.url_path))
        return
    _account(page.url_path)
    _bar(page.title, bar)
    if (goto := st.session_state.pop(GOTO, None)) is not None:
        # Without parameters Streamlit refuses to leave an address that widgets are bound to.
        st.switch_page(pages[goto], query_params={})
    page.run()


def _pages(*, signed_in: bool) -> dict[str, Any]:
    """All pages; those that the person may not see are in no menu, and say so when their address is typed."""
    pages = {}
    for name, entry in _ENTRIES.items():
        allowed = signed_in and _may_see(entry)
        shown = allowed and (bool(entry.section) or not name)
        pages[name] = st.Page(
            _shown(name, entry) if allowed else _refused(name, entry),
            title=_(entry.title),
            icon=f":material/{entry.icon}:",
            url_path=name or None,
            default=not name,
            visibility="visible" if shown else "hidden",
        )
    return pages


def _may_see(entry: Entry) -> bool:
    return not entry.permission or can(entry.permission)


def _refused(name: str, entry: Entry) -> Callable[[], None]:
    def page() -> None:
        account.show_forbidden(entry.permission)

    page.__name__ = f"refused_{name}"
    return page


def _shown(name: str, entry: Entry) -> Callable[[], None]:
    """A page that is drawn again every few seconds while its range ends now, without the frame.

    A page without a range is drawn once for each thing that a person does.
    """

    def page() -> None:
        if entry.bar == "title":
            try:
                entry.draw(view())
            except Unauthorized:
                st.rerun()  # the frame says that the session has ended
            except ApiError as error:
                st.html(parts.note(error.message, hint=error.hint, tone="bad"))
            return
        live = view().scope.moving and not st.session_state.get("dz_paused")
        st.button(_("Cancel"), icon=":material/close:", key="dz_call_off", on_click=call_off)
        busy = st.empty()
        busy.html('<span class="dz-busy"></span>')
        st.fragment(refreshed, run_every=REFRESH if live else None, key="page")()
        busy.empty()

    def refreshed() -> None:
        use_language(st.session_state["dz_language"])
        if st.session_state.pop(RELOAD, False) or GOTO in st.session_state:
            st.rerun()
        st.session_state[BLANK] = st.session_state.get("dz_drawn") != name
        entry.draw(view())
        st.session_state["dz_drawn"] = name

    return page


def view() -> View:
    """What the pages need to know of their reader at this moment."""
    now = datetime.now(UTC).replace(microsecond=0)
    state = st.session_state
    parameters = {name: state.get(name) for name in ("range", "from", "to", "where")}
    return View(read_scope(parameters, now), theme(st.context.theme.type), _zone(), now)


def _language() -> str:
    """The language that was chosen in this browser, else the browser's, else the server's."""
    wishes = (st.context.cookies.get(LANGUAGE_COOKIE), st.context.locale, settings.language)
    codes = (wish[:2].lower() for wish in wishes if wish)
    return next((code for code in codes if code in LANGUAGES), "en")


def _zone() -> tzinfo:
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _keep_in_url(*, filters: bool) -> None:
    """Inputs that nobody sees bind what the URL holds, in words of no language.

    Args:
        filters: Whether the page has filters, which are seen then; else they are kept here.
    """
    with st.container(key="hidden"):
        for name in ("range", "from", "to"):
            st.text_input(name, key=name, bind="query-params", label_visibility="collapsed")
        if not filters:
            _filters()


def _filters() -> None:
    st.multiselect(
        _("Filters"),
        _FILTER_EXAMPLES,
        key="where",
        bind="query-params",
        accept_new_options=True,
        select_all=False,
        placeholder=_("Filters, such as status >= 500"),
        label_visibility="collapsed",
        wrap=True,
    )


def _bar(title: str, bar: str) -> None:
    scope = view().scope
    with st.container(horizontal=True, vertical_alignment="center", key="bar"):
        st.html(f'<div class="dz"><h1>{parts.text(title)}</h1></div>', width="content")
        if bar == "title":
            st.fragment(_watch_session, run_every=REFRESH, key="session")()
            return
        st.session_state["dz_range"] = None if scope.custom else scope.preset
        st.segmented_control(
            _("Range"),
            list(RANGES),
            key="dz_range",
            format_func=words.range_name,
            label_visibility="collapsed",
            on_change=_choose_preset,
        )
        _own_range()
        zone = view().local(view().now).tzname() or "UTC"
        st.html(parts.caption(zone, _("Times are in {zone}.").format(zone=str(_zone()))), width="content")
        if bar == "traffic":
            _filters()
            _new_filter()
        _live(sources=bar == "traffic")


def _choose_preset() -> None:
    chosen = st.session_state["dz_range"]
    if chosen is not None:
        st.session_state["range"] = chosen
    st.session_state["from"] = st.session_state["to"] = ""


def _own_range() -> None:
    look = view()
    scope = look.scope
    label = look.stretch(scope.since, scope.until) if scope.custom else _("Custom")
    with st.popover(label, icon=":material/calendar_month:", key="dz_own_range"):
        zone = look.local(look.now).tzname() or "UTC"
        for key, moment, name in (
            ("dz_from", scope.since, _("From ({zone})")),
            ("dz_to", scope.until, _("Until ({zone})")),
        ):
            st.session_state[key] = look.local(moment).replace(tzinfo=None, second=0)
            st.datetime_input(
                name.format(zone=zone),
                key=key,
                step=timedelta(minutes=1),
                format="DD.MM.YYYY",
                on_change="ignore",
            )
        with st.container(horizontal=True):
            st.button(_("Show this range"), type="primary", on_click=_choose_own_range, args=(look.zone,))
            if scope.custom:
                st.button(
                    _("Back to {range}").format(range=words.range_name(scope.preset)),
                    on_click=_choose_preset_again,
                )


def _choose_own_range(zone: tzinfo) -> None:
    since, until = (st.session_state[key] for key in ("dz_from", "dz_to"))
    if since is None or until is None or since == until:
        return
    since, until = sorted((since, until))
    choose_stretch(since.replace(tzinfo=zone), until.replace(tzinfo=zone))
    st.session_state.pop(RELOAD)


def _choose_preset_again() -> None:
    st.session_state["from"] = st.session_state["to"] = ""


def _new_filter() -> None:
    with (
        st.popover(_("Filter"), icon=":material/add:", key="dz_new_filter"),
        st.form("dz_filter", border=False),
    ):
        left, middle = st.columns([3, 2])
        left.selectbox(_("Field"), _FIELDS, key="dz_field")
        middle.selectbox(_("Comparison"), _OPERATORS, key="dz_operator")
        st.text_input(_("Value"), key="dz_value", help=_("With ~ a regular expression."))
        st.form_submit_button(_("Add the filter"), type="primary", on_click=_add_typed_filter)


def _add_typed_filter() -> None:
    field, sign, value = (st.session_state[key] for key in ("dz_field", "dz_operator", "dz_value"))
    st.session_state["where"] = list(
        merge(st.session_state.get("where") or (), [condition(field, sign, value or "")])
    )


def _live(*, sources: bool) -> None:
    moving = view().scope.moving
    paused = bool(st.session_state.get("dz_paused"))
    with st.container(horizontal=True, vertical_alignment="center", width="content", wrap=False, key="live"):
        st.fragment(
            _chip if sources else _plain_chip,
            run_every=REFRESH if moving and not paused else None,
            key="chip",
        )()
        if moving:
            st.button(
                _("Resume") if paused else _("Pause"),
                icon=":material/play_arrow:" if paused else ":material/pause:",
                type="tertiary",
                on_click=_toggle_pause,
                key="dz_pause",
            )


def _toggle_pause() -> None:
    st.session_state["dz_paused"] = not st.session_state.get("dz_paused")


def _chip() -> None:
    use_language(st.session_state["dz_language"])
    st.html(_chip_html(view()), width="content")


def _watch_session() -> None:
    """On a page that does not refresh itself: a session that was ended must not leave it standing."""
    use_language(st.session_state["dz_language"])
    try:
        client().access.me()
    except Unauthorized:
        st.rerun()  # the frame says that the session has ended
    except ApiError:
        return  # it is told at the next click


def _plain_chip() -> None:
    use_language(st.session_state["dz_language"])
    if not view().scope.moving:
        st.html(parts.chip(_("fixed range"), ""), width="content")
    elif st.session_state.get("dz_paused"):
        st.html(parts.chip(_("paused"), ""), width="content")
    else:
        st.html(parts.chip(_("live, {count} s").format(count=REFRESH), "live"), width="content")


def _chip_html(look: View) -> str:
    if not look.scope.moving:
        return parts.chip(_("fixed range"), "")
    if st.session_state.get("dz_paused"):
        return parts.chip(_("paused"), "")
    try:
        sources = client().traffic.sources()
        last = client().traffic.coverage().last
    except Unauthorized:
        st.rerun()  # the frame says that the session has ended
    except ApiError as error:
        return parts.chip(_("no answer"), "down", str(error))
    return _source_chip(look, sources, last)


def _source_chip(look: View, sources: Sources, last: datetime | None) -> str:
    """The state of the sources: what hinders them first, then how far they lag behind, then live."""
    hindered = [one for one in sources.items if one.state in {"paused", "failed", "waiting"}]
    if hindered:
        hint = "; ".join(f"{one.name}: {one.reason or one.state}" for one in hindered)
        label = ngettext("{count} source stands still", "{count} sources stand still", len(hindered))
        return parts.chip(label.format(count=len(hindered)), "down", hint)
    lag = max((one.lag_seconds or 0.0 for one in sources.items), default=0.0)
    if lag > _LATE.total_seconds():
        return parts.chip(_("{time} behind").format(time=format_duration(lag)), "late")
    if last is None:
        return parts.chip(_("no data yet"), "")
    if look.now - last > max(timedelta(minutes=5), _LATE):
        return parts.chip(_("no data since {time}").format(time=look.absolute(last)), "")
    return parts.chip(
        _("live, {count} s").format(count=REFRESH),
        "live",
        _("Latest request: {time}").format(time=look.absolute(last)),
    )


def _account(page: str) -> None:
    """Who is signed in, profile, sign-out; language and theme, which need the page to be loaded anew."""
    here = view().scope.href(page)

    def choice(label: str, *, chosen: bool, **wish: str) -> str:
        href = "preferences?" + urlencode({**wish, "next": here})
        return parts.link(href, label, style="dz-btn primary" if chosen else "dz-btn")

    who = me()
    names = {"en": "English", "ru": "Русский"}
    themes = {"Light": _("Light"), "Dark": _("Dark"), "System": _("As the system")}
    languages_html = " ".join(
        choice(names[code], chosen=code == current_language(), lang=code) for code in LANGUAGES
    )
    themes_html = " ".join(choice(label, chosen=False, theme=name) for name, label in themes.items())
    zone = _("Times are in {zone}.").format(zone=str(_zone()))
    theme_name, language_name = _("Theme"), _("Language")
    ways = " ".join(
        (
            parts.link("profile", _("Profile"), style="dz-btn"),
            parts.link("logout", _("Sign out"), style="dz-btn"),
        )
    )
    shown = who.display_name or who.username
    with (
        st.container(key="account"),
        st.popover(
            parts.markdown(words.shorten(shown, _LONGEST_NAME)),
            icon=":material/account_circle:",
            type="tertiary",
        ),
    ):
        st.html(
            f'<div class="dz"><b>{parts.text(shown)}</b>'
            f'<div class="cap">{parts.text(words.role_of(who.username, who.role))}</div><p>{ways}</p>'
            f"{_section_html(language_name, languages_html)}"
            f"{_section_html(theme_name, themes_html)}{_section_html(zone, '')}</div>"
        )


def _section_html(title: str, html: str) -> str:
    return f'<div class="cap">{parts.text(title)}</div><p>{html}</p>'
