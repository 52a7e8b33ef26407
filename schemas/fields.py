"""Limits on the fields of records from other programs, beyond their Avro types: the values go on into labels."""

import re

from schemas.coordinates import Coordinates
from schemas.errors import BadFrame

MAX_ID_BYTES = 1024
_PLACE = re.compile(r"([^/]+)/([0-9]{1,10})/([0-9]{1,19})", re.ASCII)
# org.apache.kafka.common.internals.Topic: Kafka creates no topic of another name.
_TOPIC = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")


def check_size(name: str, data: bytes, limit: int = MAX_ID_BYTES) -> None:
    """Raises BadFrame `bad_fields` when `data` has more bytes than the limit."""
    if len(data) > limit:
        raise BadFrame("bad_fields", f"{name} has {len(data)} bytes, the limit is {limit}")


def is_topic(name: str) -> bool:
    return _TOPIC.fullmatch(name) is not None


def is_position(partition: int, offset: int) -> bool:
    """Whether a topic can have such a partition and offset: Avro decoders give any long where the schema says int."""
    return 0 <= partition < 2**31 and 0 <= offset < 2**63


def read_coordinates(text: str) -> Coordinates | None:
    """The place that `str(Coordinates)` writes, `<topic>/<partition>/<offset>`; None where no topic can have it."""
    match = _PLACE.fullmatch(text)
    if match is None:
        return None
    place = Coordinates(match[1], int(match[2]), int(match[3]))
    return place if is_topic(place.topic) and is_position(place.partition, place.offset) else None
