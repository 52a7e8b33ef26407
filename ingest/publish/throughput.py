"""How many frames a second each source gets onto the topic, for the metrics."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from infra.process import metrics
from ingest.publish.outbox import Outbox


class Throughput:
    """Frames a second that the broker acknowledged, measured from one call of `measure` to the next.

    `source_ids` names the present sources: their rates are told, as 0 while nothing of them is delivered.
    """

    def __init__(
        self, outbox: Outbox, source_ids: Callable[[], Iterable[str]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._outbox, self._source_ids, self._clock = outbox, source_ids, clock
        self._delivered: Counter[str] = Counter()
        self._since_s = clock()

    def measure(self) -> float:
        """Set the rate of each source in the metrics; the rate of all of them together."""
        now_s, delivered = self._clock(), self._outbox.delivered()
        elapsed_s = max(0.001, now_s - self._since_s)
        for source_id in self._source_ids():
            per_s = (delivered[source_id] - self._delivered[source_id]) / elapsed_s
            metrics.SOURCE_FPS.set(source_id, per_s)
        total_per_s = (delivered.total() - self._delivered.total()) / elapsed_s
        self._delivered = delivered
        self._since_s = now_s
        return total_per_s
