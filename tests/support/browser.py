"""Chromium on a page, behind a proxy that answers nothing and notes which hosts were asked for."""

import re
import shutil
import socket
import subprocess
import threading
from pathlib import Path

TIMEOUT_S = 60
# Kept away from the network by itself as far as it lets: what is left is known from an empty page.
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--force-color-profile=srgb", "--hide-scrollbars",
    "--blink-settings=preferredColorScheme=1",
)  # fmt: skip


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


class HostRecorder:
    """A proxy. Every connection is noted by the host that it names, and closed."""

    def __init__(self) -> None:
        self.hosts: set[str] = set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                line = connection.recv(4096).split(b"\r\n")[0].decode(errors="replace")
                target = re.search(r"^\w+ (?:https?://)?([^/ :]+)", line)
                self.hosts.add(target[1] if target else line)


def hosts_asked_for(page: Path, profile: Path, *flags: str) -> set[str]:
    """The hosts that Chromium asks for while it shows the page, each by name; loopback is no exception."""
    recorder = HostRecorder()
    try:
        run_chromium(
            page, profile, f"--proxy-server=127.0.0.1:{recorder.port}", "--proxy-bypass-list=<-loopback>", *flags
        )
    finally:
        recorder.close()
    return recorder.hosts


def run_chromium(page: Path, profile: Path, *flags: str) -> str:
    """What it prints: with `--dump-dom` the document as it stands after loading."""
    program = chromium()
    assert program is not None
    done = subprocess.run(
        [program, *FLAGS, f"--user-data-dir={profile}", "--virtual-time-budget=5000", *flags, page.as_uri()],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
