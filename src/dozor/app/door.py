"""Puts the guard of the application together with people, keys and limits."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from dozor.app.settings import Settings
from dozor.features.access.api import ENTRANCES, Export
from dozor.features.access.core.lines import as_csv, as_json, csv_header
from dozor.features.access.model import Event, NotAuthenticatedError, Origin, Principal
from dozor.features.access.service import Access
from dozor.features.access.service.ledger import entry_by
from dozor.infra.cache import shared_url
from dozor.infra.callers import Caller, Callers
from dozor.infra.guard import Refusal, Rules
from dozor.infra.limits import Counters, Limits
from dozor.infra.metrics import Figure
from dozor.kernel.finding import Finding, Severity

if TYPE_CHECKING:
    from dozor.infra.keys import KeyRing

EXPORTS: Mapping[str, Export] = {
    "jsonl": Export("application/jsonl", lambda record: as_json(record) + "\n"),
    "csv": Export("text/csv", as_csv, csv_header()),
}
"""Forms in which the audit trail is handed out."""

_LEVELS = {Severity.INFO: logging.INFO, Severity.LOW: logging.INFO}

_log = logging.getLogger(__name__)


class Keeper:
    """Knows people by the services of access (`infra.guard.Doorkeeper`).

    Args:
        access: The services.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def bearer(self, token: str) -> Principal | None:
        """Whose access token or API key it is; None when it is none that is good."""
        try:
            return await self._access.signin.authenticate(token)
        except NotAuthenticatedError:
            return None

    async def console(self, cookie: str) -> Principal | None:
        """Whose console session it is; None when it is none that is good."""
        try:
            return await self._access.signin.authenticate_console(cookie)
        except NotAuthenticatedError:
            return None

    async def admits(self, caller: Caller) -> bool:
        """Whether this caller's address may sign in and use the console.

        The list always admits this machine itself, but not what an unknown proxy on it hands on.
        """
        return await self._access.allow_list.admits(caller.address if caller.is_certain else "")

    async def refused(self, why: Refusal, caller: Caller, action: str, permission: str = "") -> None:
        """Record a refusal."""
        origin = Origin(caller.address, caller.agent)
        who = caller.principal if isinstance(caller.principal, Principal) else None
        if why == "limit":
            await self._access.limited(origin, action, who)
            return
        details = {"permission": permission} if permission else {}
        await self._access.ledger.refused(
            entry_by(who, origin, Event.PERMISSION_DENIED, action, result="refused", reason=why, **details)
        )


class PageTokens:
    """Tokens that pages send with what they change: the session's id and its signature.

    Args:
        keys: Signs and checks.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def issue(self, session_id: str) -> str:
        """The token of a session."""
        return f"{session_id}.{self._keys.sign('csrf', session_id)}"

    def holds(self, session_id: str, token: str) -> bool:
        """Tell whether it is the session's token."""
        return token.partition(".")[0] == session_id and self.genuine(token)

    def genuine(self, token: str) -> bool:
        """Tell whether it is a token of ours, of whichever session."""
        session_id, dot, signature = token.partition(".")
        return bool(dot and token.isascii()) and self._keys.check("csrf", session_id, signature)


class FindingLog:
    """A `kernel.finding.Publisher` that logs findings and counts them; bans and alerts come later."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, ...]] = Counter()

    def publish(self, finding: Finding) -> None:
        """Log one finding."""
        self._counts[finding.kind, finding.severity.name.lower()] += 1
        subject = finding.subject
        _log.log(
            _LEVELS.get(finding.severity, logging.WARNING),
            "Finding %s about %s %s: %d signals.",
            finding.kind,
            subject.kind.value,
            subject.name,
            finding.count,
            extra={
                "finding": finding.kind,
                "severity": finding.severity.name.lower(),
                "subject": f"{subject.kind.value} {subject.name}",
                "score": finding.score,
                "fingerprint": finding.fingerprint,
            },
        )

    def figures(self) -> Iterable[Figure]:
        """How many there were, by kind and severity."""
        yield Figure(
            "dozor_findings",
            "Findings about this process' own door.",
            "counter",
            dict(self._counts),
            ("kind", "severity"),
        )


def build_counters(settings: Settings, name: str) -> Counters:
    """Where something is counted; failed logins apart from calls, whose flood must not push them out.

    Raises:
        SettingsError: REDIS_URL is no address of a Valkey.
    """
    url = settings.cache.url
    address = shared_url(url.get_secret_value()) if url else ""
    return Counters(address, prefix=settings.cache.key_prefix + name)


def build_rules(
    settings: Settings,
    access: Access,
    pages: PageTokens,
    *,
    calls: Counters | None = None,
    console_secret: str = "",
    is_door: Callable[[str], bool] = lambda _path: False,
) -> Rules:
    """What the guard goes by.

    Args:
        settings: The program's.
        access: The services of access.
        pages: Tokens of pages.
        calls: Where calls are counted; in this process by default.
        console_secret: What the console of this process names itself by.
        is_door: Whether a path belongs to the pages before the console.
    """
    return Rules(
        keeper=Keeper(access),
        limits=Limits(settings.limits, calls or Counters()),
        callers=Callers(settings.door.trusted_proxies, console_secret),
        csrf=pages,
        is_door=is_door,
        metrics_networks=settings.access.metrics_networks,
        entrances=ENTRANCES,
    )


def host_names(settings: Settings) -> Sequence[str]:
    """Names, beside those of loopback, by which this process may be asked."""
    names = list(settings.door.host_names)
    if settings.host not in {"0.0.0.0", "::"}:  # noqa: S104 - what is not served on by a name of its own
        names.append(settings.host)
    return names


async def first_link(access: Access, base: str) -> str:
    """The set-up link while there is no owner, new at each start; empty when there is one.

    Args:
        access: The services.
        base: Where the console is.
    """
    await access.setup.adopt()
    token = await access.setup.new_token()
    return f"{base}/setup#{token}" if token else ""


class StateCheck:
    """Tells whether the state answers, for `/ready`.

    Args:
        access: The services upon it.
        patience: Seconds that it may take.
    """

    def __init__(self, access: Access, patience: float = 3.0) -> None:
        self._access = access
        self._patience = patience

    async def reason(self) -> str:
        """Why it does not; empty when it does."""
        from dozor.kernel.errors import DozorError
        from dozor.kernel.i18n import _

        try:
            await asyncio.wait_for(self._access.setup.is_needed(), self._patience)
        except TimeoutError:
            return _("The state database does not answer.")
        except DozorError as error:
            return str(error)
        return ""
