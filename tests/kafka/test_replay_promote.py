"""`sightline replay promote` on a real broker: each changed label once, and readers know a correction from a repeat."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from infra.kafka.reader import Reader
from infra.kafka.transaction import Transaction
from infra.process.lifecycle import Stop
from infra.replay.answers import compare
from schemas import codec
from schemas.errors import SinkError, Stalled
from schemas.records import Decision, Label
from sinks.replay import promote as promoting
from sinks.replay.promote import promote
from tests.support.deployment import Deployment
from tests.support.replayed import Replayed
from tests.support.runner import Runner
from tests.support.sink_records import Wire

pytestmark = pytest.mark.system


@pytest.fixture
def replayed(deployment: Deployment, wire: Wire) -> Replayed:
    """Ten frames of two sources: the replay answers four of them differently, one of those for review."""
    made = Replayed(deployment, wire)
    yard, gate = made.frames(6, "yard", 0), made.frames(4, "gate", 1)
    made.live(dict.fromkeys(yard + gate, "1"))
    made.replay({**dict.fromkeys(yard[:4], "1"), yard[4]: "2", yard[5]: "2"})
    made.replay({**dict.fromkeys(gate[:2], "1"), gate[2]: "3"})
    made.replay({gate[3]: "2"}, decision=Decision.REVIEW)
    made.changed = [yard[4], yard[5], gate[2], gate[3]]
    return made


def labels_on(deployment: Deployment, topic: str) -> list[Label]:
    with Reader(deployment.settings()) as reader:
        return [codec.decode(Label, record.value) for record in reader.read(reader.spans(topic))]


def corrections_on(deployment: Deployment, topic: str) -> list[Label]:
    return [label for label in labels_on(deployment, topic) if label.revision > 0]


def run(sightline: Runner, *words: str) -> dict[str, Any]:
    done = sightline.run(*words)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_changed_labels_become_corrections_once(deployment: Deployment, replayed: Replayed, sightline: Runner) -> None:
    replay, topics = replayed.progress(), deployment.topics
    dry = promote(deployment.settings(), replay, Stop(), execute=False)
    assert (dry.chosen, dry.promoted) == (4, 0)
    assert corrections_on(deployment, topics.labels) == []

    done = run(sightline, "replay", "promote", "try-1", "--execute", "--json")
    assert (done["executed"], done["chosen"], done["promoted"], done["review"]) == (True, 4, 4, 1)
    made = corrections_on(deployment, topics.labels)
    assert sorted(map(str, (label.source for label in made))) == sorted(map(str, replayed.changed))
    assert {(label.replay_id, label.replay_of, label.revision) for label in made} == {("try-1", None, done["revision"])}
    assert [label.source for label in corrections_on(deployment, topics.review)] == replayed.changed[3:]

    again = promote(deployment.settings(), replay, Stop(), execute=True)
    assert (again.chosen, again.promoted, again.already) == (0, 0, 4)
    assert len(corrections_on(deployment, topics.labels)) == 4


def test_every_reader_tells_a_correction_from_a_repeat(
    deployment: Deployment, replayed: Replayed, sightline: Runner
) -> None:
    revision = promote(deployment.settings(), replayed.progress(), Stop(), execute=True).revision
    replayed.live({replayed.changed[0]: "1"})  # a real repeat is still one
    audit = run(sightline, "audit", "--json")
    assert {name: audit[name] for name in ("frames", "labels", "duplicates", "corrections", "ok")} == {
        "frames": 10, "labels": 10, "duplicates": 1, "corrections": 4, "ok": True,
    }  # fmt: skip
    explained = run(sightline, "explain", str(replayed.changed[0]), "--json")
    assert [each["revision"] for each in explained["corrections"]] == [revision]
    assert explained["sentence"].startswith("corrected to golden retriever (90.0%), accepted by replay try-1")
    live = sightline.run("subscribe", "--from", "-1h", "--to", "end")
    assert [json.loads(line)["revision"] for line in live.stdout.splitlines()] == [0] * 11
    asked = sightline.run("subscribe", "--from", "-1h", "--to", "end", "--corrections", "--dedupe")
    revisions = [json.loads(line)["revision"] for line in asked.stdout.splitlines()]
    assert sorted(revisions) == [0] * 10 + [revision] * 4


def test_two_replays_of_a_frame_and_the_later_promotion_counts(deployment: Deployment, replayed: Replayed) -> None:
    settings = deployment.settings()
    first = replayed.progress()
    promote(settings, first, Stop(), execute=True)
    other = Replayed(deployment, replayed.wire, "try-2")
    other._sources = replayed._sources
    other.replay(dict.fromkeys(replayed.changed, "1"))
    found = compare(settings, other.progress())
    assert (found.frames, found.changed) == (4, 4), "the highest revision is what is live now"
    promote(settings, other.progress(), Stop(), execute=True)
    again = promote(settings, first, Stop(), execute=True)
    assert (again.changed, again.chosen, again.already) == (4, 0, 4), "it is not promoted over the later one"


def test_a_promotion_that_is_cut_off_goes_on_and_repeats_nothing(
    deployment: Deployment, replayed: Replayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process still has an open transaction when the second one starts: that one is ended first."""
    settings, replay = deployment.settings(), replayed.progress()
    monkeypatch.setattr(promoting, "CHUNK_LABELS", 1)
    real, calls = Transaction.run, [0]

    def cut(transaction: Transaction) -> None:
        calls[0] += 1
        if calls[0] < 3:
            real(transaction)
            return
        transaction._producer.begin_transaction()
        for record in transaction._records:
            transaction._produce(record)
        transaction.error = Stalled("killed")

    monkeypatch.setattr(Transaction, "run", cut)
    with pytest.raises((Stalled, SinkError)):
        promote(settings, replay, Stop(), execute=True)
    monkeypatch.setattr(Transaction, "run", real)
    done = promote(settings, replay, Stop(), execute=True)
    assert (done.chosen, done.promoted, done.already) == (2, 2, 2)
    sources = [label.source for label in corrections_on(deployment, deployment.topics.labels)]
    assert sorted(map(str, sources)) == sorted(map(str, replayed.changed))


