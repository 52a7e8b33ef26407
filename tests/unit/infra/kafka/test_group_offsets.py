"""When a partition is looked into: something waits there for long, and it is not known whether it is a record."""

from infra.kafka.group_offsets import LOOK_AFTER_S, Ahead


def test_what_is_soon_committed_is_never_looked_at() -> None:
    ahead = Ahead(5, 5)
    assert not ahead.should_look(5, 0)
    assert not ahead.should_look(6, 1_000), "it waits since now, however long nothing did"
    assert not ahead.should_look(7, 1_000 + LOOK_AFTER_S - 0.1)
    assert ahead.should_look(7, 1_000 + LOOK_AFTER_S)


def test_a_record_is_looked_at_once_and_what_is_none_until_more_is_written() -> None:
    record, marker = Ahead(5, 5), Ahead(5, 5)
    assert not record.should_look(6, 0) and not marker.should_look(6, 0)
    record.is_record, marker.next = True, 6
    assert not record.should_look(9, 100) and not marker.should_look(6, 100)
    assert not marker.should_look(7, 200)
    assert marker.should_look(7, 200 + LOOK_AFTER_S)
