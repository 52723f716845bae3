"""Use cases of access, put together in `Access`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from dozor.features.access.model import Event, Origin, Principal
from dozor.features.access.ports import (
    AccessStore,
    AccessTokens,
    AuditSink,
    Cipher,
    FailureLimiter,
    OneTimeCodes,
    Passwords,
)
from dozor.features.access.service.allowlist import AllowList
from dozor.features.access.service.checks import CodeCheck, Hashing
from dozor.features.access.service.keys import Keys
from dozor.features.access.service.ledger import Clock, Ledger, entry_by, utc_now
from dozor.features.access.service.people import People
from dozor.features.access.service.profile import Profile
from dozor.features.access.service.roles import Roles
from dozor.features.access.service.sessions import Sessions
from dozor.features.access.service.setup import Setup
from dozor.features.access.service.signin import Known, SignIn
from dozor.features.access.service.throttle import Throttle
from dozor.features.access.service.watch import DoorWatch
from dozor.features.access.settings import AccessSettings
from dozor.kernel.finding import Publisher

_FLUSH_EVERY = 5.0


@dataclass(frozen=True)
class Access:
    """All services of access; use them from one event loop.

    Args:
        signin: Login, refresh, logout; who makes a call.
        setup: The owner.
        people: Others.
        profile: Oneself.
        roles: Roles and permissions.
        sessions: Sessions.
        keys: API keys.
        ledger: The audit trail.
        allow_list: Addresses of the console.
        watch: Findings about our own door.
        throttle: Lock-outs.
    """

    signin: SignIn
    setup: Setup
    people: People
    profile: Profile
    roles: Roles
    sessions: Sessions
    keys: Keys
    ledger: Ledger
    allow_list: AllowList
    watch: DoorWatch
    throttle: Throttle

    async def limited(self, origin: Origin, action: str, by: Principal | None = None) -> None:
        """Note that a call was refused by its limit (429): a folded record, and a finding when it is abuse.

        Args:
            origin: Where from.
            action: Method and route template.
            by: Who, if known.
        """
        abuse = self.watch.limited(origin.address)
        await self.ledger.refused(entry_by(by, origin, Event.RATE_LIMITED, action, result="refused"))
        if abuse:
            await self.ledger.refused(
                entry_by(
                    by, origin, Event.RATE_LIMITED, "limits.abuse", result="refused", reason="rate-abuse"
                )
            )


class Housekeeping:
    """A service of the process: writes down folded refusals, and what is left of them at the end.

    Args:
        access: Whose.
    """

    name = "access"

    def __init__(self, access: Access) -> None:
        self._access = access

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until `stop`."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _FLUSH_EVERY)
            await self._access.ledger.flush()
        await self._access.ledger.flush(everything=True)


def assemble(
    *,
    store: AccessStore,
    passwords: Passwords,
    tokens: AccessTokens,
    cipher: Cipher,
    codes: OneTimeCodes,
    limiter: FailureLimiter,
    settings: AccessSettings,
    publisher: Publisher | None = None,
    sink: AuditSink | None = None,
    clock: Clock = utc_now,
    timer: Callable[[], float] = time.monotonic,
) -> Access:
    """Put the services together.

    Args:
        store: Keeps the state.
        passwords: Hashes passwords.
        tokens: Signs access tokens.
        cipher: Encrypts secrets of second factors.
        codes: One-time codes.
        limiter: Counts failed sign-ins.
        settings: Settings of the feature.
        publisher: Takes findings.
        sink: Takes audit records besides the store.
        clock: Tells the time.
        timer: Seconds that only go forward, for what is remembered for a moment.
    """
    ledger = Ledger(store, sink, clock)
    watch = DoorWatch(publisher, settings.abuse_refusals, clock)
    throttle = Throttle(limiter, store, ledger, watch, clock)
    hashing = Hashing(passwords)
    known = Known(timer)
    signin = SignIn(
        store=store,
        ledger=ledger,
        throttle=throttle,
        watch=watch,
        hashing=hashing,
        codes=CodeCheck(codes, cipher),
        tokens=tokens,
        settings=settings,
        known=known,
        clock=clock,
    )
    return Access(
        signin=signin,
        setup=Setup(
            store=store, ledger=ledger, throttle=throttle, hashing=hashing, signin=signin, settings=settings
        ),
        people=People(
            store=store, ledger=ledger, throttle=throttle, hashing=hashing, known=known, settings=settings
        ),
        profile=Profile(
            store=store,
            ledger=ledger,
            signin=signin,
            throttle=throttle,
            hashing=hashing,
            codes=codes,
            cipher=cipher,
            known=known,
            settings=settings,
        ),
        roles=Roles(store=store, ledger=ledger, known=known),
        sessions=Sessions(store=store, ledger=ledger, known=known, clock=clock),
        keys=Keys(store=store, ledger=ledger, known=known),
        ledger=ledger,
        allow_list=AllowList(settings.console_networks, store=store, ledger=ledger, timer=timer),
        watch=watch,
        throttle=throttle,
    )
