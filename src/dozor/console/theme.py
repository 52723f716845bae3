"""The look: colours of both themes, Streamlit's options and the CSS variables made of them.

A colour is a claim: accent is normal traffic, the four of severity are severity. Contrasts on the page were
measured: 4.5 and more for text. `light-dark()` follows the theme that is shown, chosen or the system's.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SANS = "Inter"
MONO = "JetBrains Mono"

_LATIN = (
    "U+0000-00FF,U+0131,U+0152-0153,U+02BB-02BC,U+02C6,U+02DA,U+02DC,U+0304,U+0308,U+0329,U+2000-206F,"
    "U+20AC,U+2122,U+2191,U+2193,U+2212,U+2215,U+FEFF,U+FFFD"
)
_CYRILLIC = "U+0301,U+0400-045F,U+0490-0491,U+04B0-04B1,U+2116"


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of one theme, as `#RRGGBB`.

    Args:
        map: Requests on the map from few to many.
        map_errors: Error rate on the map from low to high.
    """

    bg: str
    raised: str
    line: str
    grid: str
    land: str
    text: str
    muted: str
    accent: str
    ok: str
    warn: str
    high: str
    critical: str
    info: str
    bots: str
    on_primary: str
    map: tuple[str, ...]
    map_errors: tuple[str, ...]


LIGHT = Theme(
    bg="#FFFFFF",
    raised="#F4F6F8",
    line="#D8DEE6",
    grid="#E3E8EE",
    land="#E4E9EE",
    text="#17202A",
    muted="#5A6675",
    accent="#0B6E7A",
    ok="#1A7F4B",
    warn="#8A6100",
    high="#B64A00",
    critical="#C4232B",
    info="#2563C9",
    bots="#7A4FCF",
    on_primary="#FFFFFF",
    map=("#C6E2E6", "#57A3AD", "#0B6E7A", "#04343B"),
    map_errors=("#FBE3CF", "#F0A366", "#B64A00", "#632800"),
)
DARK = Theme(
    bg="#12171D",
    raised="#1A2129",
    line="#2B343F",
    grid="#232B34",
    land="#232B34",
    text="#E6EAF0",
    muted="#98A4B3",
    accent="#4FC3CF",
    ok="#4ECB86",
    warn="#E3B341",
    high="#F0883E",
    critical="#FF7B78",
    info="#79B2FF",
    bots="#B79CFF",
    on_primary="#0A1A1D",
    map=("#1E4249", "#2E7C86", "#4FC3CF", "#C4F3F7"),
    map_errors=("#43301F", "#8F5424", "#F0883E", "#FFD9B8"),
)


def theme(kind: str | None) -> Theme:
    """The theme of that kind, `light` or `dark`; the light one while it is not known."""
    return DARK if kind == "dark" else LIGHT


def streamlit_options() -> dict[str, Any]:
    """Streamlit's set-up: nothing leaves the machine, nothing reloads, both themes are ours."""
    options: dict[str, Any] = {
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.toolbarMode": "minimal",
        # Without it a full garbage collection of 90-130 ms follows every script run and stalls ingest.
        "runner.postScriptGC": False,
        "runner.magicEnabled": False,
        "client.showSidebarNavigation": False,
        "server.fileWatcherType": "none",
        "server.headless": True,
        "theme.font": f"{SANS}, system-ui, sans-serif",
        "theme.codeFont": f"{MONO}, ui-monospace, monospace",
        "theme.fontFaces": _font_faces(),
        "theme.baseFontSize": 14,
        "theme.codeFontSize": "0.9rem",
        "theme.headingFontSizes": ["21px", "17px", "15px", "14px", "14px", "14px"],
        "theme.headingFontWeights": [600, 600, 600, 600, 600, 600],
        "theme.baseRadius": "6px",
        "theme.paddingTop": "0.5rem",
        "theme.paddingBottom": "2rem",
        "theme.showWidgetBorder": True,
        "theme.linkUnderline": False,
    }
    for name, colours in (("light", LIGHT), ("dark", DARK)):
        options |= {f"theme.{name}.{key}": value for key, value in _palette(colours).items()}
    return options


def _font_faces() -> list[dict[str, str]]:
    files = (("inter", SANS, "100 900"), ("jetbrains-mono", MONO, "100 800"))
    return [
        {
            "family": family,
            "url": f"app/static/{file}-{subset}.woff2",
            "weight": weight,
            "style": "normal",
            "unicodeRange": characters,
        }
        for file, family, weight in files
        for subset, characters in (("latin", _LATIN), ("cyrillic", _CYRILLIC))
    ]


def font_faces_css() -> str:
    """The fonts for a page of ours, their files beside its style sheet."""
    return "".join(
        f"@font-face{{font-family:'{face['family']}';font-style:normal;font-display:swap;"
        f"src:url({face['url'].rpartition('/')[2]}) format('woff2');"
        f"font-weight:{face['weight']};unicode-range:{face['unicodeRange']}}}\n"
        for face in _font_faces()
    )


def _palette(colours: Theme) -> dict[str, Any]:
    palette: dict[str, Any] = {
        "primaryColor": colours.accent,
        "backgroundColor": colours.bg,
        "secondaryBackgroundColor": colours.raised,
        "textColor": colours.text,
        "linkColor": colours.accent,
        "borderColor": colours.line,
        "dataframeBorderColor": colours.line,
        "dataframeHeaderBackgroundColor": colours.raised,
        "dataframeHeaderTextColor": colours.muted,
        "codeBackgroundColor": colours.raised,
        "codeTextColor": colours.text,
        "chartCategoricalColors": [
            colours.accent,
            colours.warn,
            colours.high,
            colours.critical,
            colours.info,
            colours.bots,
        ],
    }
    named = {
        "red": colours.critical,
        "orange": colours.high,
        "yellow": colours.warn,
        "green": colours.ok,
        "blue": colours.info,
        "violet": colours.bots,
        "gray": colours.muted,
    }
    for colour, value in named.items():
        palette[f"{colour}Color"] = value
        palette[f"{colour}TextColor"] = value
    return palette


def style_tokens() -> str:
    """The colours as CSS variables `--dz-…`, for the rules of `static/console.css`."""
    light, dark = asdict(LIGHT), asdict(DARK)
    tokens = "".join(
        f"--dz-{name.replace('_', '-')}:light-dark({value},{dark[name]});"
        for name, value in light.items()
        if isinstance(value, str)
    )
    return f":root{{{tokens}}}\n"
