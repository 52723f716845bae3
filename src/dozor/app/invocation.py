"""One call of the command: what its global options said, and the settings once they are needed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dozor.app.settings import Loaded, Settings
    from dozor.infra.logging import LogFormat

_VERBOSE = {0: None, 1: "info"}


@dataclass(frozen=True)
class Invocation:
    """What the words before the command's name said; None is not said.

    Args:
        lang: Language of texts.
        log_level: Least severity that is logged.
        log_format: `text` or `json`.
        config: YAML file with settings.
        verbose: How often `-v` was given.
    """

    lang: str | None = None
    log_level: str | None = None
    log_format: LogFormat | None = None
    config: Path | None = None
    verbose: int = 0
    fetched: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """What Vault and AWS gave: a call that reads settings again, as SIGHUP does, does not ask them again."""

    @cached_property
    def loaded(self) -> Loaded[Settings]:
        """The settings and their origins; reading them also sets up logging and language.

        Raises:
            SettingsError: A setting is of no use.
        """
        from dozor.infra.logging import configure
        from dozor.kernel.i18n import set_default_language

        loaded = self.read()
        configure(loaded.settings.log_level, loaded.settings.log_format)
        if loaded.settings.lang:
            set_default_language(loaded.settings.lang)
        return loaded

    def read(self) -> Loaded[Settings]:
        """The settings as they are at this moment, without any effect.

        Raises:
            SettingsError: A setting is of no use.
        """
        from dozor.app.settings import Settings, load

        return load(Settings, os.environ, config=self.config, fetched=self.fetched).overridden(
            {
                "lang": self.lang,
                "log_level": self.log_level or _VERBOSE.get(self.verbose, "debug"),
                "log_format": self.log_format,
            }
        )

    @property
    def settings(self) -> Settings:
        """The settings, read at first use."""
        return self.loaded.settings


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)
"""Gives a command its `Invocation` as first argument."""
