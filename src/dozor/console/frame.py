"""The frame of every page: navigation, filter bar, live chip, account; and how a page is refreshed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from dozor.client import ApiError, Sources
from dozor.console import parts, words
from dozor.console.actions import GOTO, RELOAD, choose_stretch
from dozor.console.data import BLANK, call_off, client
from dozor.console.pages import anomalies, dynamics, errors, geography, lines, overview, top
from dozor.console.scope import RANGES, condition, merge, read_scope
from dozor.console.settings import LANGUAGE_COOKIE, settings
from dozor.console.theme import theme
from dozor.console.view import View
from dozor.kernel.i18n import LANGUAGES, _, current_language, format_duration, ngettext, use_language

REFRESH = 5
"""Seconds between two looks at a page whose range ends now."""

_LATE = timedelta(seconds=30)
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


def run() -> None:
    """Show the frame, then the page that the URL names."""
    st.session_state["dz_language"] = language = _language()
    use_language(language)
    st.set_page_config(page_title="Dozor", page_icon=str(_STATIC / "mark.svg"), layout="wide")
    st.logo(str(_STATIC / "logo.svg"), icon_image=str(_STATIC / "logo.svg"), size="large")
    pages = _pages()
    page = st.navigation(
        {
            "": [pages[""]],
            _("Traffic"): [one for name, one in pages.items() if name],
        },
        position="top",
    )
    _keep_in_url()
    _account(page.url_path)
    _bar(page.title)
    if (goto := st.session_state.pop(GOTO, None)) is not None:
        # Without parameters Streamlit refuses to leave an address that widgets are bound to.
        st.switch_page(pages[goto], query_params={})
    page.run()


def _pages() -> dict[str, Any]:
    return {
        "": st.Page(
            _shown("", overview.draw), title=_("Overview"), icon=":material/visibility:", default=True
        ),
        "dynamics": st.Page(
            _shown("dynamics", dynamics.draw),
            title=_("Dynamics"),
            icon=":material/show_chart:",
            url_path="dynamics",
        ),
        "geography": st.Page(
            _shown("geography", geography.draw),
            title=_("Geography"),
            icon=":material/public:",
            url_path="geography",
        ),
        "top": st.Page(
            _shown("top", top.draw),
            title=_("Top lists and statuses"),
            icon=":material/leaderboard:",
            url_path="top",
        ),
        "anomalies": st.Page(
            _shown("anomalies", anomalies.draw),
            title=_("Anomalies"),
            icon=":material/crisis_alert:",
            url_path="anomalies",
        ),
        "errors": st.Page(
            _shown("errors", errors.draw), title=_("Server errors"), icon=":material/dns:", url_path="errors"
        ),
        "lines": st.Page(
            _shown("lines", lines.draw), title=_("Lines"), icon=":material/notes:", url_path="lines"
        ),
    }


def _shown(name: str, draw: Callable[[View], None]) -> Callable[[], None]:
    """A page that is drawn again every few seconds while its range ends now, without the frame."""

    def page() -> None:
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
        draw(view())
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


def _keep_in_url() -> None:
    """Inputs that nobody sees bind what the URL holds, in words of no language."""
    with st.container(key="hidden"):
        for name in ("range", "from", "to"):
            st.text_input(name, key=name, bind="query-params", label_visibility="collapsed")


def _bar(title: str) -> None:
    scope = view().scope
    with st.container(horizontal=True, vertical_alignment="center", key="bar"):
        st.html(f'<div class="dz"><h1>{parts.text(title)}</h1></div>', width="content")
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
        _new_filter()
        _live()


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


def _live() -> None:
    moving = view().scope.moving
    paused = bool(st.session_state.get("dz_paused"))
    with st.container(horizontal=True, vertical_alignment="center", width="content", wrap=False, key="live"):
        st.fragment(_chip, run_every=REFRESH if moving and not paused else None, key="chip")()
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


def _chip_html(look: View) -> str:
    if not look.scope.moving:
        return parts.chip(_("fixed range"), "")
    if st.session_state.get("dz_paused"):
        return parts.chip(_("paused"), "")
    try:
        sources = client().traffic.sources()
        last = client().traffic.coverage().last
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
    """Language and theme: both are kept in the browser and need the page to be loaded anew."""
    scope = view().scope
    here = scope.href(page)

    def choice(label: str, *, chosen: bool, **wish: str) -> str:
        href = "preferences?" + urlencode({**wish, "next": here})
        return parts.link(href, label, style="dz-btn primary" if chosen else "dz-btn")

    names = {"en": "English", "ru": "Русский"}
    themes = {"Light": _("Light"), "Dark": _("Dark"), "System": _("As the system")}
    languages_html = " ".join(
        choice(names[code], chosen=code == current_language(), lang=code) for code in LANGUAGES
    )
    themes_html = " ".join(choice(label, chosen=False, theme=name) for name, label in themes.items())
    zone = _("Times are in {zone}.").format(zone=str(_zone()))
    theme_name, language_name = _("Theme"), _("Language")
    with (
        st.container(key="account"),
        st.popover(current_language().upper(), icon=":material/account_circle:", type="tertiary"),
    ):
        st.html(
            f'<div class="dz">{_section_html(language_name, languages_html)}'
            f"{_section_html(theme_name, themes_html)}{_section_html(zone, '')}</div>"
        )


def _section_html(title: str, html: str) -> str:
    return f'<div class="cap">{parts.text(title)}</div><p>{html}</p>'
