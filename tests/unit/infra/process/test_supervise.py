"""Child processes of the demo and the benchmarks: their end in words, their readiness, and that none is left."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from infra.process import supervise
from infra.process.supervise import Child, ChildFailed, ready_child, stop

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("started", flush=True)
time.sleep(60)
"""
WILLING = "import time; print('started', flush=True); time.sleep(60)"

Start = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a Python program as if it were a `sightline` command; it is ready once it has printed something."""

    def started(program: str) -> Child:
        monkeypatch.setattr(supervise, "module_command", lambda _module, *_words: [sys.executable, "-c", program])
        return Child(["stream"], tmp_path / "stream.log")

    def answer(_port: int, _path: str, _timeout_s: float) -> tuple[int, str]:
        printed = (tmp_path / "stream.log").read_text()
        return (200, "ok\n") if "started" in printed else (503, "waiting for partitions\n")

    monkeypatch.setattr(supervise, "find_ports", lambda count: [1] * count)
    monkeypatch.setattr(supervise, "http_get", answer)
    return started


def test_a_real_command_that_ends_is_told_with_its_exit_code_and_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "find_ports", lambda count: [1] * count)
    child = Child(["nonsense"], tmp_path / "logs" / "nonsense.log")
    assert child.wait(30.0)
    with pytest.raises(ChildFailed, match=r"(?s)`sightline nonsense` exited with 2; its last output:.*no command"):
        child.check()


def test_a_signal_is_told_by_its_name(start: Start) -> None:
    child = start(WILLING)
    child.check()
    child.kill()
    with pytest.raises(ChildFailed, match="`sightline stream` ended with SIGKILL"):
        child.check()
    child.terminate()  # of one that has ended: nothing happens
    child.kill()


def test_ready_is_waited_for(start: Start) -> None:
    child = start(WILLING)
    child.wait_ready(30.0)
    assert child.not_ready() is None
    assert stop([child], 5.0) == []
    assert not child.running()


def test_one_that_is_not_ready_in_time_is_told_with_its_reason(start: Start) -> None:
    child = start("import time; time.sleep(60)")
    with pytest.raises(ChildFailed, match=r"is not ready after 0\.1 s \(waiting for partitions\)"):
        child.wait_ready(0.1)
    stop([child], 5.0)


def test_one_that_ends_while_it_starts_is_not_waited_for(start: Start) -> None:
    child = start("raise SystemExit(3)")
    with pytest.raises(ChildFailed, match="exited with 3"):
        child.wait_ready(60.0)


def test_one_that_does_not_answer_is_starting(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    child = start(WILLING)
    monkeypatch.setattr(supervise, "http_get", lambda *_: (0, "[Errno 111] Connection refused"))
    assert child.not_ready() == "starting"
    assert child.metrics() == ""
    stop([child], 5.0)


def test_one_that_ignores_sigterm_is_killed_and_named(start: Start) -> None:
    child = start(STUBBORN)
    child.wait_ready(30.0)
    assert stop([child], 0.2) == ["stream"]
    assert not child.running()


def test_a_block_leaves_no_child_when_it_fails(start: Start, tmp_path: Path) -> None:
    start(WILLING).kill()
    pid = 0
    with (
        pytest.raises(RuntimeError, match="measured"),
        ready_child(["stream"], tmp_path / "stream.log", {}, 30, 5) as child,
    ):
        pid = child.pid
        raise RuntimeError("nothing was measured")
    assert pid and not psutil.pid_exists(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no sessions that share out the cores")
def test_a_nice_child_yields_to_others_with_its_session(start: Start, tmp_path: Path) -> None:
    start(WILLING).kill()
    child = Child(["stream"], tmp_path / "nice.log", niceness=4)
    try:
        assert psutil.Process(child.pid).nice() == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 4)
        group = Path(f"/proc/{child.pid}/autogroup")
        assert not group.exists() or group.read_text().split()[-1] == "4"
    finally:
        child.kill()
