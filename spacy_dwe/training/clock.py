"""How fast a component trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter


@dataclass(slots=True)
class TrainingClock:
    """Counts what a component has trained on, and the time that took it. Evaluations
    and other components are no part of it.

    seconds (float): spent in updates and steps.
    updates (int): batches that had something to learn from.
    mentions (int): mentions in them.
    """

    seconds: float = 0.0
    updates: int = 0
    mentions: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of a block."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds += perf_counter() - start

    def count(self, mentions: int) -> None:
        """mentions (int): mentions of one update."""
        self.updates += 1
        self.mentions += mentions
