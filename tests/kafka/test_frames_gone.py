"""The stream stage on a real broker whose `frames.raw` lost records: none that is there is passed over, all is told."""

import json
import time

import pytest
from confluent_kafka import TopicPartition

from infra.kafka import clients
from infra.kafka.topics import group
from schemas.headers import read_failure
from tests.support.batches import read_all, wait_for
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.runner import Runner
from tests.support.stream_ends import Feed, Outcomes, wait_committed

pytestmark = pytest.mark.timeout(300)

START = ("stream", "--model", "null", "--no-cache")
SKIPPED = "sightline_stream_skipped_frames_total"


def sent(feed: Feed, *numbers: int) -> set[tuple[int, int]]:
    """Write these frames; their places once the broker has them."""
    known = set(feed.places)
    for number in numbers:
        feed.send(number)
    assert feed.flush() == 0
    return feed.places - known


def skipped_ranges(deployment: Deployment) -> list[str]:
    found = [read_failure(one.headers) for one in read_all(deployment.settings(), deployment.topics.dead)]
    return sorted(one.message for one in found if one is not None and one.error_class == "frames_skipped")


def test_frames_that_were_removed_before_the_start_are_told_and_the_others_read(
    deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    """As retention does while the stage is away; a configured `latest` passes over nothing."""
    before = sent(feed, *range(40))
    stage = sightline.start(*START)
    outcomes.wait_for(before)
    wait_committed(deployment, 40)
    assert stage.stop() == 0
    sent(feed, *range(40, 80))
    deployment.delete_before(deployment.topics.frames, 15)
    latest = {"SIGHTLINE_KAFKA__CONSUMER": '{"auto.offset.reset": "latest"}'}
    stage = sightline.start(*START, env=latest)
    left = feed.places - {(0, offset) for offset in range(10, 15)}
    outcomes.wait_for(left)
    wait_for(lambda: stage.metric(SKIPPED) == 5, 30, "the metric of what is gone", [stage])
    wait_committed(deployment, 80)
    assert stage.stderr.count("frames are gone from their topic") == 1
    assert stage.stop() == 0, stage.stderr
    raw = deployment.topics.frames
    told = f"5 offsets, offsets 10 to 14 of {raw}/0, were removed before the stream stage had read them"
    (message,) = skipped_ranges(deployment)
    assert told in message
    again = sightline.start(*START)
    outcomes.wait_for(left | sent(feed, *range(80, 84)))
    assert again.metric(SKIPPED) == 0, "told once"
    assert len(skipped_ranges(deployment)) == 1


def test_retention_that_overtakes_a_running_stage_is_told_and_it_goes_on(
    deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    """The stage is paused because the workers are behind, which is when retention reaches what it has not read."""
    limit = {"SIGHTLINE_STREAM__MAX_INFLIGHT_BYTES": "2000000"}
    stage = sightline.start(*START, env=limit)
    number = 0
    while not stage.metric("sightline_paused", reason="backlog"):
        sent(feed, *range(number, number + 20))
        number += 20
        assert number < 2_000
    for _ in range(10):
        sent(feed, *range(number, number + 200))
        number += 200
    end = number // PARTITIONS
    deployment.delete_before(deployment.topics.frames, end - 10)
    worker = clients.consumer(deployment.settings(), group("infer", deployment.prefix))
    until = time.monotonic() + 90
    while committed_frames(deployment) < number:
        assert time.monotonic() < until, stage.stderr
        assert stage.exit_code is None, stage.stderr
        worker.commit(offsets=ends(worker, deployment.topics.batches), asynchronous=False)
        time.sleep(0.3)
    worker.close()
    assert stage.stop() == 0
    zero = {(0, offset) for offset in range(end)}
    found = outcomes.wait_for((feed.places - zero) | {(0, offset) for offset in range(end - 11, end)})
    gone = zero - found.keys()
    assert gone, "fetched ahead by far too much"
    # The dead letter has the place of the last of them, which `outcomes` counts.
    assert gone == {(0, offset) for offset in range(min(gone)[1], end - 11)}
    (message,) = skipped_ranges(deployment)
    assert f"offsets {min(gone)[1]} to {end - 11} of" in message


def ends(client: object, topic: str) -> list[TopicPartition]:
    return [
        TopicPartition(topic, one, client.get_watermark_offsets(TopicPartition(topic, one), 10)[1])  # type: ignore[attr-defined]
        for one in range(PARTITIONS)
    ]


def committed_frames(deployment: Deployment) -> int:
    client = clients.consumer(deployment.settings(), group("stream", deployment.prefix))
    try:
        asked = [TopicPartition(deployment.topics.frames, one) for one in range(PARTITIONS)]
        return sum(max(0, one.offset) for one in client.committed(asked, 10))
    finally:
        client.close()


def test_a_committed_offset_behind_the_log_reads_everything_that_is_there(
    deployment: Deployment, sightline: Runner, feed: Feed, outcomes: Outcomes
) -> None:
    """What an unclean election of a leader, or a topic that was made again under an old broker, leaves."""
    places = sent(feed, *range(40))
    client = clients.consumer(deployment.settings(), group("stream", deployment.prefix))
    client.commit(
        offsets=[TopicPartition(deployment.topics.frames, one, 1_000) for one in range(PARTITIONS)], asynchronous=False
    )
    client.close()
    stage = sightline.start(*START)
    assert set(outcomes.wait_for(places).values()) == {1}
    wait_committed(deployment, 40)
    assert stage.stop() == 0
    events = [json.loads(line)["event"] for line in stage.stderr.splitlines() if line.startswith("{")]
    assert events.count("the log ends before the offset to read: everything that is there is read") == PARTITIONS
