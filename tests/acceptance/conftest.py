"""Browsers for tests that look at the console."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.acceptance.visiting import Visit, chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def visits() -> Iterator[list[Visit]]:
    """Visits of a test; none of them may have asked for anything foreign, nor complained."""
    opened: list[Visit] = []
    yield opened
    for visit in opened:
        visit.context.close()
    assert [url for visit in opened for url in visit.foreign] == []
    assert [text for visit in opened for text in visit.complaints] == []
