"""The stream stage as a member of its group: commits across offsets without a record, and static membership."""

import time

import pytest
from confluent_kafka import Producer

from infra.kafka import clients
from schemas import codec
from schemas.records import Encoding, Frame, SourceKind
from tests.support.deployment import Deployment
from tests.support.runner import Runner
from tests.support.stream_ends import Feed, Outcomes, jpeg, wait_committed

pytestmark = pytest.mark.timeout(300)

START = ("stream", "--model", "null", "--no-cache")
# Longer than any of these tests waits for an outcome.
NAMED = {"SIGHTLINE_STREAM__GROUP_INSTANCE_ID": "stage-0", "SIGHTLINE_STREAM__SESSION_TIMEOUT_MS": "30000"}


@pytest.mark.system
def test_commits_reach_the_last_frame_of_a_producer_with_transactions(
    deployment: Deployment, sightline: Runner, outcomes: Outcomes
) -> None:
    """Between frames lie transaction markers and aborted frames, from offset 1. Faust would stop committing there."""
    stage = sightline.start(*START, env={"SIGHTLINE_STREAM__STALL_TIMEOUT_MS": "10000"})
    keys = {"transactional.id": f"{deployment.prefix}tx", "delivery.timeout.ms": 30_000}
    producer = Producer(clients.producer_config(deployment.settings(), **keys))
    producer.init_transactions(30)
    offset, places = 0, set()
    for number in range(60):
        frame = Frame(f"cam/1/{number}", "cam", SourceKind.CAMERA, 1, number, 7, 8, Encoding.JPEG, jpeg(number))
        is_kept = number % 5 != 1
        producer.begin_transaction()
        producer.produce(deployment.topics.frames, codec.encode(frame), "cam", partition=0)
        if is_kept:
            producer.commit_transaction(30)
            places.add((0, offset))
        else:
            producer.flush(30)
            producer.abort_transaction(30)
        offset += 2  # the frame, and the marker
        time.sleep(0.1)  # so that several commits of the stage fall in between
    outcomes.wait_for(places)
    wait_committed(deployment, max(places)[1] + 1)
    time.sleep(12)
    assert stage.exit_code is None, "nothing waits"
    assert stage.stop() == 0, stage.stderr
    assert set(outcomes.places().values()) == {1}


def test_a_killed_stage_with_a_name_is_followed_at_once(
    deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    """A process with the same name need not wait until the session of the killed one is over."""
    first = sightline.start(*START, env=NAMED)
    for number in range(20):
        feed.send(number)
    outcomes.wait_for(feed.places)
    wait_committed(deployment, 20)
    first.kill()
    second = sightline.start(*START, env=NAMED)
    for number in range(20, 40):
        feed.send(number)
    feed.close()
    assert set(outcomes.wait_for(feed.places, timeout_s=20).values()) == {1}
    assert second.stop() == 0, second.stderr


def test_two_stages_of_one_name_end_with_a_sentence(
    deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    """aiokafka would let them replace each other in the group for ever."""
    twins = [sightline.start(*START, env=NAMED, ready=number == 0) for number in range(2)]
    until = time.monotonic() + 60
    while all(twin.exit_code is None for twin in twins):
        assert time.monotonic() < until, "they share a name, and nobody says so"
        time.sleep(0.2)
    ended = next(twin for twin in twins if twin.exit_code is not None)
    assert ended.exit_code == 1
    assert "stream.group_instance_id = 'stage-0'" in ended.stderr
