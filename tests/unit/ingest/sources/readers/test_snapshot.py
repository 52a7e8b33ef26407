"""When misses in a row make a camera a lost one, and for how long it is left alone: time is an argument."""

import email.utils
import time

import pytest

from ingest.sources.readers.base import PictureMissed, SourceFault
from ingest.sources.readers.http_client import retry_after_s
from ingest.sources.readers.snapshot import MAX_UNAUTHORISED, MIN_MISSES_LOST, Misses

BUSY = PictureMissed("busy", "it answers HTTP 503 Service Unavailable")


def test_misses_between_pictures_lose_nothing_but_a_picture_each() -> None:
    misses = Misses(lost_after_s=30.0)
    for second in range(1_000):
        if second % 5:
            misses.clear(float(second))
        else:
            misses.add(BUSY, float(second))


def test_a_camera_that_fails_for_long_is_lost_with_its_reason() -> None:
    misses = Misses(lost_after_s=30.0)
    misses.clear(100.0)
    for second in range(101, 130):
        misses.add(BUSY, float(second))
    with pytest.raises(SourceFault, match=r"it answers HTTP 503 .*no picture for 30 s, 30 requests"):
        misses.add(BUSY, 130.0)


def test_a_few_long_misses_are_not_yet_a_loss() -> None:
    misses = Misses(lost_after_s=1.0)
    misses.clear(100.0)
    for number in range(1, MIN_MISSES_LOST):
        misses.add(BUSY, 100.0 + 10 * number)
    with pytest.raises(SourceFault):
        misses.add(BUSY, 150.0)


def test_a_refused_password_is_not_tried_for_long() -> None:
    misses = Misses(lost_after_s=30.0)
    refused = PictureMissed("unauthorised", "it answers HTTP 401 Unauthorized")
    for _ in range(10):  # once is nothing
        misses.add(refused, 1.0)
        misses.clear(2.0)
    with pytest.raises(SourceFault, match="401"):
        for _ in range(MAX_UNAUTHORISED):
            misses.add(refused, 3.0)


def test_a_camera_that_asks_to_be_left_alone_is() -> None:
    misses = Misses(lost_after_s=30.0)
    misses.check_wait(100.0)
    misses.add(PictureMissed("busy", "busy", wait_s=2.0), 100.0)
    with pytest.raises(PictureMissed) as caught:
        misses.check_wait(101.9)
    assert (caught.value.reason, caught.value.wait_s) == ("busy", 0.0), "the turn is a miss, and does not add time"
    misses.check_wait(102.0)
    misses.check_wait(101.0)


def test_turns_in_which_a_camera_is_left_alone_do_not_make_it_a_lost_one() -> None:
    misses = Misses(lost_after_s=30.0)
    misses.add(PictureMissed("busy", "busy", wait_s=120.0), 100.0)
    for second in range(101, 220):
        with pytest.raises(PictureMissed):
            misses.check_wait(float(second))
    misses.check_wait(220.0)
    misses.add(BUSY, 220.0)


def test_a_lost_camera_is_left_alone_for_as_long_as_it_asked() -> None:
    misses = Misses(lost_after_s=30.0)
    with pytest.raises(SourceFault) as caught:
        for number in range(MIN_MISSES_LOST):
            misses.add(PictureMissed("busy", "busy", wait_s=120.0), 100.0 + 120 * number)
    assert caught.value.wait_s == 120.0


def test_retry_after_is_a_number_or_a_date() -> None:
    assert [retry_after_s(value) for value in ("", "3", " 7 ", "soon", "-1", "²", "1.5")] == [0.0, 3.0, 7.0, *[0.0] * 4]
    assert [retry_after_s(value) for value in ("9" * 5_000, "1e9", "Mon, 01 Jan 9999 00:00:00 GMT")] == [
        600.0,
        0.0,
        600.0,
    ]
    assert retry_after_s("Mon, 99 Jan 99999999 00:00:00 GMT") == 0.0
    assert 50 < retry_after_s(email.utils.formatdate(time.time() + 60, usegmt=True)) <= 60
    assert retry_after_s(email.utils.formatdate(time.time() - 60, usegmt=True)) == 0.0
