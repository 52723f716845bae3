"""The web console: Streamlit pages over the REST API, served by the same application and port.

    door/           the pages in front of it: sign in, set up, sign out
    serve.py        the ASGI application: Streamlit behind a strict policy, its page in the reader's language
    script/main.py  what Streamlit runs for every visit: frame, then page
    frame.py        navigation, filter bar, live chip, account
    scope.py        range and filters, as the URL says them
    data.py         questions to the API, several at once; the last good answers
    parts.py        HTML parts: every text escaped
    charts.py       Vega-Lite descriptions of charts
    theme.py        colours, Streamlit's options, style sheet
    words.py        names, numbers, moments in the reader's language
    pages/          one module per page

It imports `dozor.client` and `dozor.kernel` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dozor.console.serve import Console

__all__ = ["build_app"]


def build_app(api_url: str, *, language: str = "en", forward_secret: str = "") -> Console:
    """The console as an ASGI application, to be mounted last, since it answers every path.

    Streamlit holds its set-up and its script once per process: build one.

    Args:
        api_url: Address of the REST API, without `/api`: the own port over loopback.
        language: What to speak to a browser that asks for no language of ours.
        forward_secret: Proves to the API that a call comes from this console, which then says for whom.
    """
    # Streamlit costs 90 MB and half a second; who asks for the command's help shall not pay.
    from dozor.console.serve import Console  # noqa: PLC0415

    return Console(api_url, language=language, forward_secret=forward_secret)
