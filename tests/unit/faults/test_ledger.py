"""The fault suite's own book-keeping: it must see what it is there to see."""

from dataclasses import asdict

import pytest

from schemas.coordinates import Coordinates
from schemas.records import Decision, Label, ModelRef, Origin, Quality
from tests.faults.ledger import Ledger, count
from tests.faults.memory import MemoryTrack
from tests.faults.outcomes import Outcome
from tests.faults.pictures import POISON
from tests.faults.results import row_of, table
from tests.faults.sender import Sent

SENT = {Coordinates("frames.raw", 0, seq): Sent("cam-0", seq, float(seq)) for seq in range(4)}
PLACES = list(SENT)
POISONED = {**SENT, PLACES[3]: Sent("cam-0", 3, 3.0, POISON[0])}


def labelled(seq: int, origin: Origin = Origin.MODEL, replay_id: str | None = None) -> Outcome:
    place = Coordinates("frames.raw", 0, seq)
    label = Label(
        frame_id=f"cam-0/1/{seq}",
        source_id="cam-0",
        captured_at=0,
        labelled_at=0,
        decision=Decision.ACCEPTED,
        reason=None,
        predictions=(),
        origin=origin,
        model=ModelRef("null", "1", "none"),
        quality=Quality(0, 0, 0),
        source=place,
    )
    return Outcome(place, replay_id, label)


def died(seq: int, reason: str = "empty") -> Outcome:
    return Outcome(Coordinates("frames.raw", 0, seq), None, None, reason, "stream")


def counted(*outcomes: Outcome, sent: dict[Coordinates, Sent] = SENT, retried: tuple[int, ...] = ()) -> Ledger:
    return count(sent, sent.keys(), {PLACES[seq] for seq in retried}, outcomes)


def test_all_is_well() -> None:
    ledger = counted(labelled(0), labelled(1), labelled(2), died(3), sent=POISONED)
    assert not ledger.faults
    assert (ledger.frames, ledger.labels, ledger.dead, ledger.duplicates) == (4, 3, 1, 0)


def test_a_frame_without_an_outcome_is_lost() -> None:
    ledger = counted(labelled(0), labelled(1), labelled(3))
    assert ledger.lost == [PLACES[2]]
    assert ledger.faults


def test_an_acknowledged_frame_that_is_not_on_the_topic() -> None:
    ledger = count(SENT, set(PLACES[:3]), set(), [labelled(0), labelled(1), labelled(2)])
    assert ledger.gone == [PLACES[3]]
    assert ledger.faults


def test_a_frame_whose_acknowledgement_was_lost_counts_too() -> None:
    ledger = count({PLACES[0]: SENT[PLACES[0]]}, set(PLACES[:2]), set(), [labelled(0)])
    assert ledger.lost == [PLACES[1]]


def test_an_outcome_of_nothing() -> None:
    assert counted(*map(labelled, range(4)), labelled(9)).foreign == 1


def test_repeats_count_and_deduplication_removes_those_of_labels() -> None:
    ledger = counted(labelled(0), labelled(1), labelled(0), labelled(1), labelled(2), labelled(3))
    assert (ledger.duplicates, ledger.duplicates_left, ledger.out_of_order) == (2, 0, 0)


def test_a_replay_is_no_repeat() -> None:
    assert counted(*map(labelled, range(4)), labelled(0, replay_id="r")).duplicates == 0


def test_order_is_that_of_model_labels() -> None:
    assert counted(labelled(0), labelled(2), labelled(1), labelled(3)).out_of_order == 1
    assert counted(labelled(0), labelled(2), labelled(1, Origin.CACHE_EXACT), labelled(3)).out_of_order == 0
    assert counted(labelled(0), labelled(2), labelled(3), labelled(1), retried=(1,)).out_of_order == 0


def test_reasons_must_be_true() -> None:
    good = (labelled(0), labelled(1), labelled(2))
    assert counted(*good, died(3, "truncated"), sent=POISONED).untrue
    assert counted(*good, labelled(3), sent=POISONED).untrue
    assert counted(*good, died(3)).untrue


def test_a_label_and_a_dead_letter_of_one_frame() -> None:
    assert counted(*map(labelled, range(4)), died(3), sent=POISONED).both == 1


def test_slope_of_the_longest_life() -> None:
    track = MemoryTrack()
    for second in range(50):
        track.add(1, second, 500 * 1024 * 1024 + second * 999_999)
    for second in range(90):
        # Loads for half a minute, then a MiB a minute.
        track.add(2, 100 + second, 1000 * 1024 * 1024 + (max(0, second - 30) * 1024 * 1024 // 60))
    assert track.slope_mib_per_min() == pytest.approx(1.0, rel=0.01)
    assert track.max_mib == pytest.approx(1000 + 59 / 60, rel=0.001)
    assert MemoryTrack().slope_mib_per_min() is None


def test_table_has_a_line_per_case() -> None:
    row = row_of("kill -9", counted(*map(labelled, range(4))), 1.25)
    assert table([asdict(row)]).splitlines()[-1] == "| kill -9 | 4 | 0 | 0 | 0 | 0 | 0 | 1.2 s | 0 |"
