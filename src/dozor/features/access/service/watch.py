"""Watches our own door: guessing of passwords, abuse of limits and stolen tokens become findings.

Bounded in memory: the addresses seen last are remembered, older ones forgotten.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dozor.features.access.core.subjects import account_key, address_group
from dozor.features.access.service.ledger import Clock
from dozor.kernel.finding import Evidence, Finding, Publisher, Severity, Subject, SubjectKind

BRUTE_FORCE = "access.brute_force"
RATE_ABUSE = "access.rate_abuse"
TOKEN_REUSE = "access.token_reuse"  # noqa: S105 - a name

GUESSES = 5
"""Failed sign-ins of one address within an hour that are guessing, as in the earlier systems."""

_GUESS_SPAN = timedelta(hours=1)
_REFUSAL_SPAN = timedelta(minutes=1)
_MOST_ADDRESSES = 10_000
_MOST_ACCOUNTS = 20
_SEVERAL = 3


@dataclass
class _Client:
    """What one address did lately."""

    failures: deque[datetime] = field(default_factory=lambda: deque(maxlen=1000))
    accounts: OrderedDict[str, None] = field(default_factory=OrderedDict)
    refusals: deque[datetime] = field(default_factory=lambda: deque(maxlen=1000))
    told: dict[str, datetime] = field(default_factory=dict)


class DoorWatch:
    """Tells what the signals at the door amount to.

    Args:
        publisher: Takes the findings; None for nobody.
        abuse: Refused calls within a minute that are abuse.
        clock: Tells the time.
    """

    def __init__(self, publisher: Publisher | None, abuse: int, clock: Clock) -> None:
        self._publisher = publisher
        self._abuse = abuse
        self._clock = clock
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    def failed(self, address: str, username: str) -> None:
        """A sign-in failed; several within an hour are guessing, slow enough for the limit or not."""
        now = self._clock()
        client = self._client(address)
        client.failures.append(now)
        _forget(client.failures, now - _GUESS_SPAN)
        client.accounts[account_key(username)] = None
        while len(client.accounts) > _MOST_ACCOUNTS:
            client.accounts.popitem(last=False)
        if len(client.failures) >= GUESSES and self._is_news(client, BRUTE_FORCE, now, _GUESS_SPAN):
            self._guessing(address, client, Severity.MEDIUM, "failed sign-ins within an hour")

    def blocked(self, address: str, username: str) -> None:
        """An address was locked out."""
        client = self._client(address)
        client.accounts[account_key(username)] = None
        client.told[BRUTE_FORCE] = self._clock()
        self._guessing(address, client, Severity.HIGH, "locked out")

    def locked(self, address: str, username: str) -> None:
        """An account was locked out."""
        now = self._clock()
        self._publish(
            Finding(
                BRUTE_FORCE,
                Subject(SubjectKind.USER, account_key(username)),
                Severity.HIGH,
                0.8,
                first=now,
                last=now,
                evidence=(Evidence("account", account_key(username), "locked out", BRUTE_FORCE),),
                labels={"last_address": address},
            )
        )

    def limited(self, address: str) -> bool:
        """A call was refused by its limit (429); many within a minute are abuse.

        Returns:
            Whether this one made it abuse: once a minute at the most.
        """
        now = self._clock()
        client = self._client(address)
        client.refusals.append(now)
        _forget(client.refusals, now - _REFUSAL_SPAN)
        if len(client.refusals) < self._abuse or not self._is_news(client, RATE_ABUSE, now, _REFUSAL_SPAN):
            return False
        self._publish(
            Finding(
                RATE_ABUSE,
                Subject(SubjectKind.ADDRESS, address_group(address)),
                Severity.MEDIUM,
                0.7,
                first=client.refusals[0],
                last=now,
                count=len(client.refusals),
                evidence=(Evidence("limits", f"{len(client.refusals)}/min", "refused calls", RATE_ABUSE),),
            )
        )
        return True

    def reused(self, address: str, username: str, session_id: str, *, begun_at: str) -> None:
        """A refresh token came twice."""
        now = self._clock()
        self._publish(
            Finding(
                TOKEN_REUSE,
                Subject(SubjectKind.USER, account_key(username)),
                Severity.CRITICAL,
                0.9,
                first=now,
                last=now,
                evidence=(Evidence("refresh token", f"session {session_id}", "used twice", TOKEN_REUSE),),
                labels={"address": address, "session": session_id, "session_address": begun_at},
            )
        )

    def _guessing(self, address: str, client: _Client, severity: Severity, fact: str) -> None:
        now = self._clock()
        failures = client.failures or deque([now])
        several = len(client.accounts) >= _SEVERAL
        self._publish(
            Finding(
                BRUTE_FORCE,
                Subject(SubjectKind.ADDRESS, address_group(address)),
                severity,
                0.9 if severity >= Severity.HIGH else 0.7,
                first=failures[0],
                last=now,
                count=len(failures),
                evidence=(Evidence("sign-in", ", ".join(client.accounts), fact, BRUTE_FORCE),),
                labels=_labels(accounts=str(len(client.accounts)), way="stuffing" if several else "guessing"),
            )
        )

    def _publish(self, finding: Finding) -> None:
        if self._publisher:
            self._publisher.publish(finding)

    def _client(self, address: str) -> _Client:
        name = address_group(address)
        client = self._clients.setdefault(name, _Client())
        self._clients.move_to_end(name)
        while len(self._clients) > _MOST_ADDRESSES:
            self._clients.popitem(last=False)
        return client

    def _is_news(self, client: _Client, kind: str, now: datetime, span: timedelta) -> bool:
        told = client.told.get(kind)
        if told and now - told < span:
            return False
        client.told[kind] = now
        return True


def _labels(**labels: str) -> Mapping[str, str]:
    return labels


def _forget(times: deque[datetime], before: datetime) -> None:
    while times and times[0] <= before:
        times.popleft()
