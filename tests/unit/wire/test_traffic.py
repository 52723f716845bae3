from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from pydantic import AliasChoices, BaseModel, ValidationError

from dozor.columns.record import RECORD
from dozor.features.traffic import model
from dozor.features.traffic.adapters.json import to_json
from dozor.features.traffic.core.errorlog import ERROR_RECORD
from dozor.features.traffic.core.filters import filter_fields
from dozor.infra.queries import State
from dozor.wire import base, problem, queries, traffic
from tests.unit.traffic import summaries

MODELS = sorted(
    {
        kind
        for module in (problem, queries, traffic)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == module.__name__
    },
    key=lambda kind: kind.__name__,
)

PAIRS = [
    (traffic.TopRow, model.TopRow),
    (traffic.AttackRow, model.AttackRow),
    (traffic.Attacker, model.Attacker),
    (traffic.Bucket, model.Bucket),
    (traffic.Reject, model.Reject),
    (traffic.Source, model.Source),
    (traffic.ErrorRow, model.ErrorRow),
    (traffic.CountedRow, model.CountedRow),
    (traffic.TopList, model.TopList),
    (traffic.Series, model.Series),
    (traffic.Timeline, model.Timeline),
    (traffic.Finding, model.FindingRow),
    (traffic.ErrorGroup, model.ErrorGroup),
    (traffic.SourceStatus, model.SourceStatus),
    (traffic.Coverage, model.Coverage),
    (traffic.Change, model.Change),
    (traffic.Changes, model.Changes),
]


def read_names(kind: type[BaseModel]) -> set[str]:
    """Names of the attributes that the fields of a model are read from."""
    names = set()
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        names.add(str(alias.choices[-1]) if isinstance(alias, AliasChoices) else name)
    return names


@pytest.mark.parametrize("name", ["busy", "empty", "hostile", "one_line"])
def test_the_summary_is_the_object_of_the_report_key_for_key(name: str) -> None:
    summary = getattr(summaries, name)()
    told = traffic.Summary.model_validate(summary)
    assert json.loads(told.model_dump_json(exclude={"previous"})) == json.loads(to_json(summary))


def test_a_summary_that_was_read_says_the_same_again() -> None:
    sent = traffic.Summary.model_validate(summaries.busy()).model_dump_json()
    assert traffic.Summary.model_validate_json(sent).model_dump_json() == sent


@pytest.mark.parametrize(("wire", "words"), PAIRS, ids=lambda kind: kind.__name__)
def test_a_model_says_all_that_the_word_of_the_same_name_holds(wire: Any, words: Any) -> None:
    assert read_names(wire) == {field.name for field in fields(words)}


def test_a_line_has_the_fields_of_the_record() -> None:
    assert set(traffic.Line.model_fields) == {*RECORD.names, "id", "source"}
    assert set(traffic.ErrorLine.model_fields) == {*ERROR_RECORD.names, "source"}


def test_every_field_that_filters_know_is_a_parameter() -> None:
    assert set(traffic.FIELDS) == set(filter_fields())


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (traffic.DimensionName, model.Dimension),
        (traffic.MeasureName, model.Measure),
        (traffic.SplitName, model.Split),
        (queries.QueryState, State),
    ],
)
def test_the_words_of_the_wire_are_those_of_the_inside(names: Any, words: Any) -> None:
    assert list(get_args(names)) == [word.value for word in words]


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_every_model_and_field_says_what_it_means(kind: type[BaseModel]) -> None:
    assert kind.__doc__
    plain = {"items", "dimension", "referer", "user_agent"}  # say it by their names
    assert not [
        name for name, field in kind.model_fields.items() if not field.description and name not in plain
    ]


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_every_model_is_frozen(kind: type[BaseModel]) -> None:
    assert kind.model_config.get("frozen")


def test_the_examples_of_the_document_are_answers() -> None:
    examples = [
        (kind, example)
        for kind in MODELS
        for example in kind.model_json_schema(mode="serialization").get("examples", ())
    ]
    assert len(examples) >= 6
    for kind, example in examples:
        told = json.loads(kind.model_validate(example).model_dump_json())
        assert {name: told[name] for name in example} == example


def test_times_are_told_in_utc_to_the_second_or_to_the_millisecond() -> None:
    class Times(base.Wire):
        moment: base.Moment
        instant: base.Instant

    moscow = timezone(timedelta(hours=3))
    written = datetime(2026, 11, 22, 2, 0, 0, 123_456, moscow)
    assert json.loads(Times(moment=written, instant=written).model_dump_json()) == {
        "moment": "2026-11-21T23:00:00Z",
        "instant": "2026-11-21T23:00:00.123Z",
    }


def test_parameters_may_be_given_as_what_they_are() -> None:
    since = datetime(2026, 11, 22, 10, tzinfo=UTC)
    scope = traffic.Scope(since=since, status=404, attack=True, request_time=0.5)
    assert scope.model_dump(exclude_defaults=True) == {
        "since": "2026-11-22T10:00:00+00:00",
        "status": "404",
        "attack": "true",
        "request_time": "0.5",
    }


def test_a_parameter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="clinet"):
        traffic.Scope.model_validate({"clinet": "192.0.2.1"})


def test_a_client_skips_what_a_newer_server_adds() -> None:
    row = {"class": "sqli", "requests": 1, "clients": 1, "tomorrow": True}
    assert traffic.AttackRow.model_validate(row).attack_class == "sqli"
