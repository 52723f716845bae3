"""What can be set about attack signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from dozor.kernel.i18n import N_


class ThreatsSettings(BaseModel):
    """Settings of the feature threats: which rules run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    extra_rules_dir: Annotated[
        Path | None,
        Field(description=N_("Folder with rule files of your own, read beside the built-in ones.")),
    ] = None
    disabled_rules: Annotated[list[str], Field(description=N_("Ids of the rules that shall not run."))] = []
