"""What the processes of the pipeline tell of themselves on /metrics, scraped as Prometheus does."""

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from infra.kafka.group_offsets import committed_offsets
from infra.kafka.topics import group
from schemas.coordinates import TopicPartition
from tests.support.deployment import PARTITIONS, Deployment
from tests.support.runner import Runner, Running
from tests.support.stream_ends import Feed, jpeg

pytestmark = pytest.mark.timeout(300)

OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
LAG, SETTLED = "sightline_consumer_lag_records", "sightline_settled_frame_timestamp_seconds"
LATENCY = "sightline_end_to_end_latency_seconds"


def scrape(process: Running, accept: str = OPEN_METRICS) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{process.http_port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def samples(process: Running, name: str) -> list[Sample]:
    families: Iterable[Metric] = text_string_to_metric_families(scrape(process))  # type: ignore[no-untyped-call]
    return [one for family in families for one in family.samples if one.name == name]


def by_partition(process: Running, name: str, group_id: str) -> dict[str, float]:
    found = [one for one in samples(process, name) if one.labels["group"] == group_id]
    assert all(one.labels["lane"] == "live" for one in found)
    return {one.labels["partition"]: one.value for one in found}


def until(is_so: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.3)


@pytest.mark.system
def test_every_stage_tells_of_its_own_partitions_and_no_others(
    deployment: Deployment, sightline: Runner, feed: Feed, tmp_path: Path
) -> None:
    """Also the latency of labels of every origin, with an exemplar."""
    since_s = time.time()
    stream = sightline.start("stream", "--model", "null")
    worker = sightline.start("infer", "--model", "null")
    sink = sightline.start("sink", "jsonl", str(tmp_path / "labels"))
    stages = {"stream": stream, "infer": worker, "sink-jsonl": sink}
    groups = {stage: group(stage, deployment.prefix) for stage in stages}

    def send(first: int, image: bytes | None) -> None:
        for number in range(first, first + 20):
            trace = f"00-{number + 1:032x}-{1:016x}-01".encode()
            feed.send(number, image=image or jpeg(number), traceparent=trace)

    def settled(stage: str) -> dict[str, float]:
        return by_partition(stages[stage], SETTLED, groups[stage])

    def origins() -> set[str]:
        counts = [one for process in (stream, worker) for one in samples(process, f"{LATENCY}_count")]
        return {one.labels["origin"] for one in counts if one.value}

    send(0, jpeg(0))
    until(lambda: origins() >= {"MODEL"})
    send(20, jpeg(0))  # its label is in the cache by now
    until(lambda: origins() == {"MODEL", "CACHE_EXACT"})
    until(lambda: all(settled(stage) for stage in stages))
    for stage, process in stages.items():
        until(lambda stage=stage, process=process: set(  # type: ignore[misc]
            by_partition(process, LAG, groups[stage]).values()) == {0.0})  # fmt: skip
        assert len(by_partition(process, LAG, groups[stage])) == PARTITIONS
        assert all(since_s - 5 < at_s <= time.time() for at_s in settled(stage).values())
    assert len(by_partition(stream, LAG, group("retry", deployment.prefix))) == PARTITIONS
    exemplars = [one.exemplar for one in samples(stream, f"{LATENCY}_bucket") if one.exemplar is not None]
    assert exemplars and all({"trace_id", "frame_id"} <= one.labels.keys() for one in exemplars)
    if shutil.which("promtool") is not None:
        for process in stages.values():
            text = scrape(process, "text/plain").encode()
            found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
            assert (found.returncode, found.stdout + found.stderr) == (0, b"")

    other = sightline.start("sink", "jsonl", str(tmp_path / "other"))
    second = groups["sink-jsonl"]
    until(lambda: len(by_partition(other, LAG, second)) == PARTITIONS // 2)
    until(lambda: len(by_partition(sink, LAG, second)) == PARTITIONS // 2, 10)
    mine, theirs = by_partition(sink, LAG, second), by_partition(other, LAG, second)
    assert not mine.keys() & theirs.keys()
    assert settled("sink-jsonl").keys() <= mine.keys()


def test_a_paused_stage_tells_how_far_it_is_behind(deployment: Deployment, sightline: Runner, feed: Feed) -> None:
    limits = {"SIGHTLINE_STREAM__MAX_INFLIGHT_BYTES": "200000"}
    stream = sightline.start("stream", "--model", "null", "--no-cache", env=limits)
    number = 0
    while not stream.metric("sightline_paused", reason="backlog"):
        feed.send(number)
        number += 1
        time.sleep(0.02)
    for more in range(40):
        feed.send(number + more)
    feed.close()
    stage = group("stream", deployment.prefix)

    def behind() -> float:
        places = [TopicPartition(deployment.topics.frames, one) for one in range(PARTITIONS)]
        offsets = committed_offsets(deployment.settings(), stage, places, 30)
        return len(feed.places) - sum(offsets.values())

    until(lambda: 40 <= sum(by_partition(stream, LAG, stage).values()) == behind())
    assert by_partition(stream, LAG, group("infer", deployment.prefix)) == {}, "no partition of that group is its own"
