"""The spans of the frames in the stage: from the reading of a frame until the broker has its outcome."""

from infra.kafka.topics import Lane, TopicNames, group
from infra.kafka.traces import begin
from streams.stage.frames import PendingFrame


class FrameTraces:
    """Gives sampled frames their span. A frame whose producer began no trace begins one here, if it is chosen."""

    def __init__(self, prefix: str, lane: Lane) -> None:
        self._retry = TopicNames.for_lane(prefix, lane).retry
        self._group, self._retry_group = group("stream", prefix, lane), group("retry", prefix, lane)

    def begin(self, pending: PendingFrame) -> None:
        if pending.gone is not None:
            return
        source, context = pending.record.source, pending.traceparent
        if pending.record.attempt:  # `source` is the place of the frame's first record, not of this one
            pending.span, pending.traceparent = begin("process", self._retry, context, group=self._retry_group)
        else:
            pending.span, pending.traceparent = begin(
                "process", source.topic, context, partition=source.partition, offset=source.offset, group=self._group
            )
