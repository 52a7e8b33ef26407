"""`sightline infer` on a real broker: killed, joined by other workers, with a model that fails."""

import random
import signal
import time

import pytest

from schemas import codec
from schemas.headers import attempt_of, read_failure
from tests.faults.conftest import SEED
from tests.support.batches import Feeder, frame, micro_batch, read_all, row, wait_for
from tests.support.models import ALWAYS, HANGS, SOMETIMES, TOO_LARGE, marked
from tests.support.paths import ROOT
from tests.support.runner import Runner, Running

BOTH = pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
FAILING = ["infer", "--model", "tests.support.models:Failing", "--no-cache"]
FINDS_TESTS = {"PYTHONPATH": str(ROOT)}


def infer(sightline: Runner, delivery: str, env: dict[str, str] | None = None, *, ready: bool = True) -> Running:
    return sightline.start("infer", "--model", "null", "--no-cache", "--delivery", delivery, env=env, ready=ready)


@pytest.mark.slow
@pytest.mark.timeout(900)
@BOTH
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_killed_at_random_nothing_is_lost_and_exactly_once_is_once(
    feeder: Feeder, sightline: Runner, protocol: str, delivery: str
) -> None:
    """Two workers, one of them killed and started again, while frames keep coming."""
    chance, kills = random.Random(f"{SEED}:{protocol}:{delivery}"), 6
    env = {"SIGHTLINE_INFER__GROUP_PROTOCOL": protocol}
    workers = [infer(sightline, delivery, env) for _ in range(2)]
    for _ in range(kills):
        victim = chance.randrange(2)
        end_s = time.monotonic() + chance.uniform(0.2, 3.0)
        while time.monotonic() < end_s:
            feeder.feed(batches=4, frames_per_batch=3)
            time.sleep(0.02)
        workers[victim].kill()
        workers[victim] = infer(sightline, delivery, env, ready=False)
        feeder.feed(batches=20, frames_per_batch=3)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 90, "a label for every frame", workers)
    for worker in workers:
        worker.wait_ready()  # one that was just started may have no handler of signals yet
        assert worker.stop() == 0, worker.stderr[-3000:]
    found = feeder.labelled()
    print(f"{protocol} {delivery}: {len(found)} frames, {found.total() - len(found)} duplicates, {kills} kills")
    assert set(found) == feeder.frames
    if delivery == "exactly_once":
        assert set(found.values()) == {1}


@pytest.mark.slow
@pytest.mark.timeout(600)
@BOTH
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_workers_that_come_and_go_lose_and_repeat_nothing(
    feeder: Feeder, sightline: Runner, protocol: str, delivery: str
) -> None:
    """A worker that stops in order commits what it finished: even at least once makes no label twice."""
    env = {"SIGHTLINE_INFER__GROUP_PROTOCOL": protocol}
    stays = infer(sightline, delivery, env)
    for _ in range(3):
        comes = infer(sightline, delivery, env)
        for _ in range(30):
            feeder.feed(batches=4, frames_per_batch=3)
            time.sleep(0.02)
        assert comes.stop() == 0, comes.stderr[-3000:]
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", [stays])
    assert stays.stop() == 0, stays.stderr[-3000:]
    found = feeder.labelled()
    print(f"{protocol} {delivery}: {len(found)} frames, {found.total() - len(found)} duplicates")
    assert set(found.values()) == {1}


@BOTH
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_static_member_that_was_killed_takes_up_its_partitions_again(
    feeder: Feeder, sightline: Runner, protocol: str, delivery: str
) -> None:
    """The new process has the same group.instance.id. KIP-848: refused, it ends, until the old session is over."""
    env = {"SIGHTLINE_INFER__GROUP_PROTOCOL": protocol}
    names = [{**env, "SIGHTLINE_INFER__GROUP_INSTANCE_ID": name} for name in ("gpu-0", "gpu-1")]
    infer(sightline, delivery, names[1])
    worker = infer(sightline, delivery, names[0])
    for _ in range(2):
        feeder.feed(batches=20)
        wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", sightline.started)
        worker.kill()
        feeder.feed(batches=20)
        worker = start_until_it_stays(sightline, delivery, names[0])
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame", sightline.started)
    if delivery == "exactly_once":
        assert set(feeder.labelled().values()) == {1}


def start_until_it_stays(sightline: Runner, delivery: str, env: dict[str, str]) -> Running:
    """Start it again while it ends, as an orchestrator does."""
    until_s = time.monotonic() + 30
    while True:
        worker = infer(sightline, delivery, env, ready=False)
        while worker.exit_code is None and worker.probe("/readyz")[0] != 200:
            assert time.monotonic() < until_s, worker.stderr
            time.sleep(0.1)
        if worker.exit_code is None:
            return worker
        assert "instance ID is still used by another member" in worker.stderr


