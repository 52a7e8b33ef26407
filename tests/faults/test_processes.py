"""Processes are killed, frozen, restarted in a rollout, added and removed."""

import signal
import time

import psutil
import pytest

from tests.faults.conftest import RigMaker

# A freeze is longer than every session time-out in use.
FROZEN_S = 40.0
WORKER_BACK_S = 10.0
DECODER_KILLS = 10


def test_kill_stream(make_rig: RigMaker) -> None:
    rig = make_rig("kill -9 of the stream process, 3 times")
    rig.start_stages()
    rig.send(rate_per_s=50)
    for _ in range(3):
        rig.wait(rig.rng.uniform(2.0, 5.0))
        rig.stream.kill()
        rig.harm_is_over()
        rig.wait_flowing()
    rig.settle()
    assert rig.stream.restarts == 3


def test_kill_decoders(make_rig: RigMaker) -> None:
    """The stage restarts its decode processes and repeats their jobs: no frame is lost, and the stage goes on."""
    rig = make_rig(f"kill -9 of one of the stream's decode processes, {DECODER_KILLS} times")
    rig.start_stages()
    rig.send(rate_per_s=50)
    rig.wait_flowing()
    for _ in range(DECODER_KILLS):
        rig.wait(rig.rng.uniform(0.0, 1.5))
        # The oldest one is at work. Decode processes that keep dying at their start would end the stage.
        min(psutil.Process(rig.stream.pid).children(), key=lambda decoder: decoder.create_time()).kill()
        rig.harm_is_over()
        rig.wait_flowing()
    ledger = rig.settle()
    assert rig.stream.restarts == 0
    assert (ledger.dead, ledger.duplicates) == (0, 0)


def test_kill_worker(make_rig: RigMaker) -> None:
    rig = make_rig("kill -9 of the worker, 3 times")
    rig.start_stages()
    rig.send(rate_per_s=50)
    for _ in range(3):
        rig.wait(rig.rng.uniform(2.0, 5.0))
        rig.infer.kill()
        rig.harm_is_over()
        rig.wait_flowing()
    rig.settle()
    assert rig.infer.restarts == 3


def test_kill_one_of_two_workers(make_rig: RigMaker) -> None:
    """The other worker takes over when the session of the dead one expires: within 10 s with the default time-outs."""
    rig = make_rig("kill -9 of one of two workers, not started again")
    rig.start_stages()
    other = rig.keep("infer-2", "infer", "--model", "null")
    rig.send(rate_per_s=50)
    rig.wait(5.0)
    other.kill_for_good()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()
    recover_s = rig.recover_s()
    assert recover_s is not None
    assert recover_s <= WORKER_BACK_S


def test_kill_camera_agent(make_rig: RigMaker) -> None:
    """Frames that were not acknowledged do not count as lost; the new agent numbers frames in a new stream_epoch."""
    rig = make_rig("kill -9 of the camera agent, 3 times")
    rig.start_stages()
    camera = rig.keep("camera", "camera", "--source", "sim:coffee", "--id", "cam-sim", "--fps", "10")
    for _ in range(3):
        rig.wait(rig.rng.uniform(3.0, 6.0))
        camera.kill()
        rig.wait(1.0)
        camera.wait_ready()
    rig.wait(4.0)
    camera.stop()
    ledger = rig.settle()
    assert ledger.written > 60
    assert len({label.frame_id.split("/")[1] for label in rig.reading.labels()}) == 4


@pytest.mark.parametrize("stage", ["stream", "infer"])
def test_frozen(make_rig: RigMaker, stage: str) -> None:
    """Frozen for longer than its session, alone in its group: it must rejoin, or end and be restarted."""
    rig = make_rig(f"SIGSTOP of {stage} for {FROZEN_S:g} s")
    rig.start_stages()
    rig.send(rate_per_s=30)
    rig.wait(4.0)
    rig.keepers[stage].signal(signal.SIGSTOP)
    rig.wait(FROZEN_S)
    rig.keepers[stage].signal(signal.SIGCONT)
    rig.harm_is_over()
    rig.wait_flowing()
    rig.wait(2.0)
    rig.settle()


@pytest.mark.parametrize("stage", ["stream", "infer"])
def test_frozen_beside_another(make_rig: RigMaker, stage: str) -> None:
    """While it is frozen, the other process takes its partitions; after it wakes up it must not commit any of them."""
    rig = make_rig(f"SIGSTOP of one of two {stage} for {FROZEN_S:g} s")
    rig.start_stages()
    rig.keep(f"{stage}-2", stage, "--model", "null")
    rig.send(rate_per_s=30)
    rig.wait(4.0)
    rig.keepers[stage].signal(signal.SIGSTOP)
    frozen_s = time.monotonic()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.wait(FROZEN_S - (time.monotonic() - frozen_s))
    rig.keepers[stage].signal(signal.SIGCONT)
    rig.wait(5.0)
    rig.settle()


def test_rolling_restart(make_rig: RigMaker) -> None:
    rig = make_rig("rolling restart of two stream processes and two workers")
    rig.start_stages()
    rig.keep("stream-2", "stream", "--model", "null", ready=False)
    rig.keep("infer-2", "infer", "--model", "null", ready=False)
    rig.wait_ready()
    rig.send(rate_per_s=50)
    rig.wait(3.0)
    for keeper in rig.keepers.values():
        keeper.restart()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()
    assert all(end.code == 0 for keeper in rig.keepers.values() for end in keeper.ends), rig.words()


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_worker_joins_and_leaves(make_rig: RigMaker, protocol: str) -> None:
    rig = make_rig(
        f"a worker joins and leaves every few seconds ({protocol})", SIGHTLINE_INFER__GROUP_PROTOCOL=protocol
    )
    rig.start_stages()
    rig.send(rate_per_s=50)
    guest = rig.keep("infer-2", "infer", "--model", "null")
    for turn in range(5):
        rig.wait(rig.rng.uniform(1.0, 3.0))
        # In turns: it leaves the group by SIGTERM, or it is killed.
        if turn % 2:
            guest.kill_for_good()
        else:
            guest.stop()
        rig.wait(rig.rng.uniform(0.5, 2.0))
        guest.start()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.settle()


def test_beyond_max_poll_interval(make_rig: RigMaker) -> None:
    """A thread of the client keeps the session alive, so only max.poll.interval.ms shows that the worker hangs."""
    rig = make_rig(
        "a worker beyond max.poll.interval",
        SIGHTLINE_INFER__MAX_POLL_INTERVAL_MS="7000",
        SIGHTLINE_INFER__SESSION_TIMEOUT_MS="6000",
    )
    rig.start_stages()
    rig.keep("infer-2", "infer", "--model", "null")
    rig.send(rate_per_s=50)
    rig.wait(3.0)
    for _ in range(2):
        rig.infer.signal(signal.SIGSTOP)
        rig.wait(9.0)
        rig.infer.signal(signal.SIGCONT)
        rig.harm_is_over()
        rig.wait_flowing()
    rig.settle()
