"""By which id a topic is known, and what follows when it is another one."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.topic_ids import is_of_another_topic, note_in, note_of
from infra.kafka.topic_watch import CHANGED_LOOKS, GONE_LOOKS, TopicRule

RAW, RETRY = "frames.raw", "frames.retry"
KNOWN = {RAW: "id-1", RETRY: "id-2"}


@pytest.mark.parametrize(
    ("note", "topic_id", "expected"),
    [
        (note_of("a"), "a", False),
        (note_of("a"), "b", True),
        (note_of("a"), None, False),
        (note_of(None), "b", False),
        ("", "b", False),
        (None, "b", False),
        ("what another tool writes", "b", False),
    ],
)
def test_only_a_commit_with_another_id_is_of_another_topic(
    note: str | None, topic_id: str | None, expected: bool
) -> None:
    assert is_of_another_topic(note, topic_id) is expected


class Answer:
    """As the Python client of librdkafka gives it: what follows the note in memory belongs to nothing."""

    def __init__(self, memory: bytes) -> None:
        self._memory = memory

    @property
    def metadata(self) -> str | None:
        return self._memory.decode() or None


@pytest.mark.parametrize("behind", [b"", b"^\xd1\x8f*", b"^\xd1*\xff", b"ABC", b"\xef\xbf\xbd"])
def test_what_follows_a_note_in_memory_is_not_of_the_note(behind: bytes) -> None:
    topic_id = "ifv5Qry9QxawEeXksmr0AQ"
    note = note_in(Answer(note_of(topic_id).encode() + behind))
    assert note == note_of(topic_id)
    assert not is_of_another_topic(note, topic_id)


def test_a_commit_without_a_note_has_none() -> None:
    assert note_in(Answer(b"")) == ""
    assert not is_of_another_topic(note_in(Answer(b"of another tool \xff")), "ifv5Qry9QxawEeXksmr0AQ")


@given(st.text(), st.text())
def test_a_note_tells_topics_apart(one: str, other: str) -> None:
    assert is_of_another_topic(note_of(one), other) == (one != other)


def looked(rule: TopicRule, *found: Mapping[str, str | None]) -> list[str | None]:
    return [rule.look(one) for one in found]


def test_a_topic_that_is_gone_is_told_once_several_looks_agree() -> None:
    answers = looked(TopicRule(KNOWN), *[{RETRY: "id-2"}] * GONE_LOOKS)
    assert answers[:-1] == [None] * (GONE_LOOKS - 1)
    assert answers[-1] == "the topic frames.raw was deleted: make it again with `sightline topics create`"


def test_a_topic_that_was_made_again_is_told() -> None:
    answers = looked(TopicRule(KNOWN), *[{RAW: "id-3", RETRY: "id-2"}] * CHANGED_LOOKS)
    assert answers[:-1] == [None] * (CHANGED_LOOKS - 1)
    assert "frames.raw was deleted and made again" in str(answers[-1])


def test_a_broker_that_is_behind_for_a_moment_ends_nothing() -> None:
    rule = TopicRule(KNOWN)
    well, gone, other = dict(KNOWN), {RETRY: "id-2"}, {RAW: "id-0", RETRY: "id-2"}
    assert looked(rule, *[gone, gone, well, other, well] * 5) == [None] * 25


def test_without_an_id_only_the_name_counts() -> None:
    """Kafka before 2.8, or an answer of such a broker in a cluster that is being upgraded."""
    assert looked(TopicRule({RAW: None}), *[{RAW: "id-9"}] * 9) == [None] * 9
    assert looked(TopicRule(KNOWN), *[{RAW: None, RETRY: None}] * 9) == [None] * 9
    assert looked(TopicRule({RAW: None}), *[{}] * GONE_LOOKS)[-1] is not None
