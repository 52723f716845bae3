"""Doubles of the ports of threats."""

from dozor.features.threats.adapters.scanner_memory import InMemoryScanner

__all__ = ["InMemoryScanner"]
