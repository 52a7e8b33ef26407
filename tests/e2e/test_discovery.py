"""Finding ONVIF cameras: a responder on a real socket."""

import itertools

from ingest.camera.discover_command import discover
from ingest.camera.discovery import FoundCamera
from tests.support.onvif import answer, responder

DOCK = FoundCamera("192.168.1.61", "Dock 1", "DS-2CD", "http://192.168.1.61/onvif/device_service", "urn:uuid:cam-1")


def test_cameras_are_found_once_each_among_answers_that_are_none() -> None:
    def answers(message_id: str) -> list[bytes]:
        good = [answer(number, message_id).encode() for number in (2, 1, 1)]
        return [b"", b"\xff\x00 no xml", answer(3, "uuid:another").encode(), *good]

    with responder(answers) as target:
        found = discover(["127.0.0.1"], target, 1.0)
    assert [camera.name for camera in found] == ["Dock 1", "Dock 2"]
    assert found[0] == DOCK
    assert 'source = "rtsp://192.168.1.61:554/"' in found[0].toml


def test_silent_interfaces_do_not_hold_up_the_answers_of_another() -> None:
    probes = itertools.count()

    def answers(message_id: str) -> list[bytes]:
        is_first = next(probes) == 0  # all the answers go to one socket of eight
        return [answer(number, message_id).encode() for number in range(60)] if is_first else []

    with responder(answers) as target:
        assert len(discover(["127.0.0.1"] * 8, target, 1.0)) == 60


def test_nobody_answers() -> None:
    with responder(lambda _: []) as target:
        assert discover(["127.0.0.1"], target, 0.2) == []
    assert discover([], ("127.0.0.1", 9), 0.2) == []
