"""The spans of frames in the worker: which have one, what the model's run links to, and how they end."""

import numpy as np

from inference.device.runs import Part
from inference.device.staging import Run
from inference.device.work import FrameFailure, Work
from inference.worker import traces
from infra.kafka.sender import DeliveryReport
from schemas.coordinates import TopicPartition
from schemas.errors import BadFrame
from schemas.headers import ITEM_TRACEPARENTS, traceparent_of
from schemas.records import Decision
from tests.support.batches import batch_record, micro_batch
from tests.support.spans import recorded
from tests.unit.inference.worker.test_labels_out import label, out

BATCHES = TopicPartition("frames.batches", 3)
# Of three frames the first and the last are sampled.
CONTEXTS = [f"00-{number:032x}-{1:016x}-0{flag}" for number, flag in ((1, 1), (2, 0), (3, 1))]


def work() -> Work:
    batch = micro_batch("frames.raw", 3, [10, 11, 13])
    record = batch_record(BATCHES, 7, None, (ITEM_TRACEPARENTS, ",".join(CONTEXTS).encode()))
    return Work(record, 1, items=batch.items, source_topic="frames.raw", source_partition=3, rows=(0, 1, 2))


def test_from_the_batch_to_the_labels() -> None:
    given = work()
    with recorded(sample_ratio=0.0) as found:
        traces.begin(given, "sightline-infer")
        assert sorted(given.spans) == [0, 2]
        run = Run([Part(given, 0, 2)], np.empty((2, 1), np.uint8), 0)
        traces.ran(run, "null", 5)
        traces.ran(Run([Part(given, 1, 1)], np.empty((1, 1), np.uint8), 0), "null", 5)
        given.outcomes = {index: label(given, index, Decision.ACCEPTED) for index in (0, 1)}
        given.outcomes[2] = FrameFailure(BadFrame("truncated", "half a picture"))
        records = out(given).records(given)
        for record in records:
            if record.on_delivery is not None:
                record.on_delivery(DeliveryReport(record.topic, 0, 1))
        traces.end(given)
    first, last = found.spans["process frames.batches"]
    (ran,), (sent,), (dead,) = found.spans["infer null"], found.spans["send labels"], found.spans["send frames.dead"]
    assert ([link.context for link in ran.links], ran.start_time) == ([first.context], 5)
    assert ran.attributes == {"sightline.model": "null", "sightline.images": 2}
    assert [[link.context for link in one.links] for one in (first, last)] == [[ran.context], []]
    assert (sent.parent, dead.parent) == (first.context, last.context)
    assert (first.status.is_ok, last.status.is_ok) == (True, False)
    assert last.attributes is not None
    assert last.attributes["error.type"] == "truncated"
    assert last.attributes["sightline.frame_id"] == given.items[2].frame_id
    assert [(traceparent_of(record.headers) or "")[:36] for record in records] == [one[:36] for one in CONTEXTS]
    assert traceparent_of(records[1].headers) == CONTEXTS[1]


def test_off_there_are_none() -> None:
    given = work()
    traces.begin(given, "g")
    traces.ran(Run([Part(given, 0, 3)], np.empty((3, 1), np.uint8), 0), "null", 5)
    traces.end(given)
    assert given.spans == {}
