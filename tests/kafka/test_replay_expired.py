"""A paused replay is resumed after the broker has forgotten the offsets of every group of its lane."""

import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from infra.kafka.group_offsets import committed_offsets
from infra.kafka.topics import TopicNames, group
from infra.settings import Settings
from schemas import codec
from schemas.coordinates import TopicPartition
from schemas.headers import replay_of
from schemas.records import Label
from tests.kafka.test_replay import copies, originals, range_of, replay, wait_copied
from tests.support.batches import read_all
from tests.support.deployment import PARTITIONS
from tests.support.deployment import deployment as new_deployment
from tests.support.history import History
from tests.support.runner import Runner
from tests.support.services import local_services

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

FORGETFUL = {"offsets.retention.minutes": "1", "offsets.retention.check.interval.ms": "1000"}


def lane_offsets(settings: Settings) -> dict[TopicPartition, int]:
    """What the stages of the lane have committed."""
    names = TopicNames.for_lane(settings.topic_prefix, "replay")
    found: dict[TopicPartition, int] = {}
    for kind, topic in (("stream", names.frames), ("infer", names.batches)):
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        found |= committed_offsets(settings, group(kind, settings.topic_prefix, "replay"), partitions, 20)
    return found


def test_a_paused_replay_goes_on_after_the_offsets_of_its_groups_have_expired(tmp_path: Path) -> None:
    with (
        local_services(tmp_path / "home", properties=FORGETFUL) as services,
        new_deployment(services) as made,
        closing(Runner(made.env)) as sightline,
    ):
        history = History.written(made, frames=400, spread_ms=60_000, seed=5)
        from_ms, to_ms = history.middle
        wanted = history.places(from_ms, to_ms)
        run = ("--run", "--model", "null")
        words = ("replay", "start", *range_of(from_ms, to_ms), "--name", "long", "--rate", "5/s", *run)
        process = sightline.start(*words, http=False)
        wait_copied(made, "long", 20, process)
        until = time.monotonic() + 60
        while not lane_offsets(made.settings()):
            assert time.monotonic() < until, process.stderr
            time.sleep(1)
        assert sightline.run("replay", "pause", "long").returncode == 0
        assert process.wait(60) == 1
        until = time.monotonic() + 150
        while lane_offsets(made.settings()):
            assert time.monotonic() < until, "the broker still knows the offsets"
            time.sleep(2)
        code, done, said = replay(sightline, "resume", "long", "--rate", "10000/s", "--run")
        assert (code, done["state"], done["copied"]) == (0, "COMPLETED", len(wanted)), said
        assert originals(copies(made, "long")) == Counter(wanted)
        lane = TopicNames.for_lane(made.prefix, "replay")
        settled = {codec.decode(Label, one.value).replay_of for one in read_all(made.settings(), lane.labels)}
        settled |= {replay_of(one.headers) for one in read_all(made.settings(), lane.dead)}
        assert settled == set(wanted), "each copied frame has its outcome, also those from before the pause"
