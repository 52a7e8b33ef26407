"""States of a feed beside up and down: frozen, off, moved to a process of its own, and away as expected."""

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

import ingest.camera.feed
from ingest.camera.frozen import FrozenPicture
from ingest.camera.session_end import FeedState, SessionEnd
from ingest.camera.spec import Pictures
from ingest.capture.wire import CaptureMessage, MessageKind
from tests.unit.ingest.camera.test_feed import FRAME, LIVE, Child, Rig, opened, stats_of_drops


def up() -> float | None:
    return REGISTRY.get_sample_value("sightline_camera_up", {"source_id": "cam"})


def frame(image: bytes) -> CaptureMessage:
    return CaptureMessage(MessageKind.FRAME, FRAME.meta, image)


def end_after(rig: Rig, tries: int, monkeypatch: pytest.MonkeyPatch) -> list[SessionEnd]:
    """How each reading ended; the feed is stopped after so many."""
    ends: list[SessionEnd] = []
    after = rig.feed._after

    def note(end: SessionEnd) -> None:
        after(end)
        ends.append(end)
        if len(ends) == tries:
            rig.stop.set()

    monkeypatch.setattr(rig.feed, "_after", note)
    rig.feed.run()
    return ends


def test_a_camera_that_repeats_itself_is_frozen_and_not_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig([opened(True), *[frame(b"same")] * 5, frame(b"other")], monkeypatch, LIVE)
    rig.feed.spec = replace(rig.feed.spec, pictures=Pictures(frozen_after_ms=3_000))
    rig.feed._frozen = FrozenPicture(3.0)
    states: list[tuple[FeedState, float | None]] = []
    monkeypatch.setattr(rig.feed, "_put", lambda _frame: states.append((rig.feed.state, up())))
    with capture_logs() as lines:
        end_after(rig, 1, monkeypatch)
    assert [state for state, _ in states] == [FeedState.UP] * 3 + [FeedState.FROZEN] * 2 + [FeedState.UP]
    assert {value for _, value in states} == {1.0}
    assert [line["event"] for line in lines if "frozen" in line["event"]] == ["camera frozen"]


def test_outside_its_hours_a_camera_is_not_read_and_has_no_series(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig([opened(True), FRAME], monkeypatch, LIVE)
    duty = iter([True, True, True, False, False])
    monkeypatch.setattr(ingest.camera.feed, "is_on_duty", lambda _spec: next(duty))
    monkeypatch.setattr(ingest.camera.feed, "REST_S", 0.01)
    ends = end_after(rig, 2, monkeypatch)
    assert [end.reason for end in ends] == ["off", "off"]
    assert (rig.feed.state, rig.feed.failures, up(), len(rig.frames)) == (FeedState.OFF, 0, None, 1)


def test_a_camera_that_may_be_away_is_lost_without_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig([opened(True), FRAME], monkeypatch, LIVE)
    rig.feed.spec = replace(rig.feed.spec, expected_offline=True)
    with capture_logs() as lines:
        end_after(rig, 1, monkeypatch)
    assert up() is None
    assert [line["log_level"] for line in lines if line["event"] == "camera lost"] == ["info"]


def test_what_does_not_open_in_company_is_opened_at_once_alone_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = CaptureMessage(MessageKind.FAILED, {"why": "it does not open", "wait_s": 0.0})
    rig = Rig([failed], monkeypatch, LIVE)
    monkeypatch.setattr(Child, "is_shared", property(lambda _: rig.feed._company.size > 1))
    rig.feed._company.size = 8
    assert [end.reason for end in end_after(rig, 2, monkeypatch)] == ["moved", "failed"]
    assert (rig.feed.failures, rig.feed.why) == (1, "it does not open")


def test_the_end_of_a_process_because_of_another_camera_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig([opened(True), FRAME], monkeypatch, LIVE)
    monkeypatch.setattr(Child, "ended_for", lambda _: "dock")
    [end] = end_after(rig, 1, monkeypatch)
    assert (end.reason, end.why) == ("group", "its capture process was ended because dock hung")
    assert (rig.feed.failures, rig.feed.state) == (0, FeedState.DOWN)


def test_frames_of_a_still_scene_count_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig([opened(True), FRAME, stats_of_drops(unchanged=4)], monkeypatch, LIVE)
    end_after(rig, 1, monkeypatch)
    assert rig.feed.vitals.taken == 5
    assert rig.drops.of("cam") == {"unchanged": 4}


def test_jumping_time_stamps_are_counted_and_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    stats = [CaptureMessage(MessageKind.STATS, {**stats_of_drops().meta, "jumps": number}) for number in (0, 1, 1, 3)]
    rig = Rig([opened(True), FRAME, *stats, FRAME], monkeypatch, LIVE)
    before = REGISTRY.get_sample_value("sightline_camera_time_jumps_total", {"source_id": "cam"}) or 0.0
    with capture_logs() as lines:
        end_after(rig, 1, monkeypatch)
    assert REGISTRY.get_sample_value("sightline_camera_time_jumps_total", {"source_id": "cam"}) == before + 3
    assert len([line for line in lines if "time stamps" in line["event"]]) == 2
    assert len(rig.frames) == 2
