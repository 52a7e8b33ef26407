"""How far a subscriber has read, kept in a file: it goes on there without a gap and without a double."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infra.kafka.records import ConsumedRecord
from infra.kafka.spans import Span
from schemas.errors import ConfigError

SAVE_EVERY_S = 1.0


@dataclass(slots=True)
class Positions:
    """The next offset of each partition of one topic; `topic_id` tells whether it is still the same topic.

    A label counts as read once it is written to stdout. The file is replaced at most once in SAVE_EVERY_S and at the
    end, so after a kill -9 the labels of the last second come again.
    """

    file: Path
    topic: str
    topic_id: str | None
    offsets: dict[int, int] = field(default_factory=dict)
    _saved_s: float = 0.0
    _changed: bool = False

    @classmethod
    def of(cls, file: Path, topic: str, topic_id: str | None) -> "Positions":
        """Those of the file, empty without one. Raises ConfigError for a file of another topic, or of another form."""
        made = cls(file, topic, topic_id)
        if file.exists():
            made.offsets = _read(file, topic, topic_id)
        elif not file.parent.is_dir():
            raise ConfigError(f"--positions {file}: there is no folder {file.parent}")
        return made

    def start(self, spans: Iterable[Span]) -> list[Span]:
        """The ranges, each from where reading ended; a partition that the file lacks is newer, and read from its start.

        `spans` begin where the log begins.
        """
        return [replace(span, start=self.offsets.get(span.partition, span.start)) for span in spans]

    def began(self, spans: Iterable[Span]) -> None:
        """Everything before these ranges counts as read."""
        self._set({span.partition: span.start for span in spans})

    def read(self, record: ConsumedRecord) -> None:
        """The record is printed, or left out."""
        self._set({record.partition: record.offset + 1})

    def ended(self, spans: Iterable[Span]) -> None:
        """These ranges are read to their ends."""
        self._set({span.partition: max(span.end, self.offsets.get(span.partition, 0)) for span in spans})

    def save_when_due(self, now_s: float) -> None:
        if self._changed and now_s - self._saved_s >= SAVE_EVERY_S:
            self.save()
            self._saved_s = now_s

    def save(self) -> None:
        """The file holds the old positions or the new ones, whatever happens meanwhile."""
        found = {"topic": self.topic, "topic_id": self.topic_id, "partitions": dict(sorted(self.offsets.items()))}
        part = self.file.with_name(f"{self.file.name}.part")
        with part.open("w") as file:
            json.dump(found, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.file)
        self._changed = False

    def _set(self, offsets: dict[int, int]) -> None:
        self.offsets.update(offsets)
        self._changed = True


def _read(file: Path, topic: str, topic_id: str | None) -> dict[int, int]:
    try:
        found: Any = json.loads(file.read_text())
        offsets = {int(number): int(offset) for number, offset in found["partitions"].items()}
        of_topic, of_id = str(found["topic"]), found["topic_id"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"--positions {file} is no file of positions: {type(error).__name__}: {error}") from error
    if of_topic != topic:
        raise ConfigError(f"--positions {file} holds positions on {of_topic}, and {topic} is to be read")
    if topic_id is not None and of_id not in (None, topic_id):
        raise ConfigError(f"--positions {file}: {topic} was made again since; remove the file, and read from a time on")
    return offsets
