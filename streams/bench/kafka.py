"""Kafka alone: writing and reading frames without any work on them."""

from infra.kafka.reader import Reader
from streams.bench import sample_frames
from streams.bench.measure import rate_of
from streams.bench.report import Options, Report
from streams.bench.stream import SOURCES
from streams.bench.testbed import testbed


def bench_kafka(options: Options) -> Report:
    """Frames and MB a second: written with acks=all by one client, and read by another."""
    report = Report("kafka")
    jpegs = sample_frames.jpegs()
    mean_mb = sum(map(len, jpegs)) / len(jpegs) / 1e6
    frames = list(sample_frames.stream_of(jpegs, options.frames, SOURCES))
    with testbed() as bed:
        written = rate_of(lambda: bed.publish(frames))
        with Reader(bed.settings) as reader:
            spans = reader.spans(bed.topics.frames)
            read = rate_of(lambda: sum(1 for _ in reader.read(spans)))
    report.figures = {
        "written_frames_per_s": round(written),
        "written_mb_per_s": round(written * mean_mb),
        "read_frames_per_s": round(read),
        "read_mb_per_s": round(read * mean_mb),
    }
    return report
