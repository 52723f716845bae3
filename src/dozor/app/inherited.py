"""Variables of the earlier Telegram Bot Manager's `production.env` that mean nothing to `dozor up`, and why.

Someone who brings that file along shall not wonder why a line of it does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dozor.kernel.i18n import N_, _

WITHOUT_EFFECT: Mapping[str, str] = {
    "WORKERS": N_("one process serves all; DOZOR_TRAFFIC__WORKERS sets its threads"),
    "WORKER_CONNECTIONS": N_("connections are not limited by number"),
    "METRICS_ENABLED": N_("figures are always served at /metrics"),
    "METRICS_PORT": N_("figures are served at /metrics on PORT"),
    "HEALTH_CHECK_INTERVAL": N_("/health and /ready answer at each call"),
    "JWT_EXPIRE_HOURS": N_("an access token lives JWT_ACCESS_TOKEN_EXPIRES seconds, an hour at the most"),
    "JWT_SECRET_KEY": N_("tokens are signed with a key made of SECRET_KEY"),
    "CACHE_DEFAULT_TIMEOUT": N_("what is kept there has a life of its own"),
}

_MARKS = ("WORKER_CONNECTIONS", "METRICS_PORT", "HEALTH_CHECK_INTERVAL")
"""Names that hardly anything else uses: only beside one of them is WORKERS taken for that file's."""


def without_effect(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each such variable that is set."""
    if not any(environ.get(name) for name in _MARKS):
        return
    for name, why in WITHOUT_EFFECT.items():
        if environ.get(name):
            yield _("{name} has no effect: {why}.").format(name=name, why=_(why))
