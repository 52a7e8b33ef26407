"""Records that can never be labelled: each ends as a dead letter with the right reason, the others are labelled."""

import pytest

from tests.faults.conftest import RigMaker
from tests.faults.pictures import POISON, too_large
from tests.faults.rig import Rig

LARGE_SIDE = 256
LARGE = too_large(LARGE_SIDE)


@pytest.mark.parametrize("percent", [1, 10])
def test_some_poison(make_rig: RigMaker, percent: int) -> None:
    rig = make_rig(f"poison, {percent} % of the frames")
    rig.start_stages()
    rig.send(rate_per_s=100, poison_share=percent / 100, max_frames=2000).wait(90)
    ledger = rig.settle()
    assert 0 < ledger.dead < 2000 * percent / 100 * 2
    assert not rig.stream.restarts
    assert not rig.infer.restarts


def test_only_poison(make_rig: RigMaker) -> None:
    """The circuit breaker takes this for a broken deployment and stops the stage, again and again; no frame is lost."""
    window = 300
    rig = make_rig("poison, 100 % of the frames", SIGHTLINE_BREAKER__WINDOW_FRAMES=str(window))
    rig.start_stages()
    rig.send(rate_per_s=150, poison_share=1.0, max_frames=1500).wait(90)
    ledger = rig.settle()
    assert ledger.dead == 1500
    assert ledger.labels == 0
    ends = rig.stream.ended_by_itself
    assert 1 <= len(ends) <= 1500 // window + 1, rig.words()
    assert all(end.code == 1 and "broken deployment" in end.stderr for end in ends), rig.words()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_kinds_of_poison_then_redrive(make_rig: RigMaker) -> None:
    """A limit was too low, so valid images became dead letters. With a higher limit, redrive labels exactly those."""
    count = 10_000
    rig = make_rig("10,000 poison records of ten kinds among 10,000 good ones")
    kinds = (*POISON[:9], LARGE)
    rig.keep("stream", "stream", "--model", "null", SIGHTLINE_STREAM__MAX_IMAGE_PIXELS=str(LARGE_SIDE**2 - 1))
    rig.keep("infer", "infer", "--model", "null")
    rig.send(
        rate_per_s=1000, sources=12, poison_share=0.5, max_frames=2 * count, poison=lambda rng: rng.choice(kinds)
    ).wait(240)
    ledger = rig.settle(240)
    assert ledger.dead + ledger.labels == 2 * count
    assert abs(ledger.dead - count) < 500
    redrive(rig)


def redrive(rig: Rig) -> None:
    """Redrive the images that failed at the low limit; the 400 megapixels have the same reason, and fail again."""
    assert rig.sender is not None
    rig.stream.stop()
    rig.keep("stream", "stream", "--model", "null")
    sent = rig.sender.acknowledged
    repaired = {place for place, one in sent.items() if one.poison is LARGE}
    assert repaired
    done = rig.run("redrive", "--error", LARGE.reason, "--rate", "2000/s", "--execute", "--json", timeout_s=240)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    rig.wait_labelled(repaired, 120)
    code, audit = rig.audit("--wait", "60")
    assert (code, audit["frames"], audit["missing_count"]) == (0, len(sent), 0)
    still_dead = {one.source for one in rig.reading.outcomes() if one.label is None} - {
        label.source for label in rig.reading.labels()
    }
    assert still_dead == {place for place, one in sent.items() if one.poison not in (None, LARGE)}
