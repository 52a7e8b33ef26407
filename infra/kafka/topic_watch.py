"""Ends a process whose topics are deleted or made again: what it has read, and where, is true of the old ones only."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping

from infra.kafka.errors import KafkaFailure
from infra.kafka.topic_ids import TopicIdReader, TopicIds
from infra.process import logs
from infra.settings import Settings
from schemas.errors import Stalled

log = logs.get(__name__)

PERIOD_S = 2.0
ASK_TIMEOUT_S = 10.0
# So many looks in a row must agree: a broker can be behind the others by a moment.
GONE_LOOKS, CHANGED_LOOKS = 3, 2


class TopicRule:
    """Decides whether a topic is still the one that was there at the start. Pure."""

    def __init__(self, known: TopicIds) -> None:
        self._known = known
        self._gone: Counter[str] = Counter()
        self._changed: Counter[str] = Counter()

    def look(self, found: Mapping[str, str | None]) -> str | None:
        """`found`: the ids of the topics that are there now. None while all is well, else the sentence to end with."""
        for topic, known in self._known.items():
            self._gone[topic] = 0 if topic in found else self._gone[topic] + 1
            is_other = known is not None and found.get(topic) not in (None, known)
            self._changed[topic] = self._changed[topic] + 1 if is_other else 0
            if self._gone[topic] >= GONE_LOOKS:
                return f"the topic {topic} was deleted: make it again with `sightline topics create`"
            if self._changed[topic] >= CHANGED_LOOKS:
                return (
                    f"the topic {topic} was deleted and made again: this process ends, "
                    "and the next one reads the new topic from its beginning"
                )
        return None


class TopicWatch:
    """Asks for the ids in a thread of its own, and calls `fail` once with the sentence."""

    def __init__(self, settings: Settings, known: TopicIds, fail: Callable[[BaseException], None]) -> None:
        self._reader, self._known, self._fail = TopicIdReader(settings), known, fail
        self._rule = TopicRule(known)
        self._closed = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="topic-watch", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def __enter__(self) -> "TopicWatch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            while not self._closed.wait(PERIOD_S):
                sentence = self._look()
                if sentence is not None:
                    self._fail(Stalled(sentence))
                    return
        except Exception as error:  # noqa: BLE001 - without this thread the process must not go on
            self._fail(error)

    def _look(self) -> str | None:
        """A broker that does not answer says nothing about topics."""
        try:
            return self._rule.look(self._reader.read(self._known, ASK_TIMEOUT_S))
        except KafkaFailure as error:
            log.debug("the broker does not tell the ids of topics", error=str(error))
            return None
