"""What is counted and judged once the records of a piece of work are on the broker."""

import pytest

from inference.device.work import Work
from inference.labelling.decision_metrics import DecisionMetrics
from inference.worker.after_delivery import AfterDelivery
from inference.worker.read_batch import gone_work
from infra.failures.breaker import Breaker
from infra.process import metrics
from infra.settings import BreakerSettings, ConfidenceSettings
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame, Stalled
from tests.support.batches import batch_record

BATCHES = TopicPartition("frames.batches", 3)
STRICT = BreakerSettings(window_frames=2, max_bad_share=0.5)


def test_what_was_gone_is_counted_and_no_reason_to_stop() -> None:
    after, before = (
        AfterDelivery(Breaker(STRICT), None, DecisionMetrics(ConfidenceSettings())),
        metrics.BATCHES_SKIPPED._value.get(),
    )
    for first in range(0, 100, 10):
        after(gone_work(BATCHES, range(first, first + 10), 1, may_have_been_read=False))
    after(gone_work(BATCHES, range(500), 1, may_have_been_read=True))
    assert metrics.BATCHES_SKIPPED._value.get() - before == 100, "of what is known"


def test_records_that_are_no_batches_are_a_reason_to_stop() -> None:
    after = AfterDelivery(Breaker(STRICT), None, DecisionMetrics(ConfidenceSettings()))
    with pytest.raises(Stalled):
        for offset in range(10):
            after(Work(batch_record(BATCHES, offset, b"<html>"), 1, bad=BadFrame("not_avro", "starts with 3c")))
