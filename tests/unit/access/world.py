"""Access upon doubles that work: state in memory, few rounds of bcrypt, a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp

from dozor.features.access.adapters.codes_totp import TotpCodes
from dozor.features.access.adapters.passwords_bcrypt import BcryptPasswords
from dozor.features.access.adapters.tokens_jwt import JwtAccessTokens
from dozor.features.access.model import (
    COMMAND_LINE,
    LOCAL,
    AuditFilter,
    AuditRecord,
    Granted,
    Origin,
    Person,
    Principal,
)
from dozor.features.access.ports import AccessStore
from dozor.features.access.service import Access, assemble
from dozor.features.access.settings import AccessSettings
from dozor.infra.keys import KeyRing
from dozor.kernel.finding import Finding
from dozor.testing.access import InMemoryAccessStore, InMemoryFailureLimiter

PASSWORD = "correct horse battery"
HOME = Origin("198.51.100.7", "test")
ELSEWHERE = Origin("203.0.113.9", "test")
SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass
class Clock:
    """A time that passes when told to."""

    now: datetime = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class World:
    """Services, and what they told the outside."""

    clock: Clock = field(default_factory=Clock)
    store: AccessStore = field(default_factory=InMemoryAccessStore)
    keys: KeyRing = field(default_factory=lambda: KeyRing(SECRET))
    findings: list[Finding] = field(default_factory=list)
    settings: AccessSettings = field(default_factory=lambda: AccessSettings(bcrypt_rounds=4))
    access: Access = field(init=False)

    def __post_init__(self) -> None:
        self.limiter = InMemoryFailureLimiter(timer=self.clock.seconds)
        self.access = self.process()

    def process(self) -> Access:
        """The services as another process upon the same state has them."""
        return assemble(
            store=self.store,
            passwords=BcryptPasswords(4),
            tokens=JwtAccessTokens(lambda: self.keys.derived("jwt")),
            cipher=self.keys,
            codes=TotpCodes(),
            limiter=self.limiter,
            settings=self.settings,
            publisher=self,
            clock=self.clock,
            timer=self.clock.seconds,
        )

    def publish(self, finding: Finding) -> None:
        self.findings.append(finding)

    async def owner(self, name: str = "anna") -> Person:
        return await self.access.setup.create_owner_here(name, PASSWORD)

    async def person(self, name: str, role: str = "operator") -> Person:
        return await self.access.people.create(
            COMMAND_LINE, LOCAL, username=name, password=PASSWORD, role=role
        )

    async def login(self, name: str = "anna", password: str = PASSWORD, totp: str = "") -> Granted:
        return await self.access.signin.login(name, password, HOME, totp=totp)

    async def principal(self, name: str = "anna", totp: str = "") -> Principal:
        granted = await self.login(name, totp=totp)
        return await self.access.signin.authenticate(granted.access_token)

    async def with_totp(self, name: str = "anna") -> tuple[str, tuple[str, ...]]:
        """Set up a second factor: its secret, and the recovery codes."""
        by = await self.principal(name)
        enrolment = await self.access.profile.begin_totp(by, HOME)
        codes = await self.access.profile.confirm_totp(by, HOME, self.code(enrolment.secret))
        self.clock.pass_(seconds=60)  # the first code is used up
        return enrolment.secret, codes

    def code(self, secret: str) -> str:
        return pyotp.TOTP(secret).at(self.clock.now)

    async def audit(self, **which: Any) -> list[AuditRecord]:
        return list((await self.access.ledger.search(AuditFilter(**which))).records)


def play(story: Callable[[World], Coroutine[Any, Any, None]], **parts: Any) -> World:
    """Play a story in a new world and give it back."""

    async def main() -> World:
        world = World(**parts)
        await story(world)
        return world

    return asyncio.run(main())
