from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from dozor.infra import memory
from dozor.testing.loop import VirtualLoop


def test_what_the_operator_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "mimalloc")
    monkeypatch.setenv("_RJEM_MALLOC_CONF", "")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    memory.prefer_small()
    assert os.environ["ARROW_DEFAULT_MEMORY_POOL"] == "mimalloc"


def test_the_housekeeper_gives_back_until_it_is_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []

    async def main() -> None:
        stop = asyncio.Event()

        def give_back() -> None:
            times.append(1)
            if len(times) == 3:
                loop.call_soon_threadsafe(stop.set)

        monkeypatch.setattr(memory, "give_back", give_back)
        loop = asyncio.get_running_loop()
        await memory.Housekeeper(every=3600).run(stop)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    assert len(times) == 3


def test_giving_back_harms_nothing() -> None:
    kept = bytes(range(256)) * 10_000
    memory.give_back()
    assert kept[-1] == 255


def test_a_command_does_without_pandas_and_others_may_import_it_still() -> None:
    program = (
        "import sys\n"
        "from dozor.infra.memory import without_pandas\n"
        "without_pandas()\n"
        "import pyarrow as pa\n"
        "pa.array(['a', 'b']), pa.RecordBatch.from_pylist([{'a': 1}])\n"
        "print('pandas' in sys.modules)\n"
        "import pandas\n"
        "print(pandas.DataFrame({'a': [1]}).shape)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert told.stdout == "False\n(1, 1)\n"
