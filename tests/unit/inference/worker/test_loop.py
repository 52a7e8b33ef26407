"""The poll thread: what it does with records, faults and rebalances, and when it pauses."""

import pytest

from infra.kafka.errors import FaultKind
from schemas.coordinates import Coordinates, TopicPartition
from schemas.errors import Stalled
from tests.support.batches import batch_record
from tests.support.worker_loop import P0, P1, Rig, fault, record


def test_a_record_is_queued_as_work_of_the_present_generation() -> None:
    rig = Rig()
    rig.run(record(P0, 5, frames=2), record(P1, 6))
    (first, second) = rig.in_flight.in_flight()
    assert (first.record.coordinates.offset, first.generation) == (5, rig.in_flight.generation(P0))
    assert (second.record.topic_partition, second.frames) == (P1, 1)
    assert rig.in_flight.frames == 3
    assert rig.staging.drop([P0, P1]) == {first, second}
    assert rig.delivery.ticks == 3
    assert rig.joining.has_joined


def test_a_record_that_was_fetched_before_its_partition_was_revoked_is_left_alone() -> None:
    rig = Rig()
    rig.loop.on_revoke([P0])
    rig.run(record(P0, 5))
    assert rig.in_flight.frames == 0
    assert rig.staging.size_bytes == 0


def test_a_revocation_waits_for_what_is_on_the_device_and_drops_the_rest() -> None:
    rig = Rig()
    rig.run(record(P0, 5), record(P1, 6), record(P0, 7))
    on_device, other, waiting = sorted(rig.in_flight.in_flight(), key=lambda work: work.record.offset)
    rig.staging._planner.drop(lambda work: work is on_device)  # as if it were taken for a run
    rig.loop.on_revoke([P0])
    assert rig.delivery.awaited == [on_device]
    assert rig.in_flight.partitions() == [P1]
    assert rig.staging.drop([P0, P1]) == {other}
    assert not rig.in_flight.is_current_work(waiting)


def test_lost_partitions_are_given_up_without_a_word() -> None:
    rig = Rig()
    rig.run(record(P0, 5), fault(FaultKind.OUT_OF_GROUP))
    assert rig.in_flight.partitions() == []
    assert rig.in_flight.frames == 0
    assert rig.staging.size_bytes == 0
    assert rig.delivery.awaited == []


def test_a_fatal_fault_ends_the_worker_and_a_passing_one_does_not() -> None:
    rig = Rig()
    rig.run(fault(FaultKind.PASSING))
    assert rig.delivery.ticks == 2
    rig = Rig()
    with pytest.raises(Stalled, match="the Kafka consumer cannot go on: on purpose"):
        rig.run(fault(FaultKind.FATAL))


def test_a_right_that_is_missing_ends_the_worker_with_a_sentence() -> None:
    with pytest.raises(Stalled, match="the Kafka broker refuses this user: on purpose"):
        Rig().run(fault(FaultKind.FORBIDDEN))


def test_a_batch_of_a_newer_version_ends_the_worker_and_nothing_is_committed_past_it() -> None:
    rig = Rig()
    with pytest.raises(Stalled, match="batches/0 offset 6 has a schema version that this worker does not know"):
        rig.run(record(P0, 5), batch_record(P0, 6, b"\xc3\x01" + bytes(20)), record(P0, 7))
    (work,) = rig.in_flight.in_flight()
    rig.in_flight.finish_work(work)
    assert rig.in_flight.to_commit() == {P0: 6}


def test_a_partition_without_an_offset_starts_at_the_committed_one() -> None:
    rig = Rig()
    before = rig.in_flight.generation(P0)
    rig.run(fault(FaultKind.NO_OFFSET), lambda: None)
    assert rig.consumer.started == {P0: 40}
    assert rig.in_flight.generation(P0) != before


@pytest.mark.parametrize(("committed", "first", "expected"), [(-1001, 0, {P0: 0}), (-1001, 5, {}), (40, 0, {})])
def test_where_the_group_never_committed_the_beginning_is_committed_before_a_record_comes(
    committed: int, first: int, expected: dict[TopicPartition, int]
) -> None:
    """Unless something is gone there: then the dead letter comes first."""
    rig = Rig()
    rig.consumer.committed_offset, rig.consumer.first = committed, first
    rig.run(fault(FaultKind.NO_OFFSET), lambda: None)
    assert rig.in_flight.to_commit() == expected


