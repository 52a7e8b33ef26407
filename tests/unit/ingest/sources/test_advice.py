"""The setting that may mend a fault is named, and none where no setting helps."""

import pytest

from ingest.sources.advice import advice
from ingest.sources.connection import Connection

UDP = Connection(rtsp_transport="udp")


@pytest.mark.parametrize(
    ("why", "connection", "words"),
    [
        ("it answers HTTP 401 Unauthorized", Connection(), "SIGHTLINE_CAMERA__USER, SIGHTLINE_CAMERA__PASSWORD"),
        ("it does not open: method DESCRIBE failed: 401 (Unauthorized)", Connection(), "set user and password"),
        ("it does not open: method DESCRIBE failed: 403 Forbidden", Connection(), "set user and password"),
        (
            "it does not open: method SETUP failed: 461 (Unsupported Transport)",
            UDP,
            "no RTP over udp: set rtsp_transport",
        ),
        ("it does not open: method SETUP failed: 461 (Unsupported Transport)", Connection(), ""),
        ("it does not open: method DESCRIBE failed: 404 (Not Found)", UDP, ""),
        ("it answers HTTP 503 Service Unavailable", Connection(), ""),
        ("its picture of 401 bytes is not whole", Connection(), ""),
    ],
)
def test_advice(why: str, connection: Connection, words: str) -> None:
    found = advice(why, connection)
    assert words in found
    assert bool(words) == bool(found)
