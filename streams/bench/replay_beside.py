"""What a replay at full speed costs the live lane on the same machine: the 95th percentile of its latency."""

import statistics
from dataclasses import replace

from infra.kafka.sender import OutRecord
from infra.kafka.topics import TopicNames
from infra.process.supervise import Child
from infra.replay.lane import LaneStages
from schemas import codec, headers, records
from schemas.errors import SightlineError
from streams.bench import sample_frames
from streams.bench.measure import WARM_UP_SHARE, percentile
from streams.bench.report import Options, Report
from streams.bench.stream import SOURCES
from streams.bench.testbed import Testbed, testbed
from streams.bench.traffic import latencies_ms, send_paced

LIVE_FRAMES_PER_S = 20.0
# About as much as the lane labels in the measured time on a small machine. On a larger one it is done before, and only
# the live frames until then count.
LANE_FRAMES_PER_S = 150
MAX_LANE_FRAMES = 8_000
MIN_MEASURED_SHARE = 0.5
GOAL = 1.3
TIMEOUT_S = 120.0
REPLAY_ID = "bench"


def measure_beside(options: Options, report: Report) -> None:
    """Live traffic at LIVE_FRAMES_PER_S without and with the lane's own stages at full speed, by turns; one ratio.

    Raises SightlineError when the lane had nothing to do for half of the live traffic.
    """
    jpegs = sample_frames.jpegs()
    count = int(LIVE_FRAMES_PER_S * options.seconds)
    pairs: list[tuple[float, float]] = []
    lane_per_s: list[float] = []
    model = ("--model", options.model)
    with testbed() as bed, bed.stage("infer", *model) as infer, bed.stage("stream", *model) as stream:
        lane = TopicNames.for_lane(bed.settings.topic_prefix, "replay")
        live = _Live(bed, jpegs, count, [infer, stream])
        live.run()  # warm-up
        written = 0
        for _ in range(options.repeats):
            alone = percentile(latencies_ms(live.run()), 0.95)
            done = bed.written(lane.labels)
            written += _fill(bed, lane.frames, jpegs, done + _lane_frames(options.seconds) - written, written)
            with LaneStages(options.model, env=bed.variables, logs_dir=bed.logs / "lane") as stages:
                bed.wait_for(lane.labels, done + 1, stages.children, TIMEOUT_S)
                labels = live.run()
                stages.check()
            replayed_us = [label.labelled_at for label in bed.labels(bed.spans(lane.labels))]
            measured = [label for label in labels if label.captured_at <= max(replayed_us)]
            if len(measured) < MIN_MEASURED_SHARE * len(labels):
                raise SightlineError(
                    f"the replay lane had labelled its {written} frames too soon to be measured beside"
                )
            pairs.append((percentile(latencies_ms(measured), 0.95), alone))
            first_us, last_us = measured[0].captured_at, measured[-1].captured_at
            lane_per_s.append(sum(first_us <= at <= last_us for at in replayed_us) / (last_us - first_us) * 1e6)
    report.ratio("live_p95_beside_a_replay", statistics.median(one / other for one, other in pairs), "<=", GOAL)
    report.figures["live_p95_alone_ms"] = [round(alone, 1) for _, alone in pairs]
    report.figures["live_p95_beside_a_replay_ms"] = [round(beside, 1) for beside, _ in pairs]
    report.figures["replayed_frames_per_s"] = [round(rate, 1) for rate in lane_per_s]


class _Live:
    """The live lane under a steady rate."""

    def __init__(self, bed: Testbed, jpegs: list[bytes], count: int, stages: list[Child]) -> None:
        self._bed, self._jpegs, self._count, self._stages, self._sent = bed, jpegs, count, stages, 0

    def run(self) -> list[records.Label]:
        """The labels in the order of capture, without the first fifth, which is warm-up."""
        labels, before = self._bed.topics.labels, self._bed.spans(self._bed.topics.labels)
        send_paced(self._bed, self._jpegs, LIVE_FRAMES_PER_S, self._count, SOURCES, self._sent)
        self._sent += self._count
        self._bed.wait_for(labels, self._sent, self._stages, TIMEOUT_S)
        now = self._bed.spans(labels)
        new = [replace(span, start=old.end) for old, span in zip(before, now, strict=True)]
        found = sorted(self._bed.labels(new), key=lambda label: label.captured_at)
        return found[int(self._count * WARM_UP_SHARE) :]


def _lane_frames(seconds: float) -> int:
    return min(MAX_LANE_FRAMES, int(LANE_FRAMES_PER_S * seconds))


def _fill(bed: Testbed, topic: str, jpegs: list[bytes], count: int, first: int) -> int:
    """Write frames of a replay to the lane; returns how many."""
    replayed = [(headers.REPLAY_ID, REPLAY_ID.encode())]
    return bed.write(
        OutRecord(topic, frame.source_id, codec.encode(frame), replayed)
        for frame in sample_frames.stream_of(jpegs, max(0, count), SOURCES, first=10_000_000 + first)
    )
