"""The worker against the bare model on pixels that are prepared already."""

from collections.abc import Iterator

import numpy as np

from inference.image import prepare
from inference.models import Model, Pixels, describe_model, load_model
from infra.settings import load_settings
from schemas import records
from streams.bench import sample_frames
from streams.bench.bare import model_loop
from streams.bench.measure import ProcessMeter, Usage, median_ratio, rate_of, steady_rate_per_s
from streams.bench.report import Options, Report
from streams.bench.testbed import testbed

BATCH_SIZE = 32
TIMEOUT_S = 600.0


def bench_infer(options: Options) -> Report:
    """Ours: `sightline infer` turns a backlog of micro-batches into labels. Bare: the same model on the same pixels."""
    report = Report("infer")
    rows = pixel_rows(options.model)
    model = load_model(options.model, load_settings().infer)
    model.warm((BATCH_SIZE,))
    pairs, usages = [], []
    for _ in range(options.repeats):
        bare = bare_rate(model, rows, options.frames)
        ours, usage = drain_rate(rows, options.model, options.frames)
        pairs.append((ours, bare))
        usages.append(usage)
    report.ratio("worker_over_bare_model", median_ratio(pairs), ">=", 0.9)
    report.figures = {
        "runtime": model.runtime,
        "images_per_s": [round(ours, 1) for ours, _ in pairs],
        "bare_images_per_s": [round(bare, 1) for _, bare in pairs],
        "worker_cpu_ms_per_image": [round(usage.cpu_s / options.frames * 1000, 2) for usage in usages],
        "worker_rss_max_mib": round(max(usage.rss_max_mib for usage in usages)),
    }
    return report


def bare_rate(model: Model, rows: Pixels, count: int) -> float:
    """Images a second of the model alone."""
    return rate_of(lambda: model_loop(model, rows, BATCH_SIZE, count))


def drain_rate(rows: Pixels, model: str, count: int) -> tuple[float, Usage]:
    """Images a second of `sightline infer` on a backlog of micro-batches, and the CPU and memory it used."""
    with testbed() as bed:
        partitions = bed.settings.topics.partitions
        bed.publish_batches(micro_batches(rows, bed.topics.frames, count, model, partitions))
        with bed.stage("infer", "--model", model, "--no-cache") as stage, ProcessMeter(stage.pid) as meter:
            bed.wait_for(bed.topics.labels, count, [stage], TIMEOUT_S)
        return steady_rate_per_s([(label.labelled_at / 1e6, 1) for label in bed.labels()]), meter.usage()


def pixel_rows(model: str) -> Pixels:
    """The sample frames prepared for the model, as an array [N, bytes of one I420 image] of uint8."""
    spec = describe_model(model).input
    prepared = [prepare(jpeg, spec, records.PixelEncoding.I420, 50_000_000) for jpeg in sample_frames.jpegs()]
    return np.stack([np.frombuffer(one.pixels, np.uint8) for one in prepared])


def micro_batches(rows: Pixels, topic: str, count: int, model: str, partitions: int) -> Iterator[records.MicroBatch]:
    """`count` images as micro-batches of BATCH_SIZE, each for the next partition in turn."""
    spec = describe_model(model).input
    length = rows.shape[1]
    quality = records.Quality(500.0, 120.0, 50.0)
    for first in range(0, count, BATCH_SIZE):
        number, size = first // BATCH_SIZE, min(BATCH_SIZE, count - first)
        items = tuple(
            records.BatchItem(
                offset=number // partitions * BATCH_SIZE + index,
                frame_id=f"camera-{number % partitions}/0/{first + index}",
                source_id=f"camera-{number % partitions}",
                captured_at=1,
                image_hash=(first + index).to_bytes(16, "big"),
                quality=quality,
                start=index * length,
                length=length,
            )
            for index in range(size)
        )
        pixels = np.take(rows, range(first, first + size), axis=0, mode="wrap").tobytes()
        yield records.MicroBatch(
            batch_id=str(number),
            lane="live",
            encoding=records.PixelEncoding.I420,
            width=spec.width,
            height=spec.height,
            source_topic=topic,
            source_partition=number % partitions,
            items=items,
            pixels=pixels,
        )
