"""`sightline replay` on a real broker: the right frames of a range, each exactly once, in the lane."""

import json
from collections import Counter
from typing import Any

import pytest

from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import TopicNames
from schemas.coordinates import Coordinates
from schemas.headers import ORIGIN_TIMESTAMP, replay_id_of, replay_of, to_map, traceparent_of
from schemas.records import micros_to_iso
from tests.support.batches import read_all
from tests.support.deployment import Deployment
from tests.support.history import History
from tests.support.runner import Runner

MINUTE_MS = 60_000


def lane(deployment: Deployment) -> TopicNames:
    return TopicNames.for_lane(deployment.prefix, "replay")


def copies(deployment: Deployment) -> list[ConsumedRecord]:
    return read_all(deployment.settings(), lane(deployment).frames)


def originals(found: list[ConsumedRecord]) -> Counter[Coordinates]:
    places = [replay_of(record.headers) for record in found]
    assert None not in places
    return Counter(place for place in places if place is not None)


def replay(sightline: Runner, *words: str, timeout_s: float = 120) -> tuple[int, dict[str, Any], str]:
    done = sightline.run("replay", *words, "--json", timeout_s=timeout_s)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


@pytest.fixture
def history(deployment: Deployment) -> History:
    """400 frames over all partitions, of three cameras, in disorder by up to 20 min."""
    return History.written(deployment, frames=400, spread_ms=20 * MINUTE_MS, seed=7)


def test_a_middle_range_gives_exactly_its_frames(sightline: Runner, deployment: Deployment, history: History) -> None:
    from_ms, to_ms = history.middle
    words = ("--from", micros_to_iso(from_ms * 1000), "--to", micros_to_iso(to_ms * 1000))
    wanted = history.places(from_ms, to_ms)
    assert 50 < len(wanted) < 300

    code, planned, _ = replay(sightline, "plan", *words)
    assert code == 0
    assert (planned["plan"]["frames"], planned["plan"]["exact"], planned["plan"]["gaps"]) == (len(wanted), True, [])

    code, done, _ = replay(sightline, "start", *words, "--name", "again")
    assert (code, done["state"], done["copied"], done["replay_id"]) == (0, "COMPLETED", len(wanted), "again")
    assert done["plan"] == planned["plan"]
    found = copies(deployment)
    assert originals(found) == Counter(wanted)
    by_place = {record.coordinates: record for record in history.records}
    for copy in found:
        place = replay_of(copy.headers)
        assert place is not None
        original = by_place[place]
        assert (copy.key, copy.value, copy.partition) == (original.key, original.value, original.partition)
        assert replay_id_of(copy.headers) == "again"
        assert to_map(copy.headers)[ORIGIN_TIMESTAMP] == str(original.timestamp_ms).encode()
        assert traceparent_of(copy.headers) not in (None, traceparent_of(original.headers))
        assert to_map(copy.headers)["x-own"] == b"1"

    assert replay(sightline, "start", *words, "--name", "once-more")[0] == 0
    twice = [one for one in copies(deployment) if replay_id_of(one.headers) == "once-more"]
    assert originals(twice) == Counter(wanted)
    code, listed, _ = replay(sightline, "list")
    assert [(one["replay_id"], one["state"]) for one in listed] == [("once-more", "COMPLETED"), ("again", "COMPLETED")]  # type: ignore[index]
