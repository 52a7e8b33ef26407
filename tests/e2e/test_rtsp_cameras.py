"""RTSP cameras as they are sold, on GStreamer's server: transports, codecs, audio, sizes, passwords, certificates."""

import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from ingest.camera.session_end import FeedState
from ingest.publish.frame import OutgoingFrame
from tests.support.cameras import SETTINGS, spec_of
from tests.support.rtsp_cameras import NEEDS_RTSP, rtsp_camera
from tests.support.watched_feed import watched_feed

# Minutes in all: opening a stream takes seconds.
pytestmark = [pytest.mark.system, NEEDS_RTSP]

QUICK = SETTINGS.model_copy(update={"backoff_initial_ms": 60_000})


def size_of(frame: OutgoingFrame) -> tuple[int, int]:
    pixels = cv2.imdecode(np.frombuffer(frame.image, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.max() > 200, "the ball is in the picture"
    height, width = pixels.shape[:2]
    return height, width


def assert_gives_frames(address: str, count: int = 8, **keys: object) -> None:
    with watched_feed(spec_of(address, 10, SETTINGS, **keys)) as watched:
        watched.until(lambda: len(watched.captured) >= count)
        assert {size_of(frame) for frame in watched.captured} == {(240, 320)}
        assert len(watched.epochs()) == 1
        assert {frame.uri for frame in watched.captured} == {address}


def fault_of(address: str, **keys: object) -> str:
    with watched_feed(spec_of(address, 10, SETTINGS, **keys), QUICK) as watched:
        watched.until(lambda: watched.feed.state == FeedState.DOWN)
        assert not watched.captured
        return watched.feed.why


@pytest.mark.parametrize("only", ["udp", "tcp"])
@pytest.mark.parametrize("transport", ["auto", "same"])
def test_a_camera_with_one_transport(only: str, transport: str) -> None:
    with rtsp_camera("--only", only) as address:
        assert_gives_frames(address, rtsp_transport=only if transport == "same" else transport)


@pytest.mark.parametrize(("only", "asked"), [("udp", "tcp"), ("tcp", "udp")])
def test_a_transport_that_the_camera_has_not_is_named(only: str, asked: str) -> None:
    with rtsp_camera("--only", only) as address:
        why = fault_of(address, rtsp_transport=asked)
    for words in ("461", f"no RTP over {asked}", "set rtsp_transport", "SIGHTLINE_CAMERA__RTSP_TRANSPORT"):
        assert words in why


@pytest.mark.parametrize("codec", ["h264", "h265", "jpeg"])
@pytest.mark.parametrize("audio", ["", "pcmu", "aac"])
def test_codecs_and_audio_tracks(codec: str, audio: str) -> None:
    with rtsp_camera("--codec", codec, *(["--audio", audio] if audio else [])) as address:
        assert_gives_frames(address)


@pytest.mark.parametrize("codec", ["h264", "h265", "jpeg"])
def test_frames_go_on_when_the_size_changes(codec: str) -> None:
    """OpenCV scales H.264 and H.265 to the size that the stream had when it was opened."""
    with rtsp_camera("--codec", codec, "--resize-s", "1") as address, watched_feed(spec_of(address, 10)) as watched:
        watched.until(lambda: len(watched.captured) >= 50)
        assert len(watched.epochs()) == 1
        assert watched.feed.failures == 0
        assert len({size_of(frame) for frame in watched.captured}) == (2 if codec == "jpeg" else 1)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_key_frames_alone(codec: str) -> None:
    """The server sends one a second, and 15 frames a second in all."""
    with rtsp_camera("--codec", codec) as address, watched_feed(spec_of(address, 10, keyframes_only=True)) as watched:
        watched.until(lambda: len(watched.captured) >= 2)
        began_s, before = time.monotonic(), len(watched.captured)
        watched.until(lambda: time.monotonic() - began_s > 4.0)
        assert 2 <= len(watched.captured) - before <= 6
        assert {size_of(frame) for frame in watched.captured} == {(240, 320)}


def test_a_camera_of_which_smaller_pictures_are_wanted() -> None:
    with rtsp_camera() as address, watched_feed(spec_of(address, 10, max_side=160)) as watched:
        watched.until(lambda: len(watched.captured) >= 3)
        assert {size_of(frame) for frame in watched.captured} == {(120, 160)}


@pytest.mark.parametrize("kind", ["basic", "digest"])
def test_credentials_apart_from_the_address(kind: str) -> None:
    word = "p@ss:w#rd/.."
    with rtsp_camera("--password", word, *(["--digest"] if kind == "digest" else [])) as address:
        assert_gives_frames(address, user="joe", password=word)
        for keys in ({}, {"user": "joe", "password": "geheim"}):
            why = fault_of(address, **keys)
            for words in ("401", "set user and password", "SIGHTLINE_CAMERA__PASSWORD"):
                assert words in why
            assert "geheim" not in why


@pytest.mark.parametrize("name", ["127.0.0.1", "camera.example"])
def test_a_certificate_of_its_own(name: str, tmp_path: Path) -> None:
    both, cert = tmp_path / "both.pem", tmp_path / "cert.pem"
    names = ["-subj", f"/CN={name}", *(["-addext", f"subjectAltName=IP:{name}"] if name[0].isdigit() else [])]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", *names]
    subprocess.run([*command, "-keyout", tmp_path / "key", "-out", cert], check=True, capture_output=True)
    both.write_bytes(cert.read_bytes() + (tmp_path / "key").read_bytes())
    with rtsp_camera("--cert", str(both)) as address:
        assert_gives_frames(address, ca_file=str(cert))
        assert_gives_frames(address, tls_verify=False)
        why = fault_of(address)
        for words in ("certificate verify failed", "ca_file", "tls_verify = false", "SIGHTLINE_CAMERA__TLS_VERIFY"):
            assert words in why
