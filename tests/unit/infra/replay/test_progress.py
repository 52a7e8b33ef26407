"""What is known of each replay, from the records of the topic in their order."""

from dataclasses import replace

import pytest

from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import specs
from infra.replay.progress import Replays, forget_records, known, progress_record, request_record
from infra.settings import Settings
from schemas.codec import decode
from schemas.coordinates import Coordinates
from schemas.errors import ConfigError
from schemas.replays import (
    OffsetRange,
    ReplayAction,
    ReplayGap,
    ReplayPlan,
    ReplayProgress,
    ReplayState,
)

SETTINGS = Settings(topic_prefix="p-")
PLAN = ReplayPlan(
    10, 1000, False, (ReplayGap("frames.raw", 0, 0, 5, "retention"),), (OffsetRange("frames.raw", 0, 5, 15),)
)
PROGRESS = ReplayProgress("again", ReplayState.STARTED, "frames.raw", 1, 2, 3, 4, "host/1", PLAN)
FULL = replace(
    PROGRESS,
    state=ReplayState.PAUSED,
    reason="asked to",
    source_glob="dock-*",
    sample=5,
    sample_below=2**62,
    noise=2,
    part="b",
    positions=(Coordinates("frames.raw", 0, 7),),
    lane=(OffsetRange("frames.replay", 0, 100, 102),),
    copied=2,
    gaps=(ReplayGap("frames.raw", 0, 5, 6, "retention"),),
)


def seen(*records: tuple[str, bytes | None]) -> Replays:
    replays = Replays()
    for offset, (key, value) in enumerate(records):
        replays.add(ConsumedRecord("p-replay.progress", 0, offset, 0, key.encode(), value, None))
    return replays


@pytest.mark.parametrize("progress", [PROGRESS, FULL])
def test_all_of_a_progress_travels(progress: ReplayProgress) -> None:
    record = progress_record(SETTINGS, progress, None)
    assert (record.topic, record.key) == ("p-replay.progress", "again")
    assert decode(ReplayProgress, record.value) == progress


def test_the_last_word_counts_and_requests_are_kept_apart() -> None:
    first, last = (progress_record(SETTINGS, one, None).value for one in (PROGRESS, FULL))
    request = request_record(SETTINGS, "again", ReplayAction.PAUSE, None)
    found = seen(("other", b"of somebody else"), ("again", first), (str(request.key), request.value), ("again", last))
    assert found.progress == {"again": FULL}
    assert found.requests["again"].action is ReplayAction.PAUSE
    assert found.taken_at == {"again": 1}


def test_a_forgotten_replay_is_gone_with_its_request() -> None:
    first = progress_record(SETTINGS, PROGRESS, None).value
    request = request_record(SETTINGS, "again", ReplayAction.CANCEL, None)
    gone = [(str(record.key), record.value) for record in forget_records(SETTINGS, "again")]
    found = seen(("again", first), (str(request.key), request.value), *gone)
    assert (found.progress, found.requests) == ({}, {})


def test_an_unknown_id_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match="there is no replay 'agian': there are again "):
        known({"again": PROGRESS}, "agian")
    with pytest.raises(ConfigError, match="there is none"):
        known({}, "again")


def test_progress_is_kept_in_order() -> None:
    (spec,) = [spec for spec in specs(SETTINGS) if spec.name == "p-replay.progress"]
    assert (spec.partitions, spec.config["cleanup.policy"]) == (1, "compact")
