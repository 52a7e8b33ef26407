"""Both stages, from frames on Kafka to labels on Kafka: throughput, latency, and memory during a backlog."""

from inference.models import Model, load_model
from infra.settings import load_settings
from streams.bench import sample_frames
from streams.bench.bare import plain_program
from streams.bench.infer import BATCH_SIZE
from streams.bench.measure import WARM_UP_SHARE, ProcessMeter, Usage, median_ratio, percentile, rate_of
from streams.bench.report import Options, Report
from streams.bench.stream import SOURCES
from streams.bench.testbed import testbed
from streams.bench.traffic import latencies_ms, send_paced

TIMEOUT_S = 900.0
BACKLOG_FRAMES = 20_000
FULL_HD_JPEG_BYTES = 290_000


def bench_e2e(options: Options) -> Report:
    """Both stages on a backlog, compared with a program written by hand: one process that decodes and runs the model.

    Measured with VGA frames and with full-HD frames.
    """
    report = Report("e2e")
    model = load_model(options.model, load_settings().infer)
    model.warm((BATCH_SIZE,))
    vga = sample_frames.jpegs()
    full_hd = sample_frames.jpegs(sample_frames.FULL_HD, FULL_HD_JPEG_BYTES)
    report.ratio("e2e_over_one_bare_process", _compare(vga, model, options, options.frames, report, "vga"), ">=", 0.85)
    few = max(200, options.frames // 3)
    report.ratio("e2e_full_hd_over_plain_program", _compare(full_hd, model, options, few, report, "full_hd"), ">=", 1.5)
    report.figures["runtime"] = model.runtime
    return report


def bench_latency(options: Options) -> Report:
    """Time from capture to label with the null model, at half of the rate at which both stages work off a backlog."""
    report = Report("latency")
    jpegs = sample_frames.jpegs()
    per_s = _drain(jpegs, "null", options.frames)[0] / 2
    with testbed() as bed, bed.stage("infer", "--model", "null"), bed.stage("stream", "--model", "null") as stream:
        count = int(per_s * options.seconds)
        send_paced(bed, jpegs, per_s, count, SOURCES)
        bed.wait_for(bed.topics.labels, count, [stream], TIMEOUT_S)
        measured_ms = latencies_ms(bed.labels())[int(count * WARM_UP_SHARE) :]
    p50, p95, p99 = (percentile(measured_ms, share) for share in (0.5, 0.95, 0.99))
    report.ratio("p95_over_250_ms", p95 / 250, "<=", 1.0)
    report.figures = {"offered_frames_per_s": round(per_s, 1), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
    return report


def bench_backlog(options: Options) -> Report:
    """Largest memory of both processes while they work off a backlog of 20,000 frames."""
    report = Report("backlog")
    rate, stream, worker = _drain(sample_frames.jpegs(), options.model, BACKLOG_FRAMES)
    report.ratio("stream_rss_over_600_mib", stream.rss_max_mib / 600, "<=", 1.0)
    report.ratio("worker_rss_over_1536_mib", worker.rss_max_mib / 1536, "<=", 1.0)
    report.figures = {
        "frames": BACKLOG_FRAMES,
        "frames_per_s": round(rate, 1),
        "stream_rss_max_mib": round(stream.rss_max_mib),
        "worker_rss_max_mib": round(worker.rss_max_mib),
    }
    return report


def _compare(jpegs: list[bytes], model: Model, options: Options, count: int, report: Report, name: str) -> float:
    pairs = []
    for _ in range(options.repeats):
        bare = rate_of(lambda: plain_program(jpegs, model, BATCH_SIZE, count))
        ours, stream, worker = _drain(jpegs, options.model, count)
        pairs.append((ours, bare))
        report.figures[f"{name}_stream_cpu_ms_per_frame"] = round(stream.cpu_s / count * 1000, 2)
        report.figures[f"{name}_worker_cpu_ms_per_frame"] = round(worker.cpu_s / count * 1000, 2)
    report.figures[f"{name}_frames_per_s"] = [round(ours, 1) for ours, _ in pairs]
    report.figures[f"{name}_bare_frames_per_s"] = [round(bare, 1) for _, bare in pairs]
    report.figures[f"{name}_mean_jpeg_bytes"] = sum(map(len, jpegs)) // len(jpegs)
    return median_ratio(pairs)


def _drain(jpegs: list[bytes], model: str, count: int) -> tuple[float, Usage, Usage]:
    """Frames a second from the first micro-batch to the last label, and the usage of the stream and the worker process.

    The frames of the first batch are left out. The time to the last label counts, because the stages share the cores:
    the faster stage ends earlier and leaves the cores to the other, so a rate up to its end alone would be too high.
    """
    with testbed() as bed, bed.stage("infer", "--model", model, "--no-cache") as infer:
        bed.publish(sample_frames.stream_of(jpegs, count, SOURCES))
        with (
            bed.stage("stream", "--model", model, "--no-cache") as stream,
            ProcessMeter(stream.pid) as stream_meter,
            ProcessMeter(infer.pid) as infer_meter,
        ):
            bed.wait_for(bed.topics.labels, count, [stream, infer], TIMEOUT_S)
        first_s, first_frames = min(bed.batch_events())
        last_s = max(label.labelled_at for label in bed.labels()) / 1e6
    return (count - first_frames) / (last_s - first_s), stream_meter.usage(), infer_meter.usage()
