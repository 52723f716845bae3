from __future__ import annotations

from dozor.app.inherited import without_effect


def test_a_variable_of_the_earlier_manager_is_explained() -> None:
    told = list(without_effect({"WORKERS": "4", "METRICS_PORT": "9090", "PORT": "5000"}))
    assert told == [
        "WORKERS has no effect: one process serves all; DOZOR_TRAFFIC__WORKERS sets its threads.",
        "METRICS_PORT has no effect: figures are served at /metrics on PORT.",
    ]


def test_a_common_name_alone_is_somebody_else_s() -> None:
    assert list(without_effect({"WORKERS": "4", "METRICS_ENABLED": "true", "METRICS_PORT": ""})) == []
