"""The cache: the CPU time that it saves on repeated images, and what it costs when no image repeats."""

from streams.bench import sample_frames
from streams.bench.measure import ProcessMeter, median_ratio
from streams.bench.report import Options, Report
from streams.bench.stream import SOURCES, TIMEOUT_S, drain_rate, wait_drained
from streams.bench.testbed import Testbed, testbed


def bench_cache(options: Options) -> Report:
    """CPU time of the stream process for a hit and for a miss; throughput of unique frames with cache and without."""
    report = Report("cache")
    jpegs = sample_frames.jpegs()
    cpu = [hit_and_miss_cpu_s(jpegs, options) for _ in range(options.repeats)]
    rates = []
    for _ in range(options.repeats):
        without, _usage = drain_rate(jpegs, options, "--no-cache")
        rates.append((drain_rate(jpegs, options)[0], without))
    report.ratio("exact_hit_cpu_over_miss_cpu", median_ratio(cpu), "<=", 0.2)
    report.ratio("unique_frames_with_cache_over_without", median_ratio(rates), ">=", 0.97)
    report.figures = {
        "hit_cpu_ms_per_frame": [round(hit / options.frames * 1000, 3) for hit, _ in cpu],
        "miss_cpu_ms_per_frame": [round(miss / options.frames * 1000, 3) for _, miss in cpu],
        "with_cache_frames_per_s": [round(ours, 1) for ours, _ in rates],
        "without_cache_frames_per_s": [round(without, 1) for _, without in rates],
    }
    return report


def hit_and_miss_cpu_s(jpegs: list[bytes], options: Options) -> tuple[float, float]:
    """CPU seconds of `sightline stream` for `options.frames` exact hits, and for as many unique frames."""
    with testbed() as bed, bed.stage("stream", "--model", "null") as stream:
        with bed.stage("infer", "--model", "null"):
            warm = [sample_frames.frame(jpeg, "camera-0", number) for number, jpeg in enumerate(jpegs)]
            bed.publish(warm)
            bed.wait_for(bed.topics.labels, len(warm), [stream], TIMEOUT_S)
        done = len(warm)
        with ProcessMeter(stream.pid) as hits:
            repeats = (jpegs[number % len(jpegs)] for number in range(options.frames))
            bed.publish(
                sample_frames.frame(jpeg, f"camera-{number % SOURCES}", number) for number, jpeg in enumerate(repeats)
            )
            done += options.frames
            wait_drained(bed, done, stream, TIMEOUT_S)
        _require_hits(bed, len(warm) + options.frames)
        with ProcessMeter(stream.pid) as misses:
            bed.publish(sample_frames.stream_of(jpegs, options.frames, SOURCES))
            wait_drained(bed, done + options.frames, stream, TIMEOUT_S)
    return hits.usage().cpu_s, misses.usage().cpu_s


def _require_hits(bed: Testbed, labels: int) -> None:
    found = bed.written(bed.topics.labels)
    assert found == labels, f"{found} labels were written instead of {labels}: not every repeat was a cache hit"
