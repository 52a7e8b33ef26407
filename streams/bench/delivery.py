"""What a delivery guarantee costs: one backlog, drained again and again by a worker with each of them in turn."""

from infra.kafka.spans import Span
from infra.kafka.topics import group
from streams.bench.infer import TIMEOUT_S, micro_batches, pixel_rows
from streams.bench.measure import ProcessMeter, median_ratio, steady_rate_per_s
from streams.bench.report import Options, Report
from streams.bench.testbed import Lab, lab

VARIANTS: dict[str, dict[str, str]] = {
    "hardly_committing": {
        "SIGHTLINE_INFER__COMMIT_INTERVAL_MS": "3600000",
        "SIGHTLINE_INFER__STALL_TIMEOUT_MS": "10800000",
    },
    "at_least_once": {},
    "exactly_once": {"SIGHTLINE_INFER__DELIVERY": "exactly_once", "SIGHTLINE_INFER__TRANSACTION_MS": "100"},
}
# The null model labels some thousand a second: fewer, and a run is over before a rate can be told.
FRAMES_FACTOR = 12


def bench_delivery(options: Options) -> Report:
    """Labels a second with each guarantee, against a worker that hardly ever commits."""
    report = Report("delivery")
    count = options.frames * FRAMES_FACTOR
    rates: dict[str, list[float]] = {name: [] for name in VARIANTS}
    cpu_ms: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with lab() as run:
        rows = pixel_rows("null")
        run.publish_batches(micro_batches(rows, run.topics.frames, count, "null", run.settings.topics.partitions))
        _drain(run, count, {})  # neither a cold broker nor a cold page cache is anybody's cost
        for repeat in range(options.repeats):
            for name in _turned(list(VARIANTS), repeat):
                rate_per_s, label_cpu_ms = _drain(run, count, VARIANTS[name])
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
    """No variant is always the one after the same other."""
    first = by % len(names)
    return names[first:] + names[:first]


def _drain(run: Lab, count: int, variables: dict[str, str]) -> tuple[float, float]:
    """Labels a second of a worker on the backlog, and its CPU time in ms for each.

    Transactions' markers have offsets too: with them it is over a few percent of the labels earlier.
    """
    group_id = group("infer", run.settings.topic_prefix)
    run.rewind(group_id, run.topics.batches)
    before = run.spans(run.topics.labels)
    words = ("infer", "--model", "null", "--no-cache")
    with run.stage(*words, **variables) as stage, ProcessMeter(stage.pid) as meter:
        run.wait_for(run.topics.labels, sum(len(span) for span in before) + count, [stage], TIMEOUT_S)
    after = run.spans(run.topics.labels)
    made = [Span(*new.topic_partition, old.end, new.end) for old, new in zip(before, after, strict=True)]
    labels = run.labels(made)
    rate_per_s = steady_rate_per_s([(label.labelled_at / 1e6, 1) for label in labels])
    return rate_per_s, meter.usage().cpu_s * 1000 / len(labels)
