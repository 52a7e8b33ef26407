"""Where a sink begins to read a partition: at its position, and before it as far as its memory of repeats needs."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infra.kafka.consumer import BEGINNING
from infra.kafka.errors import KafkaFailure
from infra.kafka.start_offsets import OffsetsClient
from infra.process import logs
from infra.process.lifecycle import Start, in_thread
from schemas.coordinates import TopicPartition
from schemas.errors import Stalled

log = logs.get(__name__)

AGAIN_S = 0.5
ANSWER_S = 10.0
BEYOND_END_S = 15.0


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What the broker says of a partition: the group's committed offset (None: none), the log's first and end."""

    committed: int | None
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Beginning:
    """Records from `position` on are stored; those between `read_from` and it are only looked at.

    `skipped`: offsets that the sink wanted and that the log does not hold any more.
    """

    position: int
    read_from: int
    skipped: range = range(0)


def beginning_of(facts: LogFacts, stored: int | None, reset: int | None, window_offsets: int) -> Beginning:
    """`stored`: the next offset that the sink lacks, as far as it knows. `reset`: where to begin where nothing is.

    The later one of `stored` and the committed offset counts: the sink's own may be old where other members of the
    group had the partition meanwhile. Pure. Raises Stalled where nothing is known and `reset` is None.
    """
    known = known_position(facts, stored)
    if known is None:
        if reset is None:
            raise Stalled("there is no committed offset to begin at, and auto.offset.reset is error")
        known = facts.first if reset == BEGINNING else facts.end
    skipped = range(0)
    if known < facts.first:
        skipped = range(known, facts.first)
    elif known > facts.end:
        skipped = range(facts.end, known)
    position = min(max(known, facts.first), facts.end)
    return Beginning(position, max(facts.first, position - window_offsets), skipped)


def known_position(facts: LogFacts, stored: int | None) -> int | None:
    return max((one for one in (facts.committed, stored) if one is not None), default=None)


class Beginnings:
    """The partitions that are assigned and not read yet. For the loop's thread."""

    def __init__(self, client: OffsetsClient, reset: int | None, window_offsets: int, start: Start) -> None:
        self._facts = StartFacts(client, start)
        self._reset, self._window_offsets = reset, window_offsets
        self._known: dict[TopicPartition, LogFacts] = {}
        self._beyond_since_s: dict[TopicPartition, float] = {}

    def want(self, partitions: Iterable[TopicPartition]) -> None:
        self._facts.want(partitions)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        gone = list(partitions)
        self._facts.forget(gone)
        for partition in gone:
            self._known.pop(partition, None)
            self._beyond_since_s.pop(partition, None)

    def waits(self) -> bool:
        return self._facts.waits() or bool(self._known)

    def ready(self, now_s: float) -> list[TopicPartition]:
        """Those that the broker has told all about."""
        self._known.update(self._facts.found(now_s))
        return list(self._known)

    def take(
        self, stored: Mapping[TopicPartition, int], now_s: float
    ) -> dict[TopicPartition, tuple[LogFacts, Beginning]]:
        """Where each of `ready` begins, with the facts that this follows from.

        A position beyond the log's end means that the broker lost its last records: new ones get offsets that the sink
        has passed already. A broker that has just started may say so by mistake, so it is asked for a while.
        """
        known, self._known = self._known, {}
        found = {}
        for partition, facts in known.items():
            own = stored.get(partition)
            if (known_position(facts, own) or 0) > facts.end:
                since_s = self._beyond_since_s.setdefault(partition, now_s)
                if now_s - since_s < BEYOND_END_S:
                    self._facts.want([partition])
                    continue
            self._beyond_since_s.pop(partition, None)
            found[partition] = facts, beginning_of(facts, own, self._reset, self._window_offsets)
        return found


class StartFacts:
    """Asks the broker about partitions. For the loop's thread; another one waits for the answers."""

    def __init__(self, client: OffsetsClient, start: Start = in_thread) -> None:
        self._client, self._start_thread = client, start
        self._wanted: dict[TopicPartition, object] = {}
        self._question: _Question | None = None
        self._next_s = 0.0

    def want(self, partitions: Iterable[TopicPartition]) -> None:
        self._wanted.update((partition, object()) for partition in partitions)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """An answer that is on its way counts no more, not even if the partitions come back before it."""
        for partition in partitions:
            self._wanted.pop(partition, None)

    def waits(self) -> bool:
        return bool(self._wanted)

    def found(self, now_s: float) -> dict[TopicPartition, LogFacts]:
        """What is known now, until `forget`; what is not known is asked for again. Never waits."""
        answers: dict[TopicPartition, LogFacts] = {}
        question = self._question
        if question is not None and question.ended.is_set():
            self._question = None
            if question.error is not None:
                raise question.error
            if len(question.facts) < len(question.wanted):
                self._next_s = now_s + AGAIN_S
            answers = {
                partition: facts
                for partition, facts in question.facts.items()
                if self._wanted.get(partition) is question.wanted[partition]
            }
            self.forget(list(answers))
        if self._question is None and self._wanted and now_s >= self._next_s:
            self._question = _Question(self._client, dict(self._wanted))
            self._start_thread(self._question.ask)
        return answers


class _Question:
    """Asked once. `facts` are of the partitions that there was an answer for."""

    def __init__(self, client: OffsetsClient, wanted: dict[TopicPartition, object]) -> None:
        self._client, self.wanted = client, wanted
        self.facts: dict[TopicPartition, LogFacts] = {}
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def ask(self) -> None:
        try:
            for partition, committed in self._client.committed(self.wanted, ANSWER_S).items():
                log_range = self._client.log_range(partition, ANSWER_S)
                if log_range is not None:
                    self.facts[partition] = LogFacts(None if committed < 0 else committed, *log_range)
        except KafkaFailure as error:
            log.warning("the broker does not tell yet where to begin", error=str(error))
        except RuntimeError as error:  # the consumer was closed meanwhile
            log.debug("where to begin is not wanted any more", error=str(error))
        except Exception as error:  # noqa: BLE001 - raised by `found`, in the thread that can end the process
            self.error = error
        finally:
            self.ended.set()
