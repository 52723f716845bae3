"""Doubles of the ports of access."""

from dozor.features.access.adapters.limiter_memory import InMemoryFailureLimiter
from dozor.features.access.adapters.store_memory import InMemoryAccessStore

__all__ = ["InMemoryAccessStore", "InMemoryFailureLimiter"]
