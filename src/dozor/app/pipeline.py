"""bytes > parse > enrich > detect, composed once for reports, the live pipeline and workers elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path

import pyarrow as pa

from dozor.app.settings import Settings
from dozor.features.threats.adapters.hyperscan import HyperscanScanner
from dozor.features.threats.core.rules import load_rules
from dozor.features.threats.service import Detector
from dozor.features.traffic.core.enrich import Enricher
from dozor.features.traffic.core.formats import find_format
from dozor.features.traffic.ports import Annotate, Country
from dozor.features.traffic.service import Pipeline

AUTO = "auto"


def build_pipeline(settings: Settings, log_format: str | None = None) -> Pipeline:
    """The pipeline that the settings ask for.

    Args:
        settings: The program's settings.
        log_format: A format that the user named for this call; None takes the settings'.

    Raises:
        UsageError: The format or a rule cannot be used.
        JobError: The country database cannot be read.
    """
    wanted = log_format or settings.traffic.log_format
    country = open_country(settings.traffic.country_database)
    return Pipeline(
        enrich=Enricher(country, settings.traffic.trusted_proxies),
        annotate=_meanwhile(partial(build_detector, settings)),
        format=None if wanted == AUTO else find_format(wanted, settings.traffic.json_fields),
        json_fields=settings.traffic.json_fields,
    )


def _meanwhile(build: Callable[[], Detector]) -> Annotate:
    """Build the detector while logs are opened and read; who needs it first waits for it."""
    builder = ThreadPoolExecutor(1, "dozor-rules")
    # In the caller's context, so that an error speaks its language.
    detector = builder.submit(copy_context().run, build)
    builder.shutdown(wait=False)

    def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
        return detector.result().annotate(batch)

    return annotate


def build_detector(settings: Settings) -> Detector:
    """The detector with the rules that the settings leave in force."""
    rules = load_rules(settings.threats.extra_rules_dir, settings.threats.disabled_rules)
    return Detector(rules, partial(HyperscanScanner, cache_dir=cache_folder()))


def open_country(database: Path | None) -> Country:
    """The user's MaxMind database, or the table that comes with Dozor."""
    if database is not None:
        from dozor.features.traffic.adapters.country_mmdb import MmdbCountry

        return MmdbCountry(database)
    from dozor.features.traffic.adapters.country_iptocc import IptoccCountry

    return IptoccCountry()


def cache_folder() -> Path | None:
    """Where things go that can be made again (XDG base directory specification); None without a home.

    A container may run as a user that no file knows.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():
        return base / "dozor"
    try:
        return Path.home() / ".cache" / "dozor"
    except RuntimeError:
        return None
