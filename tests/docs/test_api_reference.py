"""The page about the API says what works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dozor.infra import problems
from dozor.wire.problem import ProblemType
from tests.contract.traffic.served import FakeQueries, serve

PAGE = (Path(__file__).parents[2] / "docs/reference/api.md").read_text()


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with serve(FakeQueries()) as url:
        names: dict[str, object] = {}
        exec(example.replace("http://127.0.0.1:5000", url), names)  # noqa: S102 - our own page
    assert "DE 1" in capsys.readouterr().out
    assert getattr(names["table"], "num_rows", 0) == 3


def test_the_page_names_every_kind_of_problem_and_its_status() -> None:
    kinds = [kind for kind in vars(problems).values() if isinstance(kind, problems.Kind)]
    rows = set(re.findall(r"^\| (\d+) \| `([^`]+)` \|", PAGE, re.MULTILINE))
    assert rows == {(str(kind.status), kind.type) for kind in kinds}
    assert {kind.type for kind in kinds} | {"about:blank"} == set(ProblemType.__args__)  # type: ignore[attr-defined]
