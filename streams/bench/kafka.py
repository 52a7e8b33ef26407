"""Kafka alone: what the broker and the client take and give, without any work in between."""

from infra.kafka.reader import Reader
from streams.bench import frames as test_frames
from streams.bench.measure import rate_of
from streams.bench.report import Options, Report
from streams.bench.stream import SOURCES
from streams.bench.testbed import lab


def bench_kafka(options: Options) -> Report:
    """Frames and MB a second, written with acks=all and read again, by one client each."""
    report = Report("kafka")
    jpegs = test_frames.jpegs()
    mean_mb = sum(map(len, jpegs)) / len(jpegs) / 1e6
    frames = list(test_frames.stream_of(jpegs, options.frames, SOURCES))
    with lab() as run:
        written = rate_of(lambda: run.publish(frames))
        with Reader(run.settings) as reader:
            spans = reader.spans(run.topics.frames)
            read = rate_of(lambda: sum(1 for _ in reader.read(spans)))
    report.figures = {
        "written_frames_per_s": round(written),
        "written_mb_per_s": round(written * mean_mb),
        "read_frames_per_s": round(read),
        "read_mb_per_s": round(read * mean_mb),
    }
    return report
