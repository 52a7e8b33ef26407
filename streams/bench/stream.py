"""The stream stage against a bare decode loop: the same decode, resize and colour conversion without Kafka."""

from inference.models import describe_model
from infra.kafka.topics import group
from infra.process.supervise import Child
from streams.bench import sample_frames
from streams.bench.bare import decode_loop
from streams.bench.measure import ProcessMeter, Usage, median_ratio, rate_of, steady_rate_per_s
from streams.bench.report import Options, Report
from streams.bench.testbed import Testbed, testbed

SOURCES = 24
TIMEOUT_S = 300.0
GOAL = 0.7


def bench_stream(options: Options) -> Report:
    """Ours: `sightline stream` turns a backlog on Kafka into micro-batches. Bare: the same decode in a thread pool."""
    report = Report("stream")
    jpegs = sample_frames.jpegs()
    pairs = []
    usages = []
    for _ in range(options.repeats):
        bare = bare_rate(jpegs, options)
        ours, usage = drain_rate(jpegs, options, "--no-cache")
        pairs.append((ours, bare))
        usages.append(usage)
    report.ratio("stream_over_bare_decode_loop", median_ratio(pairs), ">=", GOAL)
    report.figures = {
        "frames_per_s": [round(ours, 1) for ours, _ in pairs],
        "bare_frames_per_s": [round(bare, 1) for _, bare in pairs],
        "stream_cpu_ms_per_frame": [round(usage.cpu_s / options.frames * 1000, 2) for usage in usages],
        "stream_rss_max_mib": round(max(usage.rss_max_mib for usage in usages)),
        "mean_jpeg_bytes": sum(map(len, jpegs)) // len(jpegs),
    }
    return report


def bare_rate(jpegs: list[bytes], options: Options) -> float:
    """Frames a second of the decode loop alone."""
    spec = describe_model(options.model).input
    return rate_of(lambda: decode_loop(jpegs, spec, options.frames, 50_000_000))


def drain_rate(jpegs: list[bytes], options: Options, *flags: str) -> tuple[float, Usage]:
    """Frames a second of `sightline stream` on a backlog of unique frames, and the CPU and memory it used."""
    with testbed() as bed:
        bed.publish(sample_frames.stream_of(jpegs, options.frames, SOURCES))
        with bed.stage("stream", "--model", options.model, *flags) as stage, ProcessMeter(stage.pid) as meter:
            wait_drained(bed, options.frames, stage, TIMEOUT_S)
        return steady_rate_per_s(bed.batch_events()), meter.usage()


def wait_drained(bed: Testbed, count: int, stage: Child, timeout_s: float) -> None:
    """Until the stream stage has committed `count` frames."""
    bed.wait_consumed(group("stream", bed.settings.topic_prefix), count, stage, timeout_s)
