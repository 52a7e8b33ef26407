"""The file of a subscriber that says how far it has read."""

import json
from pathlib import Path

import pytest

from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from schemas.errors import ConfigError
from sinks.subscribe.positions import SAVE_EVERY_S, Positions


def span(partition: int, start: int, end: int) -> Span:
    return Span("labels", partition, start, end)


def record(partition: int, offset: int) -> ConsumedRecord:
    return ConsumedRecord("labels", partition, offset, 0, None, b"", None)


def test_the_next_one_goes_on_behind_what_was_read_also_where_nothing_was(tmp_path: Path) -> None:
    file = tmp_path / "positions.json"
    first = Positions.of(file, "labels", "id-1")
    assert first.offsets == {}
    first.began([span(0, 10, 10), span(1, 7, 7)])
    first.read(record(0, 12))
    first.save()
    second = Positions.of(file, "labels", "id-1")
    assert second.start([span(0, 0, 99), span(1, 0, 99), span(2, 0, 5)]) == [
        span(0, 13, 99), span(1, 7, 99), span(2, 0, 5),
    ]  # fmt: skip


def test_a_range_that_is_read_is_behind_it_with_markers_and_gaps_at_its_end(tmp_path: Path) -> None:
    positions = Positions.of(tmp_path / "p", "labels", None)
    positions.began([span(0, 0, 9), span(1, 4, 4)])
    positions.read(record(0, 5))
    positions.ended([span(0, 0, 9), span(1, 4, 4)])
    assert positions.offsets == {0: 9, 1: 4}


def test_it_is_saved_at_most_once_in_a_while_and_only_after_a_change(tmp_path: Path) -> None:
    file = tmp_path / "p"
    positions = Positions.of(file, "labels", None)
    positions.save_when_due(100.0)
    assert not file.exists()
    positions.read(record(0, 1))
    positions.save_when_due(100.0)
    positions.read(record(0, 2))
    positions.save_when_due(100.0 + SAVE_EVERY_S / 2)
    assert json.loads(file.read_text())["partitions"] == {"0": 2}
    positions.save_when_due(100.0 + SAVE_EVERY_S)
    assert json.loads(file.read_text()) == {"topic": "labels", "topic_id": None, "partitions": {"0": 3}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no file of positions"),
        ("[]", "is no file of positions"),
        ('{"topic": "labels", "topic_id": null, "partitions": {"0": "x"}}', "is no file of positions"),
        ('{"topic": "labels.replay", "topic_id": null, "partitions": {}}', "holds positions on labels.replay"),
        ('{"topic": "labels", "topic_id": "id-0", "partitions": {"0": 1}}', "labels was made again since"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "p"
    file.write_text(text)
    with pytest.raises(ConfigError, match=told):
        Positions.of(file, "labels", "id-1")


def test_a_folder_that_is_not_there_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        Positions.of(tmp_path / "nowhere" / "p", "labels", None)
