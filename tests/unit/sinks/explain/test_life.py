"""What is said of a frame, by what was found of it."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from infra.kafka.records import ConsumedRecord
from schemas.clocks import clock_headers
from schemas.coordinates import Coordinates, TopicPartition
from schemas.headers import Failure
from schemas.records import Decision, Encoding, Frame, Label, ModelRef, Origin, Prediction, Quality, SourceKind
from sinks.explain.fields import life_json
from sinks.explain.found import BatchFound, FailureFound, Findings, FrameFound, LabelFound, Positions
from sinks.explain.life import Life, State, steps, took_ms, took_text, verdict
from sinks.explain.text import life_view

PLACE = Coordinates("frames.raw", 3, 17)
MS = 1_764_158_400_000
FRAME = Frame(
    "dock/1764158000000/42", "dock", SourceKind.CAMERA, 1_764_158_000_000, 42, MS * 1000, MS * 1000 + 7_000,
    Encoding.JPEG, b"jpeg",
)  # fmt: skip
THERE = FrameFound(PLACE, ConsumedRecord("frames.raw", 3, 17, MS, b"dock", b"", None), FRAME)
GONE = FrameFound(PLACE, fault="removed by retention: the partition begins at offset 20 now")
BATCH = BatchFound("b", Coordinates("frames.batches", 3, 5), MS + 60, 1, 8, 224, 224, "I420")
DELAYS = (1_000, 30_000)


def label(**changes: Any) -> LabelFound:
    fields: dict[str, Any] = {
        "frame_id": FRAME.frame_id, "source_id": "dock", "captured_at": FRAME.captured_at,
        "labelled_at": (MS + 87) * 1000, "decision": Decision.ACCEPTED, "reason": None,
        "predictions": (Prediction("967", "espresso", 0.912), Prediction("504", "coffee mug", 0.05)),
        "origin": Origin.MODEL, "model": ModelRef("lite0", "1", "none"), "quality": Quality(100, 128, 40),
        "source": PLACE, "score": 0.912, "threshold": 0.35, "score_kind": "probability",
    }  # fmt: skip
    return LabelFound(Label(**{**fields, **changes}), Coordinates("labels", 2, 77), MS + 90)


def failed(topic: str, offset: int, attempt: int = 1, redriven: bool = False) -> FailureFound:
    failure = Failure(PLACE, MS, "infer", "ModelError", "no room", attempt)
    return FailureFound(failure, Coordinates(topic, 1, offset), MS + 500, redriven)


def put_off() -> FailureFound:
    failure = Failure(PLACE, MS, "stream", "deferred", "waits until the decoder has room", 0)
    return FailureFound(failure, Coordinates("frames.retry", 1, 4), MS + 500)


def life(frame: FrameFound = THERE, batch: BatchFound | None = None, **found: Any) -> Life:
    """Of stages that have finished everything, unless `committed` says otherwise."""
    committed = found.pop("committed", {("frames.raw", 3): 100, ("frames.batches", 3): 100, ("frames.retry", 1): 100})
    positions = Positions({TopicPartition(*key): offset for key, offset in committed.items()}, found.pop("unknown", {}))
    complete = found.pop("complete", True)
    return Life(frame, Findings(**found), batch, positions, DELAYS, complete)


READ = {("frames.raw", 3): 18}


@pytest.mark.parametrize(
    ("given", "state", "said"),
    [
        (life(labels=[label()]), State.LABELLED,
         "labelled espresso (91.2%), accepted, by the model, 87 ms after the capture"),
        (
            life(labels=[label(origin=Origin.CACHE_EXACT, decision=Decision.REVIEW, reason="quality:dark")]),
            State.LABELLED,
            "labelled espresso (91.2%), review (quality:dark), from the cache (the same bytes were labelled before), "
            "87 ms after the capture",
        ),
        (life(labels=[label(predictions=())], dead=[failed("frames.dead", 1)]), State.LABELLED,
         "labelled without a prediction"),
        (life(dead=[failed("frames.dead", 1)]), State.DEAD, "dead letter: ModelError (infer)"),
        (life(dead=[failed("frames.dead", 1, redriven=True)]), State.DEAD,
         "sent through again, and there is no outcome"),
        (life(committed={}), State.WAITS, "waits in frames.raw: the stream stage is 17 frames away"),
        (life(committed={("frames.raw", 3): 17}), State.WAITS, "the stream stage has it next, or in hand"),
        (life(replace(THERE, log_start=10), committed={}), State.WAITS, "the stream stage is 7 frames away"),
        (life(batch=BATCH, committed={**READ, ("frames.batches", 3): 2}), State.WAITS,
         "waits in micro-batch frames.batches/3/5 (frame 2 of 8): the workers have 3 micro-batches before it"),
        (life(batch=BATCH, committed={**READ, ("frames.batches", 3): 6}), State.MISSING, "redrive --missing"),
        (life(retries=[failed("frames.retry", 4, 2)], committed=READ), State.WAITS,
         "waits in frames.retry/1/4 for attempt 2, from 2025-11-26T12:00:30.500000Z on"),
        (life(retries=[failed("frames.retry", 4)], dead=[failed("frames.dead", 1, redriven=True)], committed=READ),
         State.WAITS, "waits in frames.retry"),
        (life(retries=[put_off()], committed=READ), State.WAITS, "waits until the decoder has room"),
        (life(), State.MISSING, "no outcome, and no stage has the frame"),
        (life(complete=False), State.UNKNOWN, "before the time was over"),
        (life(unknown={"stream": "how far sightline-stream is: no right"}), State.UNKNOWN,
         "it is not known how far sightline-stream is"),
        (life(GONE), State.UNKNOWN, "the frame is gone, and no outcome was found"),
        (life(GONE, labels=[label()]), State.LABELLED, "87 ms after the capture"),
    ],
)  # fmt: skip
def test_where_a_frame_is(given: Life, state: State, said: str) -> None:
    found, sentence = verdict(given)
    assert found is state
    assert said in sentence


def test_each_step_has_its_time_or_says_that_none_is_known() -> None:
    way = steps(life(batch=BATCH, labels=[label(), label()], retries=[failed("frames.retry", 4)]))
    assert [(step.name, step.at_ms and step.at_ms - MS) for step in way] == [
        ("captured", 0), ("received", 7), ("written", None), ("read", None), ("prepared and batched", 60),
        ("run and labelled", 87), ("run and labelled", 87), ("label written", 90), ("label written again", 90),
        ("attempt failed", 500),
    ]  # fmt: skip
    assert took_ms(way) == [None, 7, None, None, 53, 27, 0, 3, 0, 410]


def test_a_label_that_is_written_within_its_millisecond_is_written_after_it_is_made() -> None:
    way = steps(life(labels=[label(labelled_at=(MS + 90) * 1000 + 400)]))
    assert [step.name for step in way][-2:] == ["run and labelled", "label written"]
    assert took_ms(way)[-1] == 0


def test_of_a_camera_whose_clock_is_off_the_time_of_writing_is_known() -> None:
    off = replace(THERE.record or pytest.fail(), timestamp_ms=MS + 3_600_000, headers=clock_headers(MS + 3_600_000))
    way = {step.name: step for step in steps(life(replace(THERE, record=off)))}
    assert way["written"].at_ms == MS + 3_600_000
    assert "not credible" in way["written"].note


def test_of_a_frame_that_is_gone_the_label_tells_what_it_can() -> None:
    given = life(GONE, labels=[label()])
    assert [step.name for step in steps(given)] == [
        "captured, received, written", "prepared and batched", "run and labelled", "label written",
    ]  # fmt: skip
    assert (given.frame_id, given.captured_us) == (FRAME.frame_id, FRAME.captured_at)


def test_the_json_has_every_record_and_no_number_that_json_lacks() -> None:
    given = life(batch=BATCH, labels=[label()], replays=[label(replay_id="r1")], retries=[failed("frames.retry", 4)])
    found = json.loads(json.dumps(life_json(given, "frames.raw/3/17", None)))
    assert found["state"] == "labelled"
    assert found["frame"]["captured_at"] == "2025-11-26T12:00:00.000000Z"
    assert (found["labels"][0]["score"], found["labels"][0]["partition"], found["labels"][0]["offset"]) == (
        0.912,
        2,
        77,
    )
    assert found["replays"][0]["replay_id"] == "r1"
    assert (found["retries"][0]["attempt"], found["batch"]["index"]) == (1, 1)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0 ms"), (87.4, "87 ms"), (-3, "-3 ms"), (2_345, "2.3 s"), (240_000, "4 min"), (10_800_000, "3.0 h")],
)
def test_durations_are_read_at_a_glance(milliseconds: float, text: str) -> None:
    assert took_text(milliseconds) == text


def shown(given: Life) -> str:
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(life_view(given))
    return console.export_text()


def test_a_terminal_shows_the_way_the_decision_and_no_control_sequence() -> None:
    text = shown(life(batch=BATCH, labels=[label(predictions=(Prediction("1", "\x1b[2Jespresso", 0.912),))]))
    assert "\x1b" not in text
    for part in ("frames.raw/3/17", "4 bytes", "not known", "53 ms", "0.912 (probability) against 0.35: accepted", "█"):
        assert part in text
    old = shown(life(labels=[label(score=None, threshold=None, score_kind=None)]))
    assert "not told by the version that wrote the label: accepted" in old