def test_a_log_that_was_made_again_is_read_in_a_new_generation() -> None:
    rig = Rig()
    rig.consumer.committed_offset = -1001
    rig.run(record(P0, 300), fault(FaultKind.NO_OFFSET), lambda: None)
    assert rig.consumer.started == {P0: 0}
    assert rig.in_flight.frames == 0, "an offset of the earlier log is not committed in this one"
    assert rig.staging.size_bytes == 0


def test_what_retention_removed_before_it_was_read_is_the_first_work_of_its_partition() -> None:
    rig = Rig()
    rig.consumer.first = 55
    rig.run(fault(FaultKind.NO_OFFSET), lambda: None, record(P0, 55))
    assert rig.consumer.started == {P0: 55}
    skipped, read = rig.in_flight.in_flight()
    assert (skipped.record.coordinates, skipped.skipped_batches) == (Coordinates("batches", 0, 54), 15)
    assert skipped.bad is not None
    assert (skipped.bad.reason, skipped.bad.detail) == (
        "batches_skipped",
        "15 micro-batches, offsets 40 to 54 of batches/0, were removed by retention before a worker had read them: "
        "their frames have no outcome unless they are sent again",
    )
    rig.in_flight.finish_work(read)
    assert rig.in_flight.to_commit() == {}, "nothing is committed past what is gone before frames.dead tells of it"
    rig.in_flight.finish_work(skipped)
    assert rig.in_flight.to_commit() == {P0: 56}


def test_what_is_gone_and_may_have_been_read_is_on_record_as_well() -> None:
    rig = Rig()
    rig.consumer.first, rig.consumer.committed_offset = 55, -1001
    rig.run(fault(FaultKind.NO_OFFSET), lambda: None)
    (work,) = rig.in_flight.in_flight()
    assert (work.record.coordinates, work.skipped_batches) == (Coordinates("batches", 0, 54), 0)
    assert work.bad is not None
    assert work.bad.detail.startswith("offsets 0 to 54 of batches/0 are gone, and no committed offset tells whether")


def test_what_was_read_before_retention_overtook_it_stays_in_flight_and_is_not_skipped() -> None:
    rig = Rig()
    rig.consumer.first = 55
    rig.run(record(P0, 48), record(P0, 49), fault(FaultKind.NO_OFFSET), lambda: None, record(P0, 55))
    assert rig.consumer.started == {P0: 55}
    read, last, gone, behind = rig.in_flight.in_flight()
    assert [work.record.offset for work in (read, last, behind)] == [48, 49, 55]
    assert (gone.record.offset, gone.skipped_batches) == (54, 5)
    assert gone.bad is not None
    assert gone.bad.detail.startswith("5 micro-batches, offsets 50 to 54 of")
    assert all(rig.in_flight.is_current_work(work) for work in (read, last, gone, behind))
    assert rig.staging.drop([P0]) == {read, last, gone, behind}
    for work in (last, gone, behind):
        rig.in_flight.finish_work(work)
    assert rig.in_flight.to_commit() == {}
    rig.in_flight.finish_work(read)
    assert rig.in_flight.to_commit() == {P0: 56}


@pytest.mark.parametrize(("max_bytes", "max_frames"), [(1, 1_000), (1 << 30, 4)])
def test_reading_pauses_at_a_limit_and_resumes_under_half_of_it(max_bytes: int, max_frames: int) -> None:
    rig = Rig(max_bytes, max_frames)

    def finish_all() -> None:
        for work in list(rig.in_flight.in_flight()):
            rig.staging.drop([work.record.topic_partition])
            rig.in_flight.finish_work(work)

    rig.run(record(P0, 5, frames=4), lambda: None, finish_all)
    assert rig.consumer.pauses == [True, False]


def test_after_an_abort_what_is_not_committed_is_read_again() -> None:
    rig = Rig()
    rig.run(record(P0, 5), record(P0, 6), record(P1, 9))
    first = next(rig.in_flight.in_flight())
    rig.in_flight.finish_work(first)
    rig.in_flight.committed({P0: 6})
    rig.rewind()
    assert rig.consumer.sought == {P0: 6, P1: 9}
    assert rig.in_flight.frames == 0
    assert rig.staging.size_bytes == 0


def test_a_client_that_cannot_go_back_ends_the_worker() -> None:
    rig = Rig()
    rig.run(record(P0, 5))
    rig.consumer.refuses = True
    with pytest.raises(Stalled, match="cannot go back to the committed offsets"):
        rig.rewind()
