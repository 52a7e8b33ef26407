"""What a reader of a topic that only Sightline writes does with a record of a version that it does not know. Pure.

The record is sound and its writer is newer, so it is no dead letter: the reader stops and commits nothing past it. A
record that only looks like that is passed over once an operator has named its place.
"""

from collections.abc import Iterable

from infra.failures.dead_letters import Place
from infra.kafka.records import ConsumedRecord
from schemas.errors import BadFrame, Stalled, UnknownVersion


class VersionGuard:
    """`reader` is for people. `pass_over`: the places, as `PARTITION/OFFSET`, of records that become dead letters."""

    def __init__(self, reader: str, pass_over: Iterable[str]) -> None:
        self._reader = reader
        self._pass_over = {_place(text) for text in pass_over}

    def check(self, record: ConsumedRecord, error: BadFrame) -> None:
        """Raises Stalled if the record, which was refused with `error`, has to wait for a newer reader."""
        if isinstance(error, UnknownVersion) and (record.partition, record.offset) not in self._pass_over:
            raise Stalled(
                f"{record.topic}/{record.partition} offset {record.offset} has a schema version that {self._reader} "
                f"does not know ({error}). Nothing is committed past it. If a newer version of Sightline wrote it, "
                f"upgrade {self._reader}; if it is not one of ours, start with "
                f"--pass-over {record.partition}/{record.offset}, and it becomes a dead letter"
            )


def _place(text: str) -> Place:
    partition, _, offset = text.partition("/")
    return int(partition), int(offset)
