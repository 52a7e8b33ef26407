"""Traces of real stages, at a collector: a frame from camera to sink, links at batches, collectors that are away."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.deployment import Deployment
from tests.support.runner import Runner, Running
from tests.support.spans import Collector, ReceivedSpan
from tests.support.stream_ends import Feed, Outcomes, jpeg

PRODUCER, CONSUMER, INTERNAL = 4, 5, 1
FOREIGN = f"00-{7:032x}-{9:016x}"
IMAGES = 6


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def traced(endpoint: str, **more: str) -> dict[str, str]:
    return {
        "SIGHTLINE_TRACING__ENABLED": "true",
        "SIGHTLINE_TRACING__ENDPOINT": endpoint,
        "SIGHTLINE_TRACING__SAMPLE_RATIO": "1",
        "SIGHTLINE_TRACING__EXPORT_INTERVAL_MS": "100",
        **more,
    }


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    until = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.05)


def test_a_frame_is_one_trace_from_its_camera_to_a_sink(
    deployment: Deployment, sightline: Runner, feed: Feed, collector: Collector, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(IMAGES):
        (pictures / f"{number}.jpg").write_bytes(jpeg(number))
    env = traced(collector.endpoint)
    started = [
        sightline.start("stream", "--model", "null", "--no-cache", env=env, ready=False),
        sightline.start("infer", "--model", "null", "--no-cache", env=env, ready=False),
        sightline.start("sink", "jsonl", str(tmp_path / "labels"), env=env, ready=False),
    ]
    # Of another producer: one whose trace is not recorded, and one that is no picture.
    feed.send(1, traceparent=f"{FOREIGN}-00".encode())
    feed.send(2, image=b"<html>not found</html>", traceparent=f"{FOREIGN}-01".encode())
    feed.flush()
    sent = sightline.run("camera", "--source", str(pictures), "--id", "cam", "--fps", "1000", env=env)
    assert sent.returncode == 0, sent.stderr
    raw, batches, labels, dead = (
        deployment.prefix + name for name in ("frames.raw", "frames.batches", "labels", "frames.dead")
    )
    wait_until(lambda: len(collector.named(f"process {labels}")) == IMAGES, "labels in the sink")
    wait_until(lambda: len(collector.named(f"send {dead}")) == 1, "the dead letter")
    assert [one.stop() for one in started] == [0, 0, 0]

    chain = [
        (f"send {raw}", "sightline-camera", PRODUCER),
        (f"process {raw}", "sightline-stream", CONSUMER),
        (f"process {batches}", "sightline-infer", CONSUMER),
        (f"send {labels}", "sightline-infer", PRODUCER),
        (f"process {labels}", "sightline-sink-jsonl", CONSUMER),
    ]
    roots = collector.named(f"send {raw}")
    assert len({root.trace for root in roots}) == IMAGES
    assert [root.parent for root in roots] == [""] * IMAGES
    of_frames = [span for span in collector.spans if span.trace in {root.trace for root in roots}]
    assert len(of_frames) == IMAGES * len(chain)
    for root in roots:
        parent = ""
        for name, service, kind in chain:
            (span,) = [one for one in of_frames if one.trace == root.trace and one.name == name]
            assert (span.service, span.kind, span.parent, span.is_error) == (service, kind, parent, False)
            parent = span.id
    _batches_link_to_their_frames(collector, of_frames, raw, batches)
    _attributes_are_those_of_the_conventions(collector, deployment, raw, batches)

    foreign = [span for span in collector.spans if span.trace == FOREIGN.split("-")[1]]
    assert [span.name for span in sorted(foreign, key=lambda one: one.name)] == [f"process {raw}", f"send {dead}"]
    (failed,) = [one for one in foreign if one.name == f"process {raw}"]
    assert (failed.parent, failed.is_error) == (FOREIGN.split("-")[2], True)
    assert failed.attributes["error.type"]


def _batches_link_to_their_frames(collector: Collector, frames: list[ReceivedSpan], raw: str, batches: str) -> None:
    """Both ways: a micro-batch names its frames, and from a frame one comes to its micro-batch."""
    for name, of, kind in (
        (f"send {batches}", f"process {raw}", PRODUCER),
        ("infer null", f"process {batches}", INTERNAL),
    ):
        spans = collector.named(name)
        assert {span.kind for span in spans} == {kind}
        members = {(one.trace, one.id) for one in frames if one.name == of}
        assert sorted(link for span in spans for link in span.links) == sorted(members)
        known = {(span.trace, span.id) for span in spans}
        assert all(set(one.links) <= known and one.links for one in frames if one.name == of)
    sent = collector.named(f"send {batches}")
    assert sum(span.attributes["messaging.batch.message_count"] for span in sent) >= IMAGES


def _attributes_are_those_of_the_conventions(
    collector: Collector, deployment: Deployment, raw: str, batches: str
) -> None:
    first, read = collector.named(f"send {raw}")[0], collector.named(f"process {batches}")[0]
    assert first.attributes["messaging.system"] == "kafka"
    assert first.attributes["messaging.operation.name"] == first.attributes["messaging.operation.type"] == "send"
    assert first.attributes["messaging.destination.name"] == raw
    assert first.attributes["messaging.kafka.message.key"] == "cam"
    assert first.attributes["sightline.frame_id"].startswith("cam/")
    assert first.attributes["messaging.destination.partition.id"].isdigit()
    assert first.attributes["messaging.kafka.offset"] >= 0
    assert read.attributes["messaging.consumer.group.name"] == f"{deployment.prefix}sightline-infer"


@pytest.mark.system
def test_a_collector_that_is_away_costs_no_frame(sightline: Runner, feed: Feed, outcomes: Outcomes) -> None:
    hangs = Collector(hangs=True)
    few = {"SIGHTLINE_TRACING__MAX_QUEUE_SPANS": "16"}
    stage = sightline.start("stream", "--model", "null", "--no-cache", env=traced(hangs.endpoint, **few), ready=False)
    refuses = "http://127.0.0.1:9/v1/traces"
    worker = sightline.start("infer", "--model", "null", "--no-cache", env=traced(refuses, **few), ready=False)
    for number in range(200):
        feed.send(number)
    feed.flush()
    wait_until(lambda: len(_labels(outcomes)) == 200, "200 labels")
    wait_until(lambda: _dropped(stage, "queue_full") > 0, "the stage counts what it drops")
    wait_until(lambda: _dropped(worker, "queue_full", "failed") > 0, "the worker counts what it drops")
    assert [stage.stop(), worker.stop()] == [0, 0]
    assert _labels(outcomes) == {f"cam/1/{number}" for number in range(200)}
    hangs.close()


def _labels(outcomes: Outcomes) -> set[str]:
    """The ids of the frames whose labels were read by now."""
    outcomes.read()
    return {label.frame_id for label in outcomes.labels}


def _dropped(process: Running, *results: str) -> float:
    return sum(process.metric("sightline_spans_total", result=result) for result in results)
