"""The settings that topics are made with: how long records stay, and whose clock decides that."""

import pytest

from infra.kafka.topics import specs
from infra.settings import Settings

DAY_MS = 24 * 3_600_000
NO_LIMIT = str(2**63 - 1)


def config_of(topic: str, settings: Settings | None = None) -> dict[str, str]:
    (found,) = [spec.config for spec in specs(settings or Settings()) if spec.name == topic]
    return found


@pytest.mark.parametrize(
    ("topic", "days"),
    [
        ("frames.raw", 1),
        ("frames.batches", 7),
        ("frames.retry", 7),
        ("labels", 30),
        ("labels.review", 90),
        ("frames.dead", 30),
        ("labels.dead", 30),
        ("frames.replay", 1),
        ("batches.replay", 1),
        ("labels.replay", 1),
    ],
)
def test_what_is_committed_upstream_stays_for_a_week_and_frames_for_a_day(topic: str, days: int) -> None:
    assert config_of(topic)["retention.ms"] == str(days * DAY_MS)


@pytest.mark.parametrize("hours", [1, 24, 100])
def test_no_record_of_the_far_future_keeps_the_frames_topic(hours: int) -> None:
    settings = Settings(topics={"frames_retention_h": hours})  # type: ignore[arg-type]
    assert config_of("frames.raw", settings)["message.timestamp.after.max.ms"] == str(hours * 3_600_000)
    assert config_of("frames.raw")["message.timestamp.type"] == "CreateTime"


def test_a_stage_whose_clock_is_ahead_is_not_refused_and_a_replay_has_the_brokers_time() -> None:
    for topic in ("frames.batches", "frames.retry", "frames.dead", "labels", "labels.review"):
        assert config_of(topic)["message.timestamp.after.max.ms"] == NO_LIMIT
    assert config_of("frames.replay")["message.timestamp.type"] == "LogAppendTime"


def test_the_last_word_of_each_process_is_kept_for_an_hour() -> None:
    config = config_of("pipeline.status")
    assert (config["cleanup.policy"], config["retention.ms"]) == ("compact,delete", str(3_600_000))
