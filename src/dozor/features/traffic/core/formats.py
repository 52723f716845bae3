"""Log formats: nginx `log_format` strings and Apache's, compiled once to a plan for parsing.

A text format is literals and variables in turn. The plan knows two ways to cut a line: by the places
of its quotes (quick, `core/cut.py`) and by a regular expression (any line, `Format.patterns`).
Source: https://nginx.org/en/docs/http/ngx_http_log_module.html and Apache's mod_log_config.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum

from dozor.kernel.errors import UsageError
from dozor.kernel.i18n import _


class Kind(StrEnum):
    """How the lines of a format are written."""

    TEXT = "text"
    JSON = "json"
    ERROR_LOG = "error_log"


@dataclass(frozen=True, slots=True)
class Variable:
    """A value of the line, by nginx's name for it without `$`."""

    name: str


Token = str | Variable


@dataclass(frozen=True, slots=True)
class Format:
    """A compiled log format.

    Args:
        name: `combined`, `json`, ..., or `custom` for a user's own string.
        kind: Text or JSON lines.
        tokens: Literals (non-empty) and variables in turn; empty for JSON.
        patterns: Regular expressions (Rust syntax, groups named by `group_name`), the strict one first.
        keys: JSON key to nginx variable; empty for text.
    """

    name: str
    kind: Kind
    tokens: tuple[Token, ...] = ()
    patterns: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> tuple[str, ...]:
        """The nginx variables that a line of this format holds, in order."""
        if self.kind is Kind.JSON:
            return tuple(dict.fromkeys(self.keys.values()))
        return tuple(token.name for token in self.tokens if isinstance(token, Variable))


FORMAT_STRINGS: Mapping[str, str] = {
    "combined": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent"',
    "main": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    '"$http_user_agent" "$http_x_forwarded_for" rt=$request_time ut="$upstream_response_time"',
    "forwarded": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent" "$http_x_forwarded_for"',
    "common": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent',
    "vhost_combined": '$host $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent"',
}
"""Formats known by name. `combined` and `common` are Apache's too; `forwarded` is nginx's packaged `main`."""

ERROR_LOG = Format("nginx-error", Kind.ERROR_LOG)
"""nginx's error log: no requests, but messages; see `core/errorlog.py`."""

JSON_VARIABLES = (
    "remote_addr",
    "remote_user",
    "time_iso8601",
    "time_local",
    "msec",
    "request",
    "request_method",
    "request_uri",
    "server_protocol",
    "status",
    "body_bytes_sent",
    "bytes_sent",
    "http_referer",
    "http_user_agent",
    "http_x_forwarded_for",
    "request_time",
    "upstream_response_time",
    "host",
    "http_host",
    "server_name",
)
"""Variables that a record is made from; a JSON log uses them as keys by default."""

_TIMES = ("time_iso8601", "time_local", "msec")
_TARGETS = ("request", "request_uri")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_TIME_LOCAL = r"\d{2}/[A-Za-z]{3}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}"
_PATTERNS: Mapping[str, str] = {
    "remote_addr": r"\S+",
    "time_local": _TIME_LOCAL,
    "time_iso8601": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?",
    "msec": r"\d+(?:\.\d+)?",
    "status": r"\d{3}",
    "body_bytes_sent": r"\d+|-",
    "bytes_sent": r"\d+|-",
    "request_time": r"[\d.]+|-",
    "upstream_response_time": r"[\d.,: -]*",
    "host": r"\S*",
    "request_method": r"\S*",
    "server_protocol": r"\S*",
}
_DIRECTIVE = re.compile(r"""\s*log_format\s+\S+\s+(?:escape=\w+\s+)?((?:'[^']*'|"[^"]*"|\s)+);?\s*""")
_JSON_PAIR = re.compile(r'"([^"]+)"\s*:\s*"?\$\{?(\w+)')
_QUOTED_PART = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_QUOTED = r'(?:[^"\\]|\\.)*'
_APACHE = {
    "%h": "$remote_addr",
    "%a": "$remote_addr",
    "%l": "-",
    "%u": "$remote_user",
    "%t": "[$time_local]",
    "%r": "$request",
    "%s": "$status",
    "%>s": "$status",
    "%b": "$body_bytes_sent",
    "%B": "$body_bytes_sent",
    "%O": "$bytes_sent",
    "%v": "$host",
    "%V": "$host",
    "%v:%p": "$host",
    "%T": "$request_time",
    "%m": "$request_method",
    "%U%q": "$request_uri",
    "%H": "$server_protocol",
    "%{Referer}i": "$http_referer",
    "%{User-Agent}i": "$http_user_agent",
    "%{User-agent}i": "$http_user_agent",
    "%{X-Forwarded-For}i": "$http_x_forwarded_for",
    "%{Host}i": "$http_host",
    "%%": "%",
}
_APACHE_DIRECTIVE = re.compile("|".join(re.escape(key) for key in sorted(_APACHE, key=len, reverse=True)))


def group_name(index: int) -> str:
    """Name of the regular expression's group for the variable at this place among the variables."""
    return f"v{index}"


