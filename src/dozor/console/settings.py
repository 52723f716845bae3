"""What the console was built with. Streamlit runs its script anew for every visit, so it is kept here."""

from __future__ import annotations

from dataclasses import dataclass

LANGUAGE_COOKIE = "dozor_lang"


@dataclass(slots=True)
class Settings:
    """Set once by `serve.Console`, read by the script.

    Args:
        api_url: Address of the REST API, without `/api`.
        language: What to speak to a browser that asks for no language of ours.
    """

    api_url: str = "http://127.0.0.1:5000"
    language: str = "en"


settings = Settings()
