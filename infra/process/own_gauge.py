"""A gauge of something that only some processes have."""

from collections.abc import Iterable

from prometheus_client import Gauge, Metric


class OwnGauge(Gauge):
    """Absent until this process sets it: a process that has no such thing does not say that it is 0."""

    _is_ours = False

    def set(self, value: float) -> None:
        """Set it, and tell it from now on."""
        self._is_ours = True
        super().set(value)

    def collect(self) -> Iterable[Metric]:
        """What the registry asks for at each scrape."""
        return super().collect() if self._is_ours else ()
