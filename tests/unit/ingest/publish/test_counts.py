"""What a producer tells of itself: drops by source and reason, and frames a second of each source."""

import threading

import pytest
from prometheus_client import REGISTRY

from infra.process import metrics
from ingest.publish.drops import DropCounts
from ingest.publish.throughput import Throughput
from tests.support.memory_sender import MemorySender
from tests.unit.ingest.publish.test_outbox import Rig, outgoing


def test_drops_are_counted_by_source_and_reason_and_in_the_metrics() -> None:
    drops = DropCounts()
    before = metrics.FRAMES_DROPPED.labels("drops-1", "stale")._value.get()
    drops.add("drops-1", "stale", 2)
    drops.add("drops-1", "stale")
    drops.add("drops-1", "corrupt", 0)
    drops.add("drops-2", "too_large")
    assert (drops.of("drops-1"), drops.of("drops-2"), drops.of("drops-3")) == ({"stale": 3}, {"too_large": 1}, {})
    assert drops.total() == {"stale": 3, "too_large": 1}
    assert metrics.FRAMES_DROPPED.labels("drops-1", "stale")._value.get() == before + 3


def test_drops_are_counted_from_several_threads() -> None:
    drops = DropCounts()

    def add_many() -> None:
        for _ in range(2_000):
            drops.add("drops-4", "stale")

    threads = [threading.Thread(target=add_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drops.of("drops-4") == {"stale": 8_000}


def test_the_rate_of_each_source_is_measured_from_one_call_to_the_next() -> None:
    now_s = 10.0
    rig = Rig(MemorySender())
    throughput = Throughput(rig.outbox, lambda: ["rate-1", "rate-2", "rate-3"], lambda: now_s)

    def rate(source_id: str) -> float:
        return REGISTRY.get_sample_value("sightline_source_fps", {"source_id": source_id}) or 0.0

    rig.publish(*(outgoing(source_id=name) for name in ("rate-1", "rate-1", "rate-1", "rate-3")))
    now_s += 1.0
    assert throughput.measure() == 0.0, "what the broker has not acknowledged does not count"
    rig.sender.flush(1.0)
    now_s += 2.0
    assert throughput.measure() == pytest.approx(2.0)
    assert (rate("rate-1"), rate("rate-2"), rate("rate-3")) == (1.5, 0.0, 0.5)
    now_s += 2.0
    assert throughput.measure() == 0.0
    assert (rate("rate-1"), rate("rate-3")) == (0.0, 0.0)


def test_drops_of_more_sources_than_are_kept_stay_in_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.publish.drops.MAX_SOURCES", 3)
    drops = DropCounts()
    for number in range(50):
        drops.add(f"drops-many-{number}", "stale")
    assert drops.total() == {"stale": 50}
    assert drops.of("drops-many-49") == {"stale": 1} and not drops.of("drops-many-0")
    assert len(drops._by_source) == 4, "three of their own, and what the others share"
