"""Which topic a name stands for, by the id that the brokers gave it: made again under its name, it has another one.

Offsets say nothing without it: a topic that was made again starts at 0, and an offset that was committed for the one
before would pass over its first records. So the id is kept with each committed offset, in Kafka's own field for notes
(`metadata`), and a commit for another topic counts as none.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection

from infra.kafka.clients import admin, bootstrap
from infra.kafka.errors import FaultKind, KafkaFailure, failure_of, fault_of
from infra.settings import Settings
from schemas.errors import Unavailable

# By topic; None where the brokers give no ids (Kafka before 2.8), or not to this user.
TopicIds = Mapping[str, str | None]

_NOTE = "topic-id:"
_NO_ID = "A" * 22
_NOTE_CHARS = len(_NOTE) + len(_NO_ID)


def note_of(topic_id: str | None) -> str:
    """What is kept with a committed offset."""
    return "" if topic_id is None else f"{_NOTE}{topic_id}"


def note_in(answer: Any) -> str:
    """The note of a committed offset as the client read it.

    librdkafka 2.16 keeps the note without a zero byte at its end, and its Python client reads on in whatever memory
    follows: those bytes are cut off here, and need not be text.
    """
    try:
        note = answer.metadata or ""
    except UnicodeDecodeError as error:
        note = error.object.decode(errors="replace")
    return note[:_NOTE_CHARS] if note.startswith(_NOTE) else note


def is_of_another_topic(note: str | None, topic_id: str | None) -> bool:
    """Whether a commit with that note was made for another topic of the name. False where one of both is unknown."""
    if not note or not note.startswith(_NOTE) or topic_id is None:
        return False
    return note != note_of(topic_id)


class TopicIdReader:
    """Asks for the ids of topics. Never makes a broker create one."""

    def __init__(self, settings: Settings) -> None:
        self._admin = admin(settings)

    def read(self, topics: Iterable[str], timeout_s: float) -> dict[str, str | None]:
        """The ids of those topics that are there. Raises KafkaFailure when that is not known."""
        asked = self._admin.describe_topics(TopicCollection(list(topics)), request_timeout=timeout_s)
        found: dict[str, str | None] = {}
        for topic, answer in asked.items():
            try:
                # As the tools of Kafka write it.
                topic_id = str(answer.result(timeout_s).topic_id).replace("+", "-").replace("/", "_")
                found[topic] = None if topic_id == _NO_ID else topic_id
            except KafkaException as error:
                fault = fault_of(error.args[0])
                if fault.kind is FaultKind.FORBIDDEN:
                    found[topic] = None
                elif fault.kind is not FaultKind.GONE:
                    raise failure_of(error) from error
            except TimeoutError as error:
                raise failure_of(KafkaException(KafkaError(KafkaError._TIMED_OUT))) from error
        return found


def read_topic_ids(settings: Settings, topics: Iterable[str]) -> dict[str, str | None]:
    """The ids of topics that must be there. Raises Unavailable."""
    topics = list(topics)
    try:
        found = TopicIdReader(settings).read(topics, settings.kafka.start_timeout_ms / 1000)
    except KafkaFailure as failure:
        raise Unavailable("Kafka", bootstrap(settings), f"does not tell the ids of topics: {failure}") from failure
    missing = [topic for topic in topics if topic not in found]
    if missing:
        hint = f"has no topic {', '.join(missing)}. Create them with `sightline topics create`"
        raise Unavailable("Kafka", bootstrap(settings), hint, answers=True)
    return found
