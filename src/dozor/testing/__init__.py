"""Public doubles for tests, Dozor's own and its users': they work, and forget when the process ends."""

from dozor.features.traffic.adapters.country_memory import InMemoryCountry
from dozor.features.traffic.adapters.spill_memory import InMemorySpill
from dozor.features.traffic.adapters.store_memory import InMemoryRecordStore

__all__ = ["InMemoryCountry", "InMemoryRecordStore", "InMemorySpill"]
