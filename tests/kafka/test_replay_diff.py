"""The comparison of a replay with the live labels, on a real broker: the numbers are those of a hand count."""

import json
from pathlib import Path

import pytest

from infra.kafka.reader import Reader
from infra.replay import answers
from infra.replay.answers import AnswerCounter, Counts, compare, labels_of
from infra.replay.result import Moved, Noise, Pair
from schemas.records import Decision
from tests.support.deployment import Deployment
from tests.support.replayed import Replayed
from tests.support.runner import Runner
from tests.support.sink_records import Wire


@pytest.fixture
def replayed(deployment: Deployment, wire: Wire) -> Replayed:
    return Replayed(deployment, wire)


def test_the_numbers_are_those_of_a_hand_count(deployment: Deployment, replayed: Replayed) -> None:
    yard, gate = replayed.frames(6, "yard", 0), replayed.frames(4, "gate", 1)
    lone = replayed.frames(1, "lone", 2)
    replayed.live(dict.fromkeys(yard + gate[:3], "1"))
    replayed.live({gate[3]: None})
    replayed.replay({**dict.fromkeys(yard[:4], "1"), yard[4]: "2", yard[5]: "2"})
    replayed.replay({gate[0]: "3", gate[1]: None, gate[3]: "2", lone[0]: "1"})
    replayed.replay({gate[2]: "1"}, decision=Decision.REVIEW)
    replayed.replay(dict.fromkeys(yard, "1"), ".a")
    replayed.replay({**dict.fromkeys(yard[:5], "1"), yard[5]: "3"}, ".b")
    # Neither is of this replay: another one's label, and one of its own id outside its part of the lane.
    other = Replayed(deployment, replayed.wire, "other")
    other._sources = replayed._sources
    other.replay({yard[0]: "3"})
    found = compare(deployment.settings(), replayed.progress())

    assert (found.frames, found.changed, found.same) == (10, 6, 4)
    assert (found.changed_class, found.changed_decision, found.changed_outcome) == (3, 1, 2)
    assert found.noise == Noise(1, 6)
    assert found.changed_beyond_noise == round(10 * (0.6 - 1 / 6))
    assert found.pairs == [
        Pair("1", "tabby cat", "2", "golden retriever", 2),
        Pair(None, "(dead letter)", "2", "golden retriever", 1),
        Pair("1", "tabby cat", None, "(dead letter)", 1),
        Pair("1", "tabby cat", "3", "red fox", 1),
    ]
    assert found.cameras == [Moved("gate", 4, 4), Moved("yard", 2, 6)]
    assert (found.replay.lone, found.live.lone, found.unanswered) == (1, 0, 0)
    assert len(found.examples) == 6
    example = next(one for one in found.examples if one.source == yard[5])
    assert (example.live.name, example.replay.name, example.frame_id) == ("tabby cat", "golden retriever", "yard/1/5")
    assert example.lane is not None and example.lane.topic == replayed.lane.frames
    assert labels_of(deployment.settings(), replayed.progress()) == Counts(labels=10, dead=1, noise=12)


def test_the_report_holds_the_pictures_and_the_terminal_the_numbers(
    deployment: Deployment, replayed: Replayed, sightline: Runner, tmp_path: Path
) -> None:
    frames = replayed.frames(4)
    replayed.live(dict.fromkeys(frames, "1"))
    replayed.replay({frames[0]: "1", frames[1]: "2", frames[2]: "3", frames[3]: None})
    replayed.progress()
    report = tmp_path / "report.html"
    done = sightline.run("replay", "diff", "try-1", "--json", "--html", str(report))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["frames"], told["same"], told["changed"], len(told["examples"])) == (4, 1, 3, 3)
    text = report.read_text()
    assert text.count('src="data:image/jpeg;base64,') == 3
    assert "1 of 4 frames" in text
    shown = sightline.run("replay", "diff", "try-1")
    assert "replay try-1: 4 frames, 1 the same (25.00%), 3 changed" in shown.stdout


def test_the_highest_revision_counts_on_the_live_side(deployment: Deployment, replayed: Replayed) -> None:
    frames = replayed.frames(3)
    replayed.live(dict.fromkeys(frames, "1"))
    replayed.replay(dict.fromkeys(frames, "2"))
    progress = replayed.progress()
    assert compare(deployment.settings(), progress).changed == 3
    replayed.live({frames[0]: "2"}, revision=10, replay_id="an-earlier-one")
    replayed.live({frames[1]: "2"}, revision=10, replay_id="an-earlier-one")
    replayed.live({frames[1]: "3"}, revision=20, replay_id="a-later-one")
    replayed.live({frames[1]: "2"}, revision=15, replay_id="an-earlier-one")
    found = compare(deployment.settings(), progress)
    assert (found.changed, [pair.from_name for pair in found.pairs]) == (2, ["red fox", "tabby cat"])


def test_a_large_replay_is_compared_by_parts_that_make_up_all(
    deployment: Deployment, replayed: Replayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = replayed.frames(60)
    replayed.live(dict.fromkeys(frames, "1"))
    replayed.replay({frame: "2" if frame.offset % 2 else "1" for frame in frames})
    progress = replayed.progress()
    monkeypatch.setattr(answers, "MAX_FRAMES", 20)
    assert answers.parts_of(progress) == 3
    found = compare(deployment.settings(), progress)
    assert 5 < found.frames < 35
    assert "one frame in 3 was compared" in " ".join(found.notes)
    with Reader(deployment.settings()) as reader:
        parts = [
            answers.Comparison(deployment.settings(), reader, progress, lambda: False, part).result()
            for part in range(3)
        ]
    assert (sum(part.frames for part in parts), sum(part.changed for part in parts)) == (60, 30)


def test_the_counter_goes_on_where_it_ended(deployment: Deployment, replayed: Replayed) -> None:
    frames = replayed.frames(4)
    with Reader(deployment.settings()) as reader:
        counter = AnswerCounter(deployment.settings(), reader)
        places = [replayed.copy(frame) for frame in frames[:2]]
        assert counter.read(replayed.progress()) == Counts(0, 0, 0)
        replayed.answer(frames[0], places[0], None)
        assert counter.read(replayed.progress()) == Counts(0, 1, 0)
        replayed.answer(frames[0], places[0], "1")  # redriven
        replayed.answer(frames[0], places[0], "1")  # a repeat
        before = replayed.progress()
        replayed.replay({frames[2]: "1", frames[3]: None})
        assert counter.read(before) == Counts(1, 0, 0), "what it has not been told of yet is kept for later"
        assert counter.read(replayed.progress()) == Counts(2, 1, 0)
    found = compare(deployment.settings(), replayed.progress())
    assert (found.unanswered, found.frames) == (1, 0)
