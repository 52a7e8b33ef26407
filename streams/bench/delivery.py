"""The cost of a delivery guarantee: one backlog, labelled again by a worker with each guarantee in turn."""

from infra.kafka.spans import Span
from infra.kafka.topics import group
from streams.bench.infer import TIMEOUT_S, micro_batches, pixel_rows
from streams.bench.measure import ProcessMeter, median_ratio, steady_rate_per_s
from streams.bench.report import Options, Report
from streams.bench.testbed import Testbed, testbed

VARIANTS: dict[str, dict[str, str]] = {
    "hardly_committing": {
        "SIGHTLINE_INFER__COMMIT_INTERVAL_MS": "3600000",
        "SIGHTLINE_INFER__STALL_TIMEOUT_MS": "10800000",
    },
    "at_least_once": {},
    "exactly_once": {"SIGHTLINE_INFER__DELIVERY": "exactly_once", "SIGHTLINE_INFER__TRANSACTION_MS": "100"},
}
# The null model labels thousands of frames a second: with fewer frames a run ends before a rate can be measured.
FRAMES_FACTOR = 12


def bench_delivery(options: Options) -> Report:
    """Labels a second with each guarantee, compared with a worker that commits once an hour."""
    report = Report("delivery")
    count = options.frames * FRAMES_FACTOR
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    cpu_ms: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with testbed() as bed:
        rows = pixel_rows("null")
        bed.publish_batches(micro_batches(rows, bed.topics.frames, count, "null", bed.settings.topics.partitions))
        _drain(bed, count, {})  # not measured: it warms up the broker and the page cache for all
        for repeat in range(options.repeats):
            for name in _turned(list(VARIANTS), repeat):
                rate_per_s, label_cpu_ms = _drain(bed, count, VARIANTS[name])
                rates[name].append(rate_per_s)
                cpu_ms[name].append(label_cpu_ms)
    hardly, least, exactly = (rates[name] for name in VARIANTS)
    report.ratio("at_least_once_over_hardly_committing", median_ratio(list(zip(least, hardly, strict=True))))
    report.ratio("exactly_once_over_at_least_once", median_ratio(list(zip(exactly, least, strict=True))), ">=", 0.85)
    report.figures = {f"{name}_labels_per_s": [round(rate) for rate in found] for name, found in rates.items()} | {
        f"{name}_worker_cpu_ms_per_label": [round(one, 3) for one in found] for name, found in cpu_ms.items()
    }
    return report


def _turned(names: list[str], by: int) -> list[str]:
    """The names rotated by `by`, so that no variant always runs after the same other one."""
    first = by % len(names)
    return names[first:] + names[:first]


def _drain(bed: Testbed, count: int, variables: dict[str, str]) -> tuple[float, float]:
    """Labels a second of a worker on the whole backlog, and its CPU time in ms for each label.

    The markers of transactions count as records of the labels topic, so with transactions the run ends a few percent of
    the labels early; only labels that were written are counted.
    """
    group_id = group("infer", bed.settings.topic_prefix)
    bed.rewind(group_id, bed.topics.batches)
    before = bed.spans(bed.topics.labels)
    words = ("infer", "--model", "null", "--no-cache")
    with bed.stage(*words, **variables) as stage, ProcessMeter(stage.pid) as meter:
        bed.wait_for(bed.topics.labels, sum(len(span) for span in before) + count, [stage], TIMEOUT_S)
    after = bed.spans(bed.topics.labels)
    made = [Span(*new.topic_partition, old.end, new.end) for old, new in zip(before, after, strict=True)]
    labels = bed.labels(made)
    rate_per_s = steady_rate_per_s([(label.labelled_at / 1e6, 1) for label in labels])
    return rate_per_s, meter.usage().cpu_s * 1000 / len(labels)
