"""A replay as its parts leave it on the topics: frames and live labels, their copies on the lane, and its progress."""

import time
from collections.abc import Mapping
from typing import Any

from infra.kafka.topics import TopicNames
from infra.replay import progress as progress_topic
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.headers import REPLAY_ID, Failure, Header, failure_headers, replay_of_headers
from schemas.records import Decision, Label, Prediction
from schemas.replays import OffsetRange, ReplayPlan, ReplayProgress, ReplayState
from tests.support.deployment import Deployment
from tests.support.sink_records import Wire, a_frame, a_jpeg, a_label

MINUTE_US = 60_000_000
# By class id, with what is decided of it.
NAMES = {"1": "tabby cat", "2": "golden retriever", "3": "red fox"}


class Replayed:
    """One replay. `live` and `replay` answer frames by class id; None is a dead letter. `changed`: kept for a test."""

    def __init__(self, deployment: Deployment, wire: Wire, replay_id: str = "try-1") -> None:
        self.deployment, self.wire, self.replay_id = deployment, wire, replay_id
        self.lane = TopicNames.for_lane(deployment.prefix, "replay")
        self._first_us = time.time_ns() // 1000 - MINUTE_US
        self.copied = self.noise_copied = 0
        self.changed: list[Coordinates] = []
        self._lane_spans: dict[int, tuple[int, int]] = {}
        self._sources: dict[Coordinates, str] = {}

    def frames(self, count: int, source_id: str = "dock-1", partition: int = 0) -> list[Coordinates]:
        """New frames on the live lane, without labels."""
        values = [codec.encode(a_frame(number, source_id, image_of(number))) for number in range(count)]
        sources = self.wire.send_all(self.wire.topics.frames, values, key=source_id, partition=partition)
        self._sources.update(dict.fromkeys(sources, source_id))
        return sources

    def live(self, answers: Mapping[Coordinates, str | None], **changes: Any) -> None:
        for source, class_id in answers.items():
            if class_id is None:
                self.wire.dead(source, codec.encode(self._frame(source)))
            else:
                self._send(self.wire.topics.labels, self._label(source, class_id, **changes), source.partition)

    def copy(self, source: Coordinates, suffix: str = "") -> Coordinates:
        """The copy of a frame on the lane."""
        headers = [*self._headers(suffix), *replay_of_headers(source)]
        value = codec.encode(self._frame(source))
        place = self.wire.send(
            self.lane.frames, value, key=self._sources[source], partition=source.partition, headers=headers
        )
        first, _ = self._lane_spans.get(place.partition, (place.offset, 0))
        self._lane_spans[place.partition] = first, place.offset + 1
        self.copied += not suffix
        self.noise_copied += bool(suffix)
        return place

    def replay(self, answers: Mapping[Coordinates, str | None], suffix: str = "", **changes: Any) -> None:
        """Copies of these frames, and what the lane's own stages answer."""
        for source, class_id in answers.items():
            self.answer(source, self.copy(source, suffix), class_id, suffix, **changes)

    def answer(
        self, source: Coordinates, place: Coordinates, class_id: str | None, suffix: str = "", **changes: Any
    ) -> None:
        headers = self._headers(suffix)
        if class_id is None:
            failure = Failure(place, time.time_ns() // 1_000_000, "infer", "RuntimeError", "out of luck", 3)
            kept = failure_headers([*headers, *replay_of_headers(source)], failure)
            value = codec.encode(self._frame(source))
            self.wire.send(self.lane.dead, value, key=self._sources[source], partition=source.partition, headers=kept)
            return
        told = {"source": place, "replay_of": source, "replay_id": self.replay_id + suffix}
        label = self._label(source, class_id, **told, **changes)
        self._send(self.lane.labels, label, source.partition, headers)

    def progress(self, **changes: Any) -> ReplayProgress:
        """Its progress as of now, written to the topic."""
        now_us = time.time_ns() // 1000
        ranges = [OffsetRange(self.lane.frames, number, *span) for number, span in self._lane_spans.items()]
        fields: dict[str, Any] = {
            "replay_id": self.replay_id, "state": ReplayState.COMPLETED, "topic": self.wire.topics.frames,
            "from_at": self._first_us, "to_at": now_us, "started_at": self._first_us, "updated_at": now_us,
            "process": "test", "plan": ReplayPlan(self.copied, 0, True), "lane": tuple(ranges),
            "copied": self.copied, "noise_copied": self.noise_copied,
        }  # fmt: skip
        made = ReplayProgress(**{**fields, **changes})
        settings = self.deployment.settings()
        progress_topic.write(settings, [progress_topic.progress_record(settings, made, None)])
        return made

    def _headers(self, suffix: str) -> list[Header]:
        return [(REPLAY_ID, (self.replay_id + suffix).encode())]

    def _frame(self, source: Coordinates) -> Any:
        return a_frame(source.offset, self._sources[source], image_of(source.offset))

    def _label(self, frame: Coordinates, class_id: str, **changes: Any) -> Label:
        fields = {
            "source": frame,
            "source_id": self._sources[frame],
            "frame_id": f"{self._sources[frame]}/1/{frame.offset}",
            "predictions": (Prediction(class_id, NAMES[class_id], 0.9),),
            "decision": Decision.ACCEPTED,
        }
        return a_label(**{**fields, **changes})

    def _send(self, topic: str, label: Label, partition: int, headers: list[Header] | None = None) -> None:
        self.wire.send(topic, codec.encode(label), key=label.source_id, partition=partition, headers=headers)


def image_of(number: int) -> bytes:
    return a_jpeg((40 * number % 256, 90, 200 - 30 * number % 200))
