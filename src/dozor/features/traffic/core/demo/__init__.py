"""Demo traffic: what a web server of a small shop would log, with labels, from a seed.

    options, samples --build_world--> World --backfill | stream--> tables of events
    events --access_lines, error_lines, label_lines--> text

The same seed, options and samples give the same bytes. It is pure: files and clocks are the caller's.
"""

from dozor.features.traffic.core.demo.render import DemoFormat, access_lines, error_lines, label_lines
from dozor.features.traffic.core.demo.traffic import backfill, stream
from dozor.features.traffic.core.demo.world import SECOND, DemoOptions, World, build_world

__all__ = [
    "SECOND",
    "DemoFormat",
    "DemoOptions",
    "World",
    "access_lines",
    "backfill",
    "build_world",
    "error_lines",
    "label_lines",
    "stream",
]
