"""What each dashboard shows: a title, a unit, and queries. Pure data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

RATE = "$__rate_interval"
LIVE = 'group=~".*sightline-.+",group!~".*-replay"'


@dataclass(frozen=True, slots=True)
class Panel:
    """`queries`: PromQL and the legend of its series. `unit`: Grafana's name of it. `text`: what to make of it."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    text: str = ""
    kind: str = "timeseries"


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard. `variables`: choices at its head, by name, with Grafana's query of their values."""

    name: str
    title: str
    panels: Sequence[Panel]
    variables: Mapping[str, str] = field(default_factory=dict)


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Events a second, summed by those labels."""
    return f"sum{f' by ({by})' if by else ''}(rate({metric}{{{where}}}[{RATE}]))".replace("{}", "")


def share(metric: str, where: str, by: str = "") -> str:
    """The part of a counter's events that `where` chooses."""
    return f"{rate(metric, by, where)} / {rate(metric, by)}"


def quantile(share: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[{RATE}])))"


LATENCY = "sightline_end_to_end_latency_seconds"
BOTTLENECK = Panel(
    "What holds the pipeline back",
    "short",
    [("sightline_bottleneck == 1", "{{stage}} ({{reason}})")],
    "The stage that the others wait for; docs/runbook.md says what to do with it.",
)
LATE = Panel(
    "Oldest unread record",
    "s",
    [(f"kafka_consumergroup_group_max_lag_seconds{{{LIVE}}}", "{{group}}")],
    "The group with the lag is not always the cause: when workers are slow, it is the stream's.",
)

OVERVIEW = Board(
    "overview",
    "overview",
    [
        Panel("Labels", "reqps", [(rate("sightline_labels_total", "origin"), "{{origin}}")]),
        Panel("Capture to label", "s", [(quantile(one, LATENCY), f"p{one * 100:.0f}") for one in (0.5, 0.95, 0.99)]),
        BOTTLENECK,
        Panel(
            "Frames from cameras",
            "reqps",
            [
                (rate("sightline_source_frames_published_total"), "acknowledged"),
                (rate("sightline_source_frames_dropped_total", "reason"), "dropped: {{reason}}"),
            ],
        ),
        LATE,
        Panel(
            "Dead letters", "reqps", [(rate("sightline_dead_letters_total", "stage, reason"), "{{stage}}: {{reason}}")]
        ),
        Panel(
            "Cameras that give frames",
            "short",
            [("sum(sightline_camera_up)", "up"), ("count(sightline_camera_up)", "all")],
        ),
        Panel("Frames that wait before the bottleneck", "short", [("sightline_pipeline_waiting_frames", "waiting")]),
        Panel(
            "Processes ready",
            "short",
            [("sum(sightline_model_ready)", "workers with a model"), ("min(sightline_cache_up)", "cache")],
        ),
    ],
)

SOURCE = 'source_id=~"$source_id"'
CAMERAS = Board(
    "cameras",
    "cameras",
    [
        Panel("Frames", "reqps", [(f"sightline_source_fps{{{SOURCE}}}", "{{source_id}}")]),
        Panel(
            "Age of the newest frame",
            "s",
            [(f"time() - sightline_source_last_frame_timestamp_seconds{{{SOURCE}}}", "{{source_id}}")],
        ),
        Panel("Up", "short", [(f"sightline_camera_up{{{SOURCE}}}", "{{source_id}}")]),
        Panel(
            "Dropped before Kafka",
            "reqps",
            [(rate("sightline_source_frames_dropped_total", "source_id, reason", SOURCE), "{{source_id}}: {{reason}}")],
        ),
        Panel(
            "Opened again",
            "short",
            [
                (
                    f"sum by (source_id, reason) (increase(sightline_camera_reconnects_total{{{SOURCE}}}[1h]))",
                    "{{source_id}}: {{reason}}",
                )
            ],
            "Times within the hour before.",
        ),
        Panel(
            "Clocks that are wrong",
            "reqps",
            [(rate("sightline_source_clock_adjusted_total", "source_id, clock", SOURCE), "{{source_id}}: {{clock}}")],
        ),
    ],
    {"source_id": "label_values(sightline_camera_up, source_id)"},
)

