"""What counts as silence and what as healthy: time is an argument, so these are small tables."""

from ingest.camera.session import START_GRACE_S, CaptureSession

OPEN_TIMEOUT_MS = 5_000


def opened(now_s: float = 100.0, stall_s: float = 5.0) -> CaptureSession:
    session = CaptureSession(now_s)
    session.open(now_s, stall_s)
    return session


def test_a_process_that_starts_gets_time_for_it_and_for_its_open_time_out() -> None:
    session = CaptureSession(100.0)
    assert not session.is_stalled(100.0 + START_GRACE_S + 5.0, OPEN_TIMEOUT_MS)
    assert session.is_stalled(100.1 + START_GRACE_S + 5.0, OPEN_TIMEOUT_MS)


def test_an_open_source_is_stalled_after_its_own_limit() -> None:
    session = opened(stall_s=5.0)
    session.sign_of_life(103.0)
    assert not session.is_stalled(108.0, OPEN_TIMEOUT_MS)
    assert session.is_stalled(108.1, OPEN_TIMEOUT_MS)
    assert session.silent_s(108.0) == 5.0


def test_healthy_is_the_time_from_opening_to_the_last_sign_of_life() -> None:
    session = opened()
    assert session.healthy_s() == 0.0, "without a frame it was never healthy"
    assert session.newly_captured(3, 110.0) == 3
    assert session.healthy_s() == 10.0
    assert not CaptureSession(0.0).healthy_s()


def test_answers_without_a_picture_are_signs_of_life_and_not_of_health() -> None:
    session = opened()
    session.newly_captured(1, 101.0)
    session.missed(110.0)
    assert not session.is_stalled(114.0, OPEN_TIMEOUT_MS)
    assert session.without_picture_s(110.0) == 9.0
    assert session.healthy_s() == 1.0


def test_skipping_what_was_delivered_before_is_a_sign_of_life_and_does_not_count_as_healthy() -> None:
    session = opened()
    session.skipped(100, 104.0)
    session.skipped(200, 108.0)
    session.skipped(200, 112.0)
    assert session.silent_s(112.0) == 4.0, "no progress, no sign of life"
    session.newly_captured(1, 112.0)
    assert session.healthy_s() == 4.0


def test_totals_of_a_process_become_what_is_new() -> None:
    session = opened()
    assert [session.newly_captured(total, 101.0) for total in (2, 2, 1, 5)] == [2, 0, 0, 3]
    assert [session.newly_counted("corrupt", total) for total in (1, 1, 4)] == [1, 0, 3]
    assert session.newly_counted("damaged", 2) == 2
