"""Reads the topics of a deployment from the beginning to the end."""

from collections.abc import Iterator
from dataclasses import dataclass

from infra.kafka.topics import TopicNames
from schemas import codec, headers
from schemas.coordinates import Coordinates
from schemas.records import Label, MicroBatch
from tests.faults.outcomes import Outcome, headers_of, outcome_of, read_all
from tests.faults.sender import FrameSender, coordinates_of


@dataclass(frozen=True)
class Reading:
    """Each call of a method reads its topics anew."""

    bootstrap_servers: str
    names: TopicNames

    def written(self, sender: FrameSender | None = None) -> set[Coordinates]:
        """Every frame on the topic, also those of camera agents and those whose acknowledgement was lost."""
        written = set[Coordinates]()
        for message in read_all(self.bootstrap_servers, [self.names.frames]):
            written.add(coordinates_of(message))
            if sender is not None and sender.unplaced:
                sender.place_by(message)
        return written

    def retried(self) -> set[Coordinates]:
        """Frames that went through the retry topic."""
        places = set[Coordinates]()
        for message in read_all(self.bootstrap_servers, [self.names.retry]):
            failure = headers.read_failure(headers_of(message))
            assert failure is not None, "a frame on the retry topic without our headers"
            places.add(failure.source)
        return places

    def outcomes(self) -> Iterator[Outcome]:
        """Labels and dead letters, in the order of the offsets of each partition."""
        for message in read_all(self.bootstrap_servers, [self.names.labels, self.names.dead]):
            outcome = outcome_of(message, self.names)
            if outcome is not None:
                yield outcome

    def labels(self) -> list[Label]:
        return [outcome.label for outcome in self.outcomes() if outcome.label is not None]

    def repeats_in_batches(self) -> int:
        """How many frames lie in more than one micro-batch, as may happen after a crash of the stream stage."""
        packed = 0
        places = set[Coordinates]()
        for message in read_all(self.bootstrap_servers, [self.names.batches]):
            batch = codec.decode(MicroBatch, message.value())
            packed += len(batch.items)
            places |= {Coordinates(batch.source_topic, batch.source_partition, item.offset) for item in batch.items}
        return packed - len(places)
