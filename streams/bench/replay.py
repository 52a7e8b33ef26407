"""A replay against the bare copy of the same frames, and how long it takes to find a range in a long topic."""

import time
from collections.abc import Iterator

from infra.kafka.bare_copy import bare_copy
from infra.kafka.reader import Reader
from infra.kafka.topics import TopicNames
from infra.process.lifecycle import Stop
from infra.process.times import now_us
from ingest.publish.record_time import HOUR_US
from ingest.replay.history import TopicHistory
from ingest.replay.lane_writer import LaneWriter
from ingest.replay.plan import Found, Planner
from ingest.replay.run import copy_frames
from ingest.replay.screen import Screen
from ingest.replay.wish import Wish
from schemas import records
from schemas.replays import ReplayProgress, ReplayState
from streams.bench import sample_frames
from streams.bench.archive import measure_archive
from streams.bench.measure import median_ratio, rate_of, rates_in_turn
from streams.bench.replay_beside import measure_beside
from streams.bench.report import Options, Report
from streams.bench.stream import SOURCES
from streams.bench.testbed import Testbed, testbed

# Of the copy, for each frame that the options want: a copy of a second is too short to be compared.
FRAMES_EACH = 8
# Of the long topic, as many for each frame: 1,000,000 by default.
LONG_EACH = 667


def bench_replay(options: Options) -> Report:
    """Frames a second into the replay lane over those of a bare consume-and-produce; seconds until a range is found.

    What an archive costs to write and to read, and what the lane at work costs the live one.
    """
    report = Report("replay")
    jpegs = sample_frames.jpegs()
    frames = options.frames * FRAMES_EACH
    with testbed() as bed:
        bed.publish(sample_frames.stream_of(jpegs, frames, SOURCES))
        wish = Wish(0, now_us())
        pairs = rates_in_turn(
            options.repeats,
            lambda number: _replay_rate(bed, wish, f"bench-{number}"),
            lambda _: rate_of(lambda: bare_copy(bed.settings, bed.spans(bed.topics.frames), _lane(bed))),
        )
    with testbed() as bed:
        long = bed.publish(_small_frames(options.frames * LONG_EACH))
        end_at = now_us()
        started_s = time.perf_counter()
        found = _plan(bed, Wish(end_at - HOUR_US // 2, end_at - HOUR_US // 4))
        plan_s = time.perf_counter() - started_s
    mean_mb = sum(map(len, jpegs)) / len(jpegs) / 1e6
    report.ratio("replay_over_bare_copy", median_ratio(pairs), ">=", 0.7)
    report.ratio("seconds_to_find_a_range", plan_s, "<=", 1.0)
    report.figures = {
        "replay_frames_per_s": round(max(ours for ours, _ in pairs)),
        "replay_mb_per_s": round(max(ours for ours, _ in pairs) * mean_mb),
        "bare_frames_per_s": round(max(bare for _, bare in pairs)),
        "copied_frames": frames,
        "long_topic_frames": long,
        "range_frames": found.plan.frames,
    }
    measure_archive(report, options.repeats)
    measure_beside(options, report)
    return report


def _lane(bed: Testbed) -> str:
    return TopicNames.for_lane(bed.settings.topic_prefix, "replay").frames


def _plan(bed: Testbed, wish: Wish) -> Found:
    with Reader(bed.settings) as reader:
        return Planner(bed.settings, reader, TopicHistory(bed.settings), bed.topics.frames).plan(wish, lambda: False)


def _replay_rate(bed: Testbed, wish: Wish, name: str) -> float:
    """Frames a second of the copy, in transactions, with its progress."""
    now = now_us()
    plan = _plan(bed, wish).plan
    begun = ReplayProgress(
        name, ReplayState.STARTED, bed.topics.frames, wish.from_at, wish.to_at, now, now, "bench", plan
    )
    stop = Stop()
    writer = LaneWriter(bed.settings, name, stop)
    with Screen() as screen:
        return rate_of(lambda: copy_frames(bed.settings, begun, writer, screen, stop).copied)


def _small_frames(count: int) -> Iterator[records.Frame]:
    """Frames of the last hour, with images of a few bytes: offsets and times are what counts."""
    begin = now_us() - HOUR_US
    for number in range(count):
        at = begin + HOUR_US * number // count
        source_id = f"camera-{number % SOURCES}"
        yield records.Frame(
            f"{source_id}/1/{number}",
            source_id,
            records.SourceKind.CAMERA,
            1,
            number,
            at,
            at,
            records.Encoding.JPEG,
            b"image",
        )
