"""Starts the RTSP camera of `tests/support/rtsp_server.py` with the system's Python, which has the module `gi`."""

import subprocess
from pathlib import Path

# That of a virtual environment or pyenv has not.
SYSTEM_PYTHON = Path("/usr/bin/python3")
PROGRAM = Path(__file__).with_name("rtsp_server.py")


def has_rtsp_server() -> bool:
    check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    return (
        SYSTEM_PYTHON.exists()
        and subprocess.run([SYSTEM_PYTHON, "-c", check], check=False, capture_output=True).returncode == 0
    )


def rtsp_server(port: int) -> subprocess.Popen[str]:
    """The process, which serves rtsp://127.0.0.1:PORT/cam by now."""
    server = subprocess.Popen([SYSTEM_PYTHON, PROGRAM, str(port)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


def kill(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()
    if server.stdout:
        server.stdout.close()
