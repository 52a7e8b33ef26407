"""RTSP cameras for tests, each a process of the system's Python (tests/support/rtsp_server.py)."""

import functools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.process.ports import find_ports
from tests.support.paths import ROOT

# The system's Python has the module `gi`; that of a virtual environment or pyenv has not.
SYSTEM_PYTHON = Path("/usr/bin/python3")
SERVER = ROOT / "tests" / "support" / "rtsp_server.py"


@functools.cache
def has_rtsp_server() -> bool:
    check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    return (
        SYSTEM_PYTHON.exists()
        and subprocess.run([SYSTEM_PYTHON, "-c", check], check=False, capture_output=True).returncode == 0
    )


NEEDS_RTSP = pytest.mark.skipif(
    not has_rtsp_server(), reason="needs Debian's python3-gi and gir1.2-gst-rtsp-server-1.0"
)


@contextmanager
def rtsp_camera(*options: str, port: int = 0) -> Iterator[str]:
    """The address of a camera with these options; skips the test where this machine has no encoder for it."""
    port = port or find_ports(1)[0]
    command = [str(SYSTEM_PYTHON), str(SERVER), str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            told = server.stdout.readline().strip()
            if told.startswith("no "):
                pytest.skip(f"{told} encoder in GStreamer")
            assert told == "ready"
            yield f"{'rtsps' if '--cert' in options else 'rtsp'}://127.0.0.1:{port}/cam"
        finally:
            server.kill()
