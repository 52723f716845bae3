"""Failed sign-ins counted in memory, by a moving window."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

_MOST_SUBJECTS = 100_000


class InMemoryFailureLimiter:
    """A `FailureLimiter` of one process.

    Args:
        amount: Failures that are free within the window.
        window_s: Its length in seconds.
        timer: Seconds that only go forward.
    """

    def __init__(
        self, amount: int = 5, window_s: float = 900.0, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._amount = amount
        self._window = window_s
        self._timer = timer
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    async def wait(self, subject: str) -> float:
        """Seconds until the next attempt may be looked at; 0 when it may be now."""
        failures = self._recent(subject)
        if len(failures) < self._amount:
            return 0.0
        return failures[-self._amount] + self._window - self._timer()

    async def hit(self, subject: str) -> bool:
        """Count one failure; True when it was the last one that was free."""
        failures = self._recent(subject)
        failures.append(self._timer())
        self._failures[subject] = failures
        self._failures.move_to_end(subject)
        while len(self._failures) > _MOST_SUBJECTS:
            self._failures.popitem(last=False)
        return len(failures) == self._amount

    async def clear(self, subject: str) -> None:
        """Forget the failures of a subject."""
        self._failures.pop(subject, None)

    def _recent(self, subject: str) -> deque[float]:
        failures = self._failures.get(subject, deque(maxlen=2 * self._amount))
        while failures and failures[0] <= self._timer() - self._window:
            failures.popleft()
        return failures
