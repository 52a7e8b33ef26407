"""The gate of a deployment: what it fails, what it passes, and what it cannot say."""

from dataclasses import replace

import pytest

from infra.replay.diff import diff
from infra.replay.gate import exceeds, parse_limit, sentence
from infra.replay.result import Diff, Noise
from infra.replay.table import LabelTable, Names
from schemas.errors import ConfigError, SightlineError


def found(frames: int, changed: int, noise: Noise = Noise(), unanswered: int = 0) -> Diff:  # noqa: B008
    names = Names()
    nothing = diff("r1", LabelTable(names).rows(), LabelTable(names).rows(), names)
    return replace(nothing, frames=frames, changed=changed, noise=noise, unanswered=unanswered)


def test_a_limit_is_a_percentage() -> None:
    assert parse_limit("2%") == pytest.approx(0.02)
    assert parse_limit("0.5 %") == pytest.approx(0.005)
    assert parse_limit("100%") == 1.0
    for text in ("2", "", "%", "-1%", "101%", "two%", "1e3%", "nan%"):
        with pytest.raises(ConfigError, match="percentage"):
            parse_limit(text)


def test_only_what_is_beyond_noise_counts() -> None:
    assert exceeds(found(1000, 30), 0.02)
    assert not exceeds(found(1000, 20), 0.02)
    assert not exceeds(found(1000, 30, Noise(20, 1000)), 0.02)
    assert exceeds(found(1000, 60, Noise(20, 1000)), 0.02)
    assert "too much changed: 3.00% of 1,000 frames" in sentence(found(1000, 30), 0.02)
    few = found(3, 0)
    few = replace(few, replay=replace(few.replay, lone=990, lone_dead=7))
    assert sentence(few, 0.02).endswith("; 997 frames have no live outcome and were not compared")
    assert sentence(found(1000, 30, Noise(30, 1000)), 0.02).startswith("within the limit: 0.00%")


def test_nothing_compared_and_frames_without_an_outcome_do_not_pass() -> None:
    with pytest.raises(SightlineError, match="nothing to compare"):
        exceeds(found(0, 0), 0.02)
    with pytest.raises(SightlineError, match="5 frames of replay r1 have no outcome"):
        exceeds(found(1000, 0, unanswered=5), 0.02)
