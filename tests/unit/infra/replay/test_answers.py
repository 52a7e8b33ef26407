"""Which records are read for a comparison, and what is counted while a replay runs. On topics in memory."""

from typing import Any

import pytest

from infra.replay import answers
from infra.replay.answers import AnswerCounter, Comparison, Counts
from infra.settings import Settings
from schemas import codec
from schemas.coordinates import Coordinates
from schemas.headers import REPLAY_ID, Failure, Header, failure_headers, replay_of_headers
from schemas.records import Label, Prediction
from schemas.replays import OffsetRange, ReplayPlan, ReplayProgress, ReplayState
from tests.support.audited_topics import MINUTE_MS, NOW_MS, Topics
from tests.support.sink_records import a_label

HOUR_MS = 60 * MINUTE_MS
FROM_MS = NOW_MS - 100 * HOUR_MS
TO_MS = FROM_MS + HOUR_MS


class Lane:
    """A replay of frames 0, 1, ... of one partition, which lie on the lane from offset 100 on."""

    def __init__(self) -> None:
        self.topics = Topics()
        for topic in ("labels", "labels.replay", "frames.dead"):
            self.topics.logs[topic] = []

    def live(self, offset: int, class_id: str, at_ms: int, revision: int = 0, replay_id: str | None = None) -> None:
        label = self._label(
            Coordinates("frames.raw", 0, offset), offset, class_id, revision=revision, replay_id=replay_id
        )
        headers: list[Header] = [(REPLAY_ID, replay_id.encode())] if replay_id else []
        self.topics.put("labels", at_ms, codec.encode(label), headers)

    def replay(self, offset: int, class_id: str | None, replay_id: str = "r1", lane: int | None = None) -> None:
        place = Coordinates("frames.replay", 0, 100 + offset if lane is None else lane)
        original = Coordinates("frames.raw", 0, offset)
        headers: list[Header] = [(REPLAY_ID, replay_id.encode())]
        if class_id is None:
            failure = Failure(place, 0, "infer", "RuntimeError", "", 0)
            self.topics.put(
                "frames.dead", NOW_MS, b"x", failure_headers([*headers, *replay_of_headers(original)], failure)
            )
            return
        label = self._label(place, offset, class_id, replay_of=original, replay_id=replay_id)
        self.topics.put("labels.replay", NOW_MS, codec.encode(label), headers)

    def progress(self, copied: int, lane_end: int = 1_000) -> ReplayProgress:
        return ReplayProgress(
            "r1", ReplayState.COMPLETED, "frames.raw", FROM_MS * 1000, TO_MS * 1000, NOW_MS * 1000, NOW_MS * 1000,
            "test", ReplayPlan(copied, 0, True), lane=(OffsetRange("frames.replay", 0, 100, lane_end),), copied=copied,
        )  # fmt: skip

    def compare(self, copied: int) -> Any:
        self.topics.read_offsets.clear()
        reader: Any = self.topics
        return Comparison(Settings(), reader, self.progress(copied), lambda: False).result()

    def _label(self, place: Coordinates, offset: int, class_id: str, **changes: Any) -> Label:
        return a_label(
            place, frame_id=f"f{offset}", predictions=(Prediction(class_id, class_id, 0.9),), **changes
        )  # fmt: skip


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Lane:
    monkeypatch.setattr(answers, "now_us", lambda: NOW_MS * 1000)
    return Lane()


def test_live_labels_are_found_however_late_and_corrections_too(lane: Lane) -> None:
    for offset in range(3):
        lane.replay(offset, "b")
    lane.live(0, "b", FROM_MS + 1)
    lane.live(1, "a", TO_MS + 30 * HOUR_MS)  # the pipeline was down for a day
    lane.live(2, "a", FROM_MS + 2)
    lane.live(2, "b", NOW_MS - 1, revision=5, replay_id="r0")
    found = lane.compare(3)
    assert (found.frames, found.changed, found.unanswered) == (3, 1, 0)


def test_behind_the_last_label_only_corrections_are_decoded(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    lane.replay(0, "b")
    lane.live(0, "a", FROM_MS + 1)
    for minute in range(200, 4_000, 20):
        lane.live(7, "a", TO_MS + minute * MINUTE_MS)
    lane.live(0, "b", NOW_MS - 1, revision=5, replay_id="r0")
    decoded: list[int] = []
    real = codec.decode

    def counted(kind: Any, data: Any, registry: Any = None) -> Any:
        decoded.append(1)
        return real(kind, data, registry)

    monkeypatch.setattr(codec, "decode", counted)
    assert lane.compare(1).changed == 0
    # Of the live lane the first label and the correction, of the replay one.
    assert len(decoded) == 3


def test_a_replay_of_the_same_name_that_was_deleted_is_not_this_one(lane: Lane) -> None:
    lane.replay(0, "x", lane=5)
    lane.replay(0, "a")
    lane.live(0, "a", FROM_MS + 1)
    found = lane.compare(1)
    assert (found.frames, found.changed) == (1, 0)


def test_a_live_dead_letter_is_looked_for_only_where_a_frame_has_no_label(lane: Lane) -> None:
    failure = Failure(Coordinates("frames.raw", 0, 1), 0, "infer", "RuntimeError", "", 0)
    lane.topics.put("frames.dead", FROM_MS + 5, b"x", failure_headers(None, failure))
    lane.replay(0, "a")
    lane.live(0, "a", FROM_MS + 1)
    assert lane.compare(1).frames == 1
    assert lane.topics.read_offsets.get("frames.dead") is None


def test_frames_that_are_answered_before_their_progress_is_told_count_later(lane: Lane) -> None:
    reader: Any = lane.topics
    counter = AnswerCounter(Settings(), reader)
    lane.replay(0, "a")
    lane.replay(5, "a")
    lane.replay(6, None)
    lane.replay(0, "a", replay_id="r1.a", lane=107)
    assert counter.read(lane.progress(1, lane_end=101)) == Counts(1, 0, 0)
    assert counter.read(lane.progress(3)) == Counts(2, 1, 1)
    lane.replay(6, "a")
    lane.replay(6, "a")
    assert counter.read(lane.progress(3)) == Counts(3, 0, 1)
