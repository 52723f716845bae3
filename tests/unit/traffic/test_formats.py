"""Formats are compiled from the strings that people have in their servers' configuration."""

import pytest

from dozor.features.traffic.core.formats import FORMAT_STRINGS, Kind, compile_format, find_format, json_format
from dozor.kernel.errors import UsageError

_TAIL = '$remote_addr [$time_local] "$request" $status'


def test_known_formats_have_their_variables() -> None:
    assert find_format("combined").variables == (
        "remote_addr",
        "remote_user",
        "time_local",
        "request",
        "status",
        "body_bytes_sent",
        "http_referer",
        "http_user_agent",
    )


@pytest.mark.parametrize("name", FORMAT_STRINGS)
def test_every_known_format_compiles(name: str) -> None:
    assert find_format(name).kind is Kind.TEXT


def test_braces_around_a_variable_are_understood() -> None:
    assert compile_format('${remote_addr}_x [$time_local] "$request" $status').variables[0] == "remote_addr"


def test_an_apache_string_becomes_the_same_format() -> None:
    apache = find_format('%h %l %u %t \\"%r\\" %>s %b \\"%{Referer}i\\" \\"%{User-Agent}i\\"')
    assert apache.tokens == find_format("combined").tokens


def test_an_unknown_apache_directive_is_carried_along() -> None:
    assert find_format('%h %t "%r" %>s %{X-Trace}o').variables[-1] == "other_o_X_Trace"


def test_json_keys_can_be_renamed() -> None:
    assert json_format({"ip": "$remote_addr"}).keys["ip"] == "remote_addr"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("combind", "Did you mean 'combined'?"),
        ("nonsense", "Use one of"),
        ('[$time_local] "$request" $status', "$remote_addr"),
        ('$remote_addr "$request" $status', "$time_iso8601 or $time_local or $msec"),
        ('$remote_addr [$time_local] "$request"', "$status"),
        ("$remote_addr [$time_local] $status", "$request or $request_uri"),
        (_TAIL.replace(" [", "["[:0]), "nothing between"),
    ],
)
def test_a_format_that_cannot_work_says_why_and_what_to_do(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_format(text)
    assert words in str(caught.value)


def test_a_json_field_must_name_a_known_variable() -> None:
    with pytest.raises(UsageError, match="remote_adr"):
        json_format({"ip": "remote_adr"})


def test_a_directive_may_be_pasted_whole() -> None:
    directive = """log_format main escape=default '$remote_addr - $remote_user [$time_local] "$request" '
        '$status $body_bytes_sent "$http_referer" "$http_user_agent"';"""
    assert compile_format(FORMAT_STRINGS["combined"]).tokens == find_format(directive).tokens


def test_a_format_that_writes_json_names_its_keys() -> None:
    directive = """log_format json escape=json '{"ip":"$remote_addr", "code": $status,'
        '"when":"$time_iso8601","req":"${request}","tls":"$ssl_protocol"}';"""
    format_ = find_format(directive)
    assert format_.kind is Kind.JSON
    keys = {key: format_.keys[key] for key in ("ip", "code", "when", "req")}
    assert keys == {"ip": "remote_addr", "code": "status", "when": "time_iso8601", "req": "request"}
    assert "tls" not in format_.keys
