"""Which setting of a camera may mend what went wrong, by the words in which libraries tell it. Pure."""

import re

from ingest.sources.connection import Connection

# HTTP: it answers HTTP 401 Unauthorized. FFmpeg: method DESCRIBE failed: 401 (Unauthorized)
REFUSED = re.compile(r"\b(HTTP|failed:) 40[13]\b")
OTHER_TRANSPORT = re.compile(r"\bfailed: 461\b")


def advice(why: str, connection: Connection) -> str:
    """What to do about it, with the settings named; empty where no setting is known to help."""
    if REFUSED.search(why):
        return f"its user name or password is refused: {named('user', 'password')}"
    if OTHER_TRANSPORT.search(why) and connection.rtsp_transport != "auto":
        return f"it has no RTP over {connection.rtsp_transport}: {named('rtsp_transport')}"
    return ""


def named(*settings: str) -> str:
    """Where these settings are made."""
    variables = ", ".join(f"SIGHTLINE_CAMERA__{name.upper()}" for name in settings)
    return f"set {' and '.join(settings)} (for one camera in cameras.toml, for all {variables})"
