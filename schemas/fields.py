"""What the fields of records from others must keep to beyond their Avro types: they go on into labels and look-ups."""

import re

from schemas.errors import BadFrame

MAX_ID_BYTES = 1024
# org.apache.kafka.common.internals.Topic: no other name can be created.
_TOPIC = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")


def check_size(name: str, data: bytes, limit: int = MAX_ID_BYTES) -> None:
    """Raises BadFrame `bad_fields` for more bytes than that."""
    if len(data) > limit:
        raise BadFrame("bad_fields", f"{name} has {len(data)} bytes, the limit is {limit}")


def is_topic(name: str) -> bool:
    return _TOPIC.fullmatch(name) is not None


def is_position(partition: int, offset: int) -> bool:
    """Whether a topic can have it. Avro's decoders give any long for an int."""
    return 0 <= partition < 2**31 and 0 <= offset < 2**63
