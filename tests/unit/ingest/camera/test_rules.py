"""The small rules of a camera: its hours, a picture that is always the same, and who shares a process with whom."""

import pytest

from ingest.camera.company import Company
from ingest.camera.frozen import FrozenPicture
from ingest.camera.hours import ALWAYS, parse_hours
from ingest.camera.session_end import MOVED, OFF, STOPPED, SessionEnd
from ingest.camera.spec import camera_spec
from ingest.capture.groups import group_key
from ingest.sources.connection import Connection
from ingest.sources.parse import ReaderKind
from ingest.sources.task import CaptureTask
from schemas.errors import ConfigError
from tests.support.cameras import SETTINGS


def minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


@pytest.mark.parametrize(
    ("spans", "inside", "outside"),
    [
        ([], ["00:00", "23:59"], []),
        (["07:00-19:30"], ["07:00", "19:29"], ["06:59", "19:30", "00:00"]),
        (["22:00-06:00"], ["22:00", "23:59", "00:00", "05:59"], ["06:00", "12:00"]),
        (["06:00-08:00", "18:00-24:00"], ["07:00", "23:59"], ["09:00", "00:00"]),
    ],
)
def test_active_hours(spans: list[str], inside: list[str], outside: list[str]) -> None:
    hours = parse_hours(spans)
    assert all(hours.include(minute(text)) for text in inside)
    assert not any(hours.include(minute(text)) for text in outside)
    assert parse_hours([]) == ALWAYS


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("active_hours", "07:00-19:00", "a list such as"),
        ("active_hours", ["7-19"], "'7-19'"),
        ("active_hours", ["07:00-25:00"], "'07:00-25:00'"),
        ("active_hours", ["07:00-07:00"], "'07:00-07:00'"),
        ("max_side", -1, "max_side must be a whole number from 0 on"),
        ("frozen_after_ms", 0, "frozen_after_ms must be a whole number from 1 on"),
        ("skip_unchanged_ms", True, "skip_unchanged_ms must be a whole number"),
        ("keyframes_only", 1, "keyframes_only must be true or false"),
        ("expected_offline", "no", "expected_offline must be true or false"),
    ],
)
def test_faults_of_the_keys_name_them(key: str, value: object, why: str) -> None:
    with pytest.raises(ConfigError, match=why.replace("[", r"\[")):
        camera_spec({"source": "sim:coffee", key: value}, SETTINGS, {})


def test_a_picture_that_stays_the_same_is_told_after_its_time_and_a_reopening_begins_anew() -> None:
    frozen = FrozenPicture(60.0)
    assert [frozen.same_s(7, at_s) for at_s in (0.0, 59.0, 60.0, 75.0)] == [0.0, 0.0, 60.0, 75.0]
    assert frozen.same_s(8, 76.0) == 0.0
    frozen.forget()
    assert frozen.same_s(8, 200.0) == 0.0


FAILED, CRASHED, STALLED = (SessionEnd(reason) for reason in ("failed", "crashed", "stalled"))
GROUP, ASKED = SessionEnd("group"), SessionEnd("failed", wait_s=60.0)


@pytest.mark.parametrize(
    ("end", "opened", "shared", "size", "becomes"),
    [
        (FAILED, False, True, 1, MOVED),
        (FAILED, False, False, 1, FAILED),
        (FAILED, True, True, 8, FAILED),
        (ASKED, False, True, 8, ASKED),
        (CRASHED, True, True, 4, CRASHED),
        (CRASHED, True, False, 8, CRASHED),
        (STALLED, True, True, 1, STALLED),
        (GROUP, True, True, 8, GROUP),
        (MOVED, True, True, 1, MOVED),
        (STOPPED, True, True, 8, STOPPED),
        (OFF, True, True, 8, OFF),
    ],
)
def test_company(end: SessionEnd, opened: bool, shared: bool, size: int, becomes: SessionEnd) -> None:
    company = Company(8)
    assert company.after(end, opened=opened, healthy=False, shared=shared, capacity=8) is becomes
    assert company.size == size
    company.after(STOPPED, opened=True, healthy=True, shared=False, capacity=1)
    assert company.size == 8


def task(reader: ReaderKind, address: str, connection: Connection, **changes: bool) -> CaptureTask:
    return CaptureTask(reader, address, 5, False, 90, 1, 1, 1, connection=connection, **changes)


def test_only_what_is_reached_in_the_same_way_shares_a_process() -> None:
    stream, plain = ReaderKind.STREAM, Connection()
    key = group_key(task(stream, "rtsp://a/1", plain))
    assert key is not None
    assert group_key(task(stream, "rtsp://b/2", Connection(user="joe", password="geheim"))) == key
    assert "geheim" not in key
    others = [
        task(stream, "rtsps://a/1", plain),
        task(stream, "rtsp://a/1", Connection(rtsp_transport="udp")),
        task(stream, "rtsp://a/1", plain, keyframes_only=True),
        task(ReaderKind.HTTP, "http://a/1", plain),
    ]
    assert len({key, *(group_key(other) for other in others)}) == 5
    alone = [(stream, Connection(use_proxy=True)), (ReaderKind.USB, plain), (ReaderKind.VIDEO, plain)]
    assert [group_key(task(reader, "x", connection)) for reader, connection in alone] == [None] * 3
