"""What a worker knows of its place in the consumer group."""

from infra.kafka.statistics import stands_by
from infra.process import logs

log = logs.get(__name__)


class Joining:
    """Whether this worker has found its group. Written by the poll thread, read by any.

    `has_joined`: it was given partitions, or the group has none for it.
    """

    def __init__(self) -> None:
        self.has_joined = False
        self._has_statistics = False

    @property
    def is_outside(self) -> bool:
        """It is known not to have found its group yet. Before the first statistics of the client nothing is known."""
        return self._has_statistics and not self.has_joined

    def on_assign(self) -> None:
        self.has_joined = True

    def on_statistics(self, statistics: str) -> None:
        self._has_statistics = True
        if not self.has_joined and stands_by(statistics):
            self.has_joined = True
            log.info("the group has no partition for this worker: standing by")
