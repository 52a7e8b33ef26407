"""The look of the brake at the live lane of a real broker: what it sees, and what it does where it sees nothing."""

import signal
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from infra.process.supervise import ChildFailed
from infra.replay.brake import SLOW_S, LiveLag, LiveState
from infra.replay.lane import LaneStages
from tests.support.batches import Feeder, wait_for
from tests.support.deployment import Deployment
from tests.support.runner import Runner

pytestmark = pytest.mark.system


def test_a_worker_that_falls_behind_is_seen_and_one_that_is_gone_is_not_waited_for(
    feeder: Feeder, sightline: Runner, deployment: Deployment
) -> None:
    patient = {"SIGHTLINE_INFER__GROUP_PROTOCOL": "classic", "SIGHTLINE_INFER__SESSION_TIMEOUT_MS": "30000"}
    worker = sightline.start("infer", "--model", "null", "--no-cache", env=patient)
    with LiveLag(deployment.settings()) as live:

        def look() -> float | None:
            """After more work for the worker."""
            feeder.feed(batches=4)
            time.sleep(0.5)
            return live.look().lag_s

        keeps_up = [look() for _ in range(6)]
        worker.signal(signal.SIGSTOP)
        frozen = [look() for _ in range(14)]
        worker.signal(signal.SIGCONT)
        wait_for(lambda: live.look() == LiveState(0.0, f"{deployment.prefix}sightline-infer"), 30, "no lag", [worker])
        worker.stop()
        with capture_logs() as said:
            gone = [live.look() for _ in range(3)]
    assert max(lag_s for lag_s in keeps_up if lag_s is not None) < SLOW_S
    assert (frozen[-1] or 0.0) >= SLOW_S, (keeps_up, frozen)
    assert all(state.lag_s is None and "no live stage is seen" in state.why for state in gone)
    assert [entry["event"] for entry in said] == ["the replay does not give way to the live lane"]


def test_a_stage_that_cannot_start_is_told_in_its_own_words_and_none_is_left(tmp_path: Path) -> None:
    env = {
        "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SIGHTLINE_KAFKA__START_TIMEOUT_MS": "300",
        "SIGHTLINE_INFER__MODEL": "null",
    }
    stages = LaneStages(env=env, logs_dir=tmp_path, niceness=0)
    with pytest.raises(
        ChildFailed, match=r"(?s)`sightline (infer|stream)` exited with 1.*Kafka does not answer at 127"
    ):
        stages.__enter__()
    assert stages.children == []
    assert {file.name for file in tmp_path.iterdir()} == {"infer.log", "stream.log"}
