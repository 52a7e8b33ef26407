"""A replay whose broker, or whose own process, goes away in the middle: each frame is in the lane once all the same."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from infra.replay.progress import read
from schemas.replays import ReplayState
from tests.kafka.test_replay import MINUTE_MS, copies, originals, range_of, replay, wait_copied
from tests.support.deployment import Deployment
from tests.support.deployment import deployment as new_deployment
from tests.support.history import History
from tests.support.runner import Runner
from tests.support.services import Services, local_services

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


def test_twenty_thousand_frames_over_twelve_partitions_killed_five_times(services: Services) -> None:
    with new_deployment(services, SIGHTLINE_TOPICS__PARTITIONS="12") as made:
        sightline = Runner(made.env)
        history = History.written(made, frames=20_000, spread_ms=20 * MINUTE_MS, seed=11, image_bytes=2_000)
        from_ms, to_ms = history.middle
        words, wanted = range_of(from_ms, to_ms), history.places(from_ms, to_ms)
        assert replay(sightline, "start", *words, "--name", "whole")[0] == 0
        assert originals(copies(made, "whole")) == Counter(wanted)
        process = sightline.start("replay", "start", *words, "--name", "killed", "--rate", "600/s", http=False)
        copied = 0
        for _ in range(5):
            copied = wait_copied(made, "killed", copied + 300, process)
            process.kill()
            process = sightline.start("replay", "resume", "killed", http=False)
        wait_copied(made, "killed", copied, process)
        sightline.close()
        code, done, _ = replay(sightline, "resume", "killed", "--rate", "100000/s")
        assert (code, done["copied"]) == (0, len(wanted))
        assert originals(copies(made, "killed")) == Counter(wanted)


def test_a_frozen_copier_that_wakes_up_writes_nothing_more(sightline: Runner, deployment: Deployment) -> None:
    history = History.written(deployment, frames=400, spread_ms=20 * MINUTE_MS, seed=3)
    from_ms, to_ms = history.middle
    words, wanted = range_of(from_ms, to_ms), history.places(from_ms, to_ms)
    process = sightline.start("replay", "start", *words, "--name", "frozen", "--rate", "20/s", http=False)
    wait_copied(deployment, "frozen", 10, process)
    process.signal(signal.SIGSTOP)
    code, done, _ = replay(sightline, "resume", "frozen", "--rate", "10000/s")
    assert (code, done["copied"]) == (0, len(wanted))
    process.signal(signal.SIGCONT)
    assert process.wait(90) == 1
    assert "the replay frozen stopped" in process.stderr
    assert "Traceback" not in process.stderr
    assert originals(copies(deployment)) == Counter(wanted)
    assert read(deployment.settings(), "frozen").state is ReplayState.COMPLETED


def test_a_broker_that_goes_away_in_the_middle_is_survived(tmp_path: Path) -> None:
    with local_services(tmp_path / "home") as own, new_deployment(own) as made:
        assert own.kafka is not None
        sightline = Runner(made.env)
        history = History.written(made, frames=1_000, spread_ms=20 * MINUTE_MS, seed=4)
        from_ms, to_ms = history.middle
        words, wanted = range_of(from_ms, to_ms), history.places(from_ms, to_ms)
        process = sightline.start("replay", "start", *words, "--name", "cut", "--rate", "20/s", http=False)
        wait_copied(made, "cut", 20, process)
        own.kafka.kill_broker(1)
        time.sleep(5)
        own.kafka.start_broker(1)
        assert process.wait(120) in (0, 1)
        assert "Traceback" not in process.stderr, process.stderr
        if process.exit_code:
            assert "`sightline replay resume cut` goes on" in process.stderr
            assert replay(sightline, "resume", "cut", "--rate", "10000/s")[0] == 0
        assert originals(copies(made)) == Counter(wanted)
        sightline.close()