def find_format(text: str, json_fields: Mapping[str, str] | None = None) -> Format:
    """The format that a user means: a known name, `json`, or a log_format / LogFormat string.

    Args:
        text: A name of `FORMAT_STRINGS`, `json`, or a format string with `$variables` or `%directives`.
        json_fields: Further JSON keys, key of the log to nginx variable (`{"ip": "remote_addr"}`).

    Raises:
        UsageError: The name is unknown or the string cannot make a record.
    """
    if text == "json":
        return json_format(json_fields)
    if text == ERROR_LOG.name:
        return ERROR_LOG
    if text in FORMAT_STRINGS:
        return compile_format(FORMAT_STRINGS[text], name=text)
    if "$" in text:
        written = _without_directive(text)
        if written.lstrip().startswith("{"):
            return json_format(_json_keys(written) | dict(json_fields or {}))
        return compile_format(written)
    if "%" in text:
        return compile_format(_from_apache(text))
    known = [*FORMAT_STRINGS, "json", ERROR_LOG.name, "auto"]
    near = get_close_matches(text, known, 1)
    raise UsageError(
        _("Log format '{text}' is not known.").format(text=text),
        hint=_("Did you mean '{near}'?").format(near=near[0])
        if near
        else _("Use one of {names}, or an nginx log_format string.").format(names=", ".join(known)),
    )


def json_format(json_fields: Mapping[str, str] | None = None) -> Format:
    """JSON lines with nginx's variable names as keys, and with further keys if given.

    Raises:
        UsageError: A key is mapped to a variable that a record is not made from.
    """
    keys = {name: name for name in JSON_VARIABLES}
    for key, variable in (json_fields or {}).items():
        name = variable.removeprefix("$")
        if name not in JSON_VARIABLES:
            raise UsageError(
                _("JSON field '{key}' is mapped to '{variable}', which is not known.").format(
                    key=key, variable=variable
                ),
                hint=_("Use one of {names}.").format(names=", ".join(JSON_VARIABLES)),
            )
        keys[key] = name
    return Format("json", Kind.JSON, keys=keys)


def compile_format(text: str, name: str = "custom") -> Format:
    """Compile an nginx log_format string.

    Raises:
        UsageError: No time, address, status or request in it, or two variables that nothing divides.
    """
    tokens = _tokens(text)
    format_ = Format(name, Kind.TEXT, tokens, _patterns(tokens))
    _require_record(text, format_.variables)
    return format_


def _tokens(text: str) -> tuple[Token, ...]:
    """Literals and variables in turn; of a variable that stands there twice the first counts."""
    tokens: list[Token] = []
    seen: set[str] = set()
    place = 0
    for match in _VARIABLE.finditer(text):
        if literal := text[place : match.start()]:
            tokens.append(literal)
        elif tokens:
            raise UsageError(
                _("Log format '{text}' has nothing between two variables at {place}.").format(
                    text=text, place=match.group()
                ),
                hint=_("Put a space or another sign between them."),
            )
        name = match.group(1) or match.group(2)
        tokens.append(Variable(f"{name} {match.start()}" if name in seen else name))
        seen.add(name)
        place = match.end()
    if text[place:]:
        tokens.append(text[place:])
    return tuple(tokens)


def _without_directive(text: str) -> str:
    """The format itself of a whole `log_format NAME '...' '...';`, pasted from a configuration."""
    match = _DIRECTIVE.fullmatch(text)
    if match is None:
        return text
    return "".join(single or double for single, double in _QUOTED_PART.findall(match[1]))


def _json_keys(text: str) -> dict[str, str]:
    """Keys of a format that writes JSON itself, `{"ip":"$remote_addr","status":$status}`."""
    return {key: name for key, name in _JSON_PAIR.findall(text) if name in JSON_VARIABLES}


def _from_apache(text: str) -> str:
    plain = text.replace('\\"', '"')
    translated = _APACHE_DIRECTIVE.sub(lambda match: _APACHE[match.group()], plain)
    translated = re.sub(r"%[<>]?(?:\{([\w-]+)\})?(\w)", r"${other_\2_\1}", translated)
    return re.sub(
        r"\{other_([^}]*)\}", lambda match: "{other_" + re.sub(r"\W", "_", match[1]) + "}", translated
    )


def _require_record(text: str, variables: tuple[str, ...]) -> None:
    for choices in (_TIMES, ("remote_addr",), ("status",), _TARGETS):
        if not any(name in variables for name in choices):
            raise UsageError(
                _("Log format '{text}' has no {names}, so no request can be made of its lines.").format(
                    text=text, names=_(" or ").join(f"${name}" for name in choices)
                ),
                hint=_("Add it to the format, or name a known one: {names}.").format(
                    names=", ".join(FORMAT_STRINGS)
                ),
            )


def _patterns(tokens: tuple[Token, ...]) -> tuple[str, ...]:
    """A strict expression, then one that lets the request hold anything, quotes too."""
    return _pattern(tokens, _QUOTED), _pattern(tokens, ".*?")


def _pattern(tokens: tuple[Token, ...], request: str) -> str:
    parts = ["(?s)^"]
    index = 0
    for place, token in enumerate(tokens):
        if isinstance(token, str):
            parts.append(re.escape(token))
            continue
        before = tokens[place - 1] if place else ""
        quoted = isinstance(before, str) and before.endswith('"')
        plain = _QUOTED if quoted else ".*?"
        value = request if token.name == "request" and quoted else _PATTERNS.get(token.name, plain)
        parts.append(f"(?P<{group_name(index)}>{value})")
        index += 1
    return "".join([*parts, r"\s*$"])
