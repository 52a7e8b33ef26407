"""How many frames a second each source gets onto the topic, for the metrics."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from infra.process import metrics
from ingest.publish.outbox import Outbox


class Throughput:
    """Frames a second that the broker acknowledged, measured from one call of `measure` to the next.

    `source_ids` names the sources whose rate is told as 0 as long as nothing of them was delivered.
    """

    def __init__(
        self, outbox: Outbox, source_ids: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._outbox, self._clock = outbox, clock
        self._delivered: Counter[str] = Counter(dict.fromkeys(source_ids, 0))
        self._since_s = clock()

    def measure(self) -> float:
        """Set the rate of each source in the metrics; the rate of all of them together."""
        now_s, delivered = self._clock(), self._outbox.delivered()
        elapsed_s = max(0.001, now_s - self._since_s)
        source_ids = self._delivered.keys() | delivered.keys()
        for source_id in source_ids:
            per_s = (delivered[source_id] - self._delivered[source_id]) / elapsed_s
            metrics.SOURCE_FPS.set(source_id, per_s)
        total_per_s = (delivered.total() - self._delivered.total()) / elapsed_s
        self._delivered = Counter({source_id: delivered[source_id] for source_id in source_ids})
        self._since_s = now_s
        return total_per_s