def test_a_killed_workers_partitions_flow_again_soon(feeder: Feeder, sightline: Runner) -> None:
    killed, survivor = (infer(sightline, "at_least_once") for _ in range(2))
    feeder.feed(batches=40)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame")
    killed.kill()
    feeder.feed(batches=8)
    took_s = wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame")
    print(f"labels of all partitions again after {took_s:.1f} s")
    assert took_s < 15  # 10 s on an idle machine
    assert survivor.stop() == 0


def test_a_failing_model_loses_no_frame(feeder: Feeder, sightline: Runner) -> None:
    names = feeder.names
    feeder.feed(batches=4, frames_per_batch=8, with_frames=True)  # offsets 0..7 of each partition
    marks = {9: TOO_LARGE, 11: ALWAYS, 12: SOMETIMES}
    offsets = range(8, 16)
    for offset in offsets:
        feeder.send(names.frames, 1, codec.encode(frame("cam-1", offset, image=b"image %d" % offset)))
    batch = micro_batch(names.frames, 1, offsets, lambda offset: marked(row(offset), marks.get(offset, 0)))
    for attempt in (0, 3):
        headers = [("sightline-attempt", b"%d" % attempt)] if attempt else None
        feeder.send(names.batches, 1, codec.encode(batch), headers)
    feeder.next_offset[1] = 16
    worker = sightline.start(*FAILING, env={**FINDS_TESTS, "SIGHTLINE_INFER__RETRY_LIMIT_MS": "500"})
    expected = feeder.frames - {(1, 11)}
    wait_for(lambda: set(feeder.labelled()) == expected, 60, "a label for every frame but one")
    wait_for(lambda: len(read_all(feeder.settings, names.dead)) == 1, 30, "the dead letter")
    (retried,) = read_all(feeder.settings, names.retry)
    (dead,) = read_all(feeder.settings, names.dead)
    for record, attempt in ((retried, 1), (dead, 3)):
        failure = read_failure(record.headers)
        assert failure is not None
        assert (failure.source.topic, failure.source.partition, failure.source.offset) == (names.frames, 1, 11)
        assert (failure.stage, failure.error_class, attempt_of(record.headers)) == ("infer", "ModelError", attempt)
        assert record.value is not None
        assert b"image 11" in record.value
        assert record.key == b"1"
    assert worker.stop() == 0, worker.stderr[-3000:]
    assert feeder.labelled()[(1, 9)] == 2  # both batches were labelled


@BOTH
def test_a_model_that_hangs_ends_the_process_with_a_sentence(feeder: Feeder, sightline: Runner, delivery: str) -> None:
    worker = sightline.start(
        *FAILING, "--delivery", delivery, env={**FINDS_TESTS, "SIGHTLINE_INFER__STALL_TIMEOUT_MS": "3000"}
    )
    batch = micro_batch(feeder.names.frames, 0, [0], lambda offset: marked(row(offset), HANGS))
    feeder.send(feeder.names.batches, 0, codec.encode(batch))
    assert worker.wait(60) == 1
    assert "frames wait and nothing was committed for" in worker.stderr
    assert "Traceback" not in worker.stderr


def test_a_stop_drops_what_a_failing_model_holds(feeder: Feeder, sightline: Runner) -> None:
    worker = sightline.start(*FAILING, env={**FINDS_TESTS, "SIGHTLINE_INFER__RETRY_LIMIT_MS": "60000"})
    batch = micro_batch(feeder.names.frames, 0, [0], lambda offset: marked(row(offset), ALWAYS))
    feeder.send(feeder.names.batches, 0, codec.encode(batch))
    wait_for(lambda: "the model failed" in worker.stderr, 30, "a failure")
    assert worker.stop() == 0, worker.stderr
    assert read_all(feeder.settings, feeder.names.retry) == []


def test_a_frozen_worker_that_comes_back_writes_nothing_twice_in_exactly_once(
    feeder: Feeder, sightline: Runner
) -> None:
    frozen, other = (infer(sightline, "exactly_once") for _ in range(2))
    feeder.feed(batches=100, frames_per_batch=3)
    frozen.signal(signal.SIGSTOP)
    feeder.feed(batches=100, frames_per_batch=3)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame")
    frozen.signal(signal.SIGCONT)
    feeder.feed(batches=100, frames_per_batch=3)
    wait_for(lambda: set(feeder.labelled()) == feeder.frames, 60, "a label for every frame")
    assert other.stop() == 0
    assert set(feeder.labelled().values()) == {1}


def test_no_broker_is_one_sentence(sightline: Runner) -> None:
    done = sightline.run(
        "infer", "--model", "null", "--no-cache",
        env={"SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "SIGHTLINE_KAFKA__START_TIMEOUT_MS": "1000"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_redis_is_one_sentence(sightline: Runner) -> None:
    done = sightline.run("infer", "--model", "null", env={"SIGHTLINE_REDIS__URL": "redis://127.0.0.1:1/0"})
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