def test_what_cannot_be_done_is_said_in_a_sentence(
    deployment: Deployment, replayed: Replayed, sightline: Runner
) -> None:
    replayed.progress()
    for words, code, said in (
        (("diff", "nobody"), 2, "there is no replay 'nobody': there are try-1"),
        (("diff", "try-1", "--html", "/nowhere/report.html"), 2, "there is no folder /nowhere"),
        (("diff", "try-1", "--fail-if-changed", "2%"), 4, "too much changed: 40.00% of 10 frames"),
        (("diff", "try-1", "--fail-if-changed", "41%"), 0, "within the limit"),
    ):
        done = sightline.run("replay", *words)
        assert (done.returncode, said in done.stderr) == (code, True), (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr


def test_the_sink_keeps_a_correction_beside_what_it_corrects(
    deployment: Deployment, replayed: Replayed, sightline: Runner, tmp_path: Path
) -> None:
    promote(deployment.settings(), replayed.progress(), Stop(), execute=True)
    replayed.live({replayed.changed[0]: "1"})  # a repeat of the first label
    sink = sightline.start("sink", "jsonl", str(tmp_path / "out")).wait_ready()
    until = time.monotonic() + 60
    while sum(len(path.read_text().splitlines()) for path in (tmp_path / "out").rglob("*.part")) < 14:
        assert time.monotonic() < until, sink.stderr
        time.sleep(0.2)
    sink.stop()
    rows = [json.loads(line) for path in (tmp_path / "out").rglob("*.jsonl") for line in path.read_text().splitlines()]
    best: dict[tuple[int, int], Any] = {}
    for row in sorted(rows, key=lambda row: row["revision"]):
        best[row["source"]["partition"], row["source"]["offset"]] = row
    assert len(rows) == 14
    names = [best[place.partition, place.offset]["predictions"][0]["name"] for place in replayed.changed]
    assert names == ["golden retriever", "golden retriever", "red fox", "golden retriever"]
