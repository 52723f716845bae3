"""What the console shows when one of its pages fails: an id, and nothing of what went wrong."""

from __future__ import annotations

import logging
import re

import pytest
from streamlit.testing.v1 import AppTest

HIDDEN = (
    "hunter2hunter2",
    "123456789:AAFakeFakeFakeFakeFakeFakeFakeFakeFak",
    "postgresql://dozor:s3cret@db/x",
)


def _failing_page() -> None:
    from dozor.console.failure import show_failure  # noqa: PLC0415 - Streamlit runs this text by itself

    told = (
        "password=hunter2hunter2 bot 123456789:AAFakeFakeFakeFakeFakeFakeFakeFakeFak "
        "postgresql://dozor:s3cret@db/x"
    )
    show_failure(RuntimeError(told))


def test_a_page_that_fails_shows_an_id_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="dozor.console.failure"):
        page = AppTest.from_function(_failing_page).run(timeout=30)
    shown = " ".join(element.proto.body for element in page.get("html"))
    assert "This page could not be shown." in shown
    assert not any(secret in shown for secret in HIDDEN)
    (record,) = [record for record in caplog.records if record.name == "dozor.console.failure"]
    found = re.search(r"id ([0-9a-f]{8})", shown)
    assert found is not None
    assert found[1] == record.id  # type: ignore[attr-defined]
