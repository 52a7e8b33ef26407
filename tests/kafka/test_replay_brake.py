"""The look of the brake at the live lane of a real broker: what it sees, and what it does where it sees nothing."""

import signal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from infra.process.supervise import ChildFailed
from infra.replay.brake import LiveLag, LiveState
from infra.replay.lane import LaneStages
from tests.support.batches import Feeder, wait_for
from tests.support.deployment import Deployment
from tests.support.runner import Runner


def test_a_worker_that_falls_behind_is_seen_and_one_that_is_gone_is_not_waited_for(
    feeder: Feeder, sightline: Runner, deployment: Deployment
) -> None:
    worker = sightline.start(
        "infer", "--model", "null", "--no-cache", env={"SIGHTLINE_INFER__SESSION_TIMEOUT_MS": "30000"}
    )
    feeder.feed(batches=8)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "labels", [worker])
    with LiveLag(deployment.settings()) as live:
        wait_for(lambda: live.look() == LiveState(0.0, f"{deployment.prefix}sightline-infer"), 30, "no lag", [worker])
        worker.signal(signal.SIGSTOP)
        feeder.feed(batches=8)
        seen: list[float] = []

        def grows() -> bool:
            seen.append(live.look().lag_s or 0.0)
            return seen[-1] > 3.0

        wait_for(grows, 30, f"a lag that grows: {seen}")
        worker.signal(signal.SIGCONT)
        wait_for(lambda: live.look().lag_s == 0.0, 30, "caught up", [worker])
        worker.stop()
        with capture_logs() as said:
            gone = [live.look() for _ in range(3)]
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
