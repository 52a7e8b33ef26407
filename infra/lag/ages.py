"""The age of the oldest unread record of many partitions, by questions about timestamps alone."""

import time
from collections.abc import Mapping

from infra.kafka.log_ends import LogLookup
from infra.lag.rules.lag_time import Age, Answer, Bracket, LagTimeKind, Unread, first_bracket
from schemas.coordinates import TopicPartition

# A look has this much time for its questions; what is open then goes on at the next look.
BUDGET_S = 2.0


class Ages:
    """Remembers the last searches, so that the next ones begin where those ended. For one thread."""

    def __init__(self, logs: LogLookup, budget_s: float = BUDGET_S) -> None:
        self._logs, self._budget_s = logs, budget_s
        self._last: dict[str, dict[TopicPartition, Bracket]] = {}
        self._last_ms = 0

    def look(self, unread: Mapping[str, Mapping[TopicPartition, int]], now_ms: int) -> dict[Unread, Age]:
        """The ages of the records at the offsets, by group and partition. `now_ms`: of the wall clock.

        Groups that stand at the same offset share a search. What is not found in time has the kind NONE.
        """
        elapsed_ms = now_ms - self._last_ms if self._last_ms else 0
        searches: dict[Unread, Bracket] = {}
        for group, offsets in unread.items():
            before = self._last.get(group, {})
            for partition, offset in offsets.items():
                searches.setdefault(
                    Unread(partition, offset), first_bracket(offset, now_ms, before.get(partition), elapsed_ms)
                )
        self._search(searches)
        self._last = {
            group: {
                partition: searches[Unread(partition, offset)]
                for partition, offset in offsets.items()
                if Unread(partition, offset) in searches
            }
            for group, offsets in unread.items()
        }
        self._last_ms = now_ms
        return {one: _age(bracket, now_ms) for one, bracket in searches.items()}

    def _search(self, searches: dict[Unread, Bracket]) -> None:
        """Every round asks one question for each partition; its answer narrows all searches on that partition."""
        ends_s = time.monotonic() + self._budget_s
        while time.monotonic() < ends_s:
            questions: dict[TopicPartition, int] = {}
            open_ones: dict[TopicPartition, list[Unread]] = {}
            for one, bracket in searches.items():
                question_ms = bracket.question_ms
                if question_ms is not None:
                    questions.setdefault(one.partition, question_ms)
                    open_ones.setdefault(one.partition, []).append(one)
            if not questions:
                return
            answers = self._logs.first_at(questions)
            for partition in answers.gone | answers.failed.keys():
                for one in open_ones.get(partition, ()):
                    del searches[one]
            for partition, (offset, timestamp_ms) in answers.found.items():
                answer = Answer(offset, timestamp_ms) if offset >= 0 else None
                for one in open_ones[partition]:
                    searches[one] = searches[one].answered(answer, questions[partition])


def _age(bracket: Bracket, now_ms: int) -> Age:
    if bracket.found_ms is None:
        return Age(None, LagTimeKind.NONE)
    return Age(max(0.0, (now_ms - bracket.found_ms) / 1000), bracket.kind)
