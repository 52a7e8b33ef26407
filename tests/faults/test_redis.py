"""Redis is down, comes back empty, or is slow: frames are labelled without the cache."""

from schemas.records import Origin
from tests.faults.conftest import RigMaker


def test_redis_killed_and_back_empty(make_rig: RigMaker) -> None:
    rig = make_rig("Redis killed for 8 s, back empty")
    rig.start_stages()
    rig.send(rate_per_s=50, repeat_share=0.5)
    rig.wait(4.0)
    rig.cluster.valkey.kill()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.wait(8.0)
    rig.cluster.forget_cache()
    rig.cluster.start_valkey()
    rig.wait(4.0)
    rig.settle()
    assert any(label.origin is Origin.CACHE_EXACT for label in rig.reading.labels())
    assert not rig.stream.restarts
    assert not rig.infer.restarts


def test_redis_slow(make_rig: RigMaker) -> None:
    rig = make_rig("Redis answers after 2 s")
    rig.start_stages()
    rig.send(rate_per_s=50, repeat_share=0.5)
    rig.wait(3.0)
    rig.cluster.redis_line.delay(1.0)
    rig.harm_is_over()
    rig.wait_flowing()
    rig.wait(8.0)
    rig.cluster.redis_line.restore()
    rig.wait(3.0)
    rig.settle()
    assert not rig.stream.restarts
    assert not rig.infer.restarts


def test_redis_hangs(make_rig: RigMaker) -> None:
    rig = make_rig("Redis takes connections and says nothing for 10 s")
    rig.start_stages()
    rig.send(rate_per_s=50, repeat_share=0.5)
    rig.wait(3.0)
    rig.cluster.redis_line.hold()
    rig.harm_is_over()
    rig.wait_flowing()
    rig.wait(10.0)
    rig.cluster.redis_line.restore()
    rig.wait(3.0)
    rig.settle()
    assert not rig.stream.restarts
    assert not rig.infer.restarts


def test_processes_start_without_redis(make_rig: RigMaker) -> None:
    """A process that finds no Redis at its start ends with an error, and is restarted until Redis answers."""
    rig = make_rig("Redis is not there at start, and comes after 6 s")
    rig.cluster.valkey.kill()
    rig.keep("stream", "stream", "--model", "null", ready=False)
    rig.keep("infer", "infer", "--model", "null", ready=False)
    rig.send(rate_per_s=50)
    rig.wait(6.0)
    rig.cluster.start_valkey()
    rig.harm_is_over()
    rig.wait_ready()
    rig.wait_flowing()
    rig.settle()