STAGES = Board(
    "stages",
    "stages",
    [
        Panel(
            "Time of each step, p95", "s", [(quantile(0.95, "sightline_stage_duration_seconds", "stage"), "{{stage}}")]
        ),
        Panel("Paused", "short", [("sightline_paused", "{{reason}} ({{instance}})")]),
        Panel("Frames read", "reqps", [(rate("sightline_stream_frames_total", "lane"), "{{lane}}")]),
        Panel("Frames of a micro-batch", "short", [(quantile(0.5, "sightline_batch_frames"), "p50")]),
        Panel(
            "Images of a model run",
            "short",
            [(quantile(0.5, "sightline_infer_batch_size"), "p50")],
            "Far below infer.max_batch_size while frames wait: something before the model is slow.",
        ),
        Panel(
            "Frames in hand of the workers",
            "short",
            [("sum by (instance) (sightline_infer_open_frames)", "{{instance}}")],
        ),
        Panel(
            "Bytes in hand",
            "bytes",
            [
                ("sum(sightline_buffer_bytes)", "stream"),
                ("sum(sightline_queue_bytes)", "worker"),
                ("sum(sightline_backlog_bytes)", "frames.batches"),
                ("sum(sightline_producer_queue_bytes)", "producers"),
            ],
        ),
        Panel(
            "Cache",
            "reqps",
            [
                (rate("sightline_cache_requests_total", "tier, result"), "{{tier}}: {{result}}"),
                (rate("sightline_cache_stores_total", "result"), "stored: {{result}}"),
            ],
        ),
        Panel(
            "Frames tried again", "reqps", [(rate("sightline_retries_total", "stage, reason"), "{{stage}}: {{reason}}")]
        ),
        Panel("Memory", "bytes", [('process_resident_memory_bytes{job=~"sightline.*"}', "{{job}} ({{instance}})")]),
        Panel(
            "CPU",
            "short",
            [('rate(process_cpu_seconds_total{job=~"sightline.*"}[' + RATE + "])", "{{job}} ({{instance}})")],
            "Cores in use.",
        ),
        Panel("Sinks", "reqps", [(rate("sightline_sink_labels_total", "sink, result"), "{{sink}}: {{result}}")]),
    ],
)

GROUP = 'group=~"$group"'
LAG = Board(
    "lag",
    "consumer lag",
    [
        BOTTLENECK,
        LATE,
        Panel(
            "State of each group",
            "short",
            [(f"sightline_lag_status{{{GROUP}}}", "{{group}}")],
            "0 NOTFOUND, 1 OK, 2 WARN, 3 ERR.",
            "table",
        ),
        Panel("Records that wait", "short", [(f"kafka_consumergroup_group_sum_lag{{{GROUP}}}", "{{group}}")]),
        Panel(
            "Caught up in",
            "s",
            [(f"sightline_lag_eta_seconds{{{GROUP}}}", "{{group}}")],
            "Nothing while the lag does not fall.",
        ),
        Panel("Members", "short", [('kafka_consumergroup_members{consumergroup=~"$group"}', "{{consumergroup}}")]),
        Panel(
            "Part of the retention that is over",
            "percentunit",
            [(f"sightline_lag_retention_share{{{GROUP}}}", "{{group}} {{topic}}")],
            "Of the oldest unread record; at 1 it is removed.",
        ),
        Panel(
            "Removed unread",
            "short",
            [(f"sum by (group, topic) (kafka_consumergroup_group_messages_lost{{{GROUP}}})", "{{group}} {{topic}}")],
        ),
        Panel("Time of a look", "ms", [("kafka_consumergroup_poll_time_ms", "{{cluster_name}}")]),
    ],
    {"group": "label_values(sightline_lag_status, group)"},
)

BY_SOURCE, REVIEW = "sightline_source_labels_total", 'decision="REVIEW"'
DRIFT = "sightline_confidence_drift"
LABELS = Board(
    "labels",
    "labels and drift",
    [
        Panel("Labels by decision", "reqps", [(rate("sightline_labels_total", "decision"), "{{decision}}")]),
        Panel("Share for review", "percentunit", [(share("sightline_labels_total", REVIEW), "all")]),
        Panel("Share from the cache", "percentunit", [(share("sightline_labels_total", 'origin=~"CACHE.+"'), "all")]),
        Panel(
            "Confidence",
            "percentunit",
            [(quantile(one, "sightline_confidence"), f"p{one * 100:.0f}") for one in (0.1, 0.5, 0.9)],
        ),
        Panel(
            "Share for review, ten worst cameras",
            "percentunit",
            [(f"topk(10, {share(BY_SOURCE, REVIEW, 'source_id')})", "{{source_id}}")],
        ),
        Panel(
            "Drift of the confidence",
            "short",
            [(f"topk(10, {DRIFT}_psi / {DRIFT}_critical_psi)", "{{source_id}}")],
            "Above 1: what the camera sees, or the model, has changed more than chance explains.",
        ),
    ],
)

DASHBOARDS = (OVERVIEW, CAMERAS, STAGES, LAG, LABELS)
