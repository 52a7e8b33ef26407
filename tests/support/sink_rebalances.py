"""The part of the contract suite about rebalances, and about a labels topic that lost records or was replaced."""

from tests.support.label_log import LabelLog, SinkRun
from tests.support.sink_target import ONE, TWO, SinkTarget


class SinkRebalances(SinkTarget):
    """Part of the contract suite: see `sink_contract`."""

    def test_a_revoked_partition_is_flushed_and_committed_first(self) -> None:
        log = LabelLog()
        sink = self.open()
        run = SinkRun(log, sink, max_rows=100)
        run.begin()
        places = [log.put(frame, frame % 2) for frame in range(6)]
        for _ in places:
            run.turn(0)
        run.member.revoke([TWO])
        assert log.committed == {ONE: 3, TWO: 3}
        self.expect(places)
        log.put(9, 1)
        run.turn_until_idle()
        assert log.committed[TWO] == 3
        run.stop()

    def test_a_lost_partition_is_neither_stored_nor_committed(self) -> None:
        log = LabelLog()
        sink = self.open()
        run = SinkRun(log, sink, max_rows=100)
        run.begin()
        places = [log.put(frame, frame % 2) for frame in range(6)]
        for _ in places:
            run.turn(0)
        run.member.revoke([TWO], lost=True)
        run.turn_until_idle()
        self.expect([place for place in places if place.partition == 0])
        assert log.committed == {ONE: 3, TWO: 0}
        run.member.assign([TWO])
        run.turn_until_idle()
        run.stop()
        self.expect(places)

    def test_a_partition_that_is_lost_while_the_target_is_busy_comes_again_whole(self) -> None:
        log = LabelLog()
        run = SinkRun(log, self.open())
        run.turn_until_idle()
        places = [log.put(frame, frame % 2) for frame in range(4)]
        self.set_busy(True)
        for _ in range(20):
            run.turn()
        run.member.revoke([TWO], lost=True)
        run.member.assign([TWO])
        self.set_busy(False)
        for _ in range(60):
            run.turn()
        run.stop()
        self.expect(places)
        assert log.committed == {ONE: 2, TWO: 2}

    def test_what_another_member_stored_meanwhile_is_not_stored_here(self) -> None:
        log = LabelLog()
        places = [log.put(frame, 1) for frame in range(4)]
        sink = self.open()
        run = SinkRun(log, sink)
        run.turn_until_idle()
        run.member.revoke([TWO])
        for frame in range(4, 8):
            log.put(frame, 1)
        log.committed[TWO] = 8
        places.append(log.put(8, 1))
        run.member.assign([TWO])
        run.turn_until_idle()
        run.stop()
        self.expect(places)

    def test_a_topic_that_was_made_again_is_stored_from_its_beginning(self) -> None:
        log = LabelLog()
        places = [log.put(frame) for frame in range(5)]
        sink = self.open()
        SinkRun(log, sink).turn_until_idle()
        again = LabelLog(log_id="cluster/topic-2")
        places += [again.put(frame) for frame in range(100, 103)]
        self.restarted(again, sink).stop()
        self.expect(places)

    def test_what_retention_has_taken_is_skipped(self) -> None:
        log = LabelLog()
        places = [log.put(frame) for frame in range(6)]
        log.committed[ONE], log.firsts[ONE] = 1, 4
        run = SinkRun(log, self.open())
        run.turn_until_idle()
        run.stop()
        self.expect(places[4:])
        assert log.committed[ONE] == 6
