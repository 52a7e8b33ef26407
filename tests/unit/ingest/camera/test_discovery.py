"""Answers of ONVIF cameras, and some that nobody should believe."""

import pytest

from ingest.camera.discovery import MAX_ANSWER_BYTES, found_camera
from tests.support.onvif import answer

BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "data",
    [
        BOMB + answer(),
        answer() + " " * MAX_ANSWER_BYTES,
        answer()[:-20],
        answer().replace("<s:Body>", "<s:Body>" + "<a/>" * 2_000),
        answer().replace("XAddrs", "Other"),
        '<?xml version="1.0" encoding="foo"?>' + answer().partition("?>")[2],
        "",
    ],
)
def test_what_is_not_a_plain_answer_is_left_out(data: str) -> None:
    assert found_camera(data.encode(), "uuid:1", "192.168.1.61") is None


def test_the_text_of_a_camera_cannot_steer_a_terminal_and_its_address_is_its_own() -> None:
    hostile = answer().replace("Dock%201", "a%1b[2Jb" + "c" * 999).replace("http://192.168.1.61", "file://etc")
    camera = found_camera(hostile.encode(), "uuid:1", "192.168.1.61")
    assert camera is not None
    assert "\x1b" not in camera.name
    assert len(camera.name) <= 300
    assert camera.host == "fe80::1"
    assert 'source = "rtsp://[fe80::1]:554/"' in camera.toml


@pytest.mark.parametrize("host", ["a&quot;b", "a\x9b2J", "a" * 999, "x]#"])
def test_a_host_that_is_none_does_not_get_into_cameras_toml(host: str) -> None:
    hostile = answer().replace("192.168.1.61", host).replace("[fe80::1]", host)
    camera = found_camera(hostile.encode(), "uuid:1", "192.168.1.61")
    assert camera is None or camera.host == "192.168.1.61"
