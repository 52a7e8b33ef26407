"""What each dashboard shows. Pure data."""

from infra.monitoring.panels import RATE, Board, Panel, quantile, rate, share

LIVE = 'group=~".*sightline-.+",group!~".*-replay"'
# A replay is late on purpose.
NO_REPLAY = 'lane!="replay"'
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
        Panel(
            "Capture to label",
            "s",
            [(quantile(one, LATENCY, where=NO_REPLAY), f"p{one * 100:.0f}") for one in (0.5, 0.95, 0.99)],
        ),
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
        Panel(
            "Age of the last picture that differed",
            "s",
            [(f"time() - sightline_source_last_change_timestamp_seconds{{{SOURCE}}}", "{{source_id}}")],
            "A camera that hangs gives the same picture again and again.",
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

EXPIRED = (
    ("stream_skipped_frames", "stream"),
    ("retry_skipped_offsets", "retry"),
    ("infer_skipped_batches", "infer (micro-batches)"),
    ("sink_skipped_offsets", "sinks"),
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
            "A run of the model",
            "s",
            [(quantile(one, "sightline_model_run_seconds"), f"p{one * 100:.0f}") for one in (0.5, 0.95)]
            + [(quantile(0.95, "sightline_device_wait_seconds"), "p95 of the wait before it")],
            "Without retries.",
        ),
        Panel(
            "Frames in each queue",
            "short",
            [
                ("sum by (queue) (sightline_queue_frames)", "{{queue}}"),
                ("sum(sightline_infer_open_frames)", "in hand of the workers"),
            ],
            "In the order of a frame's way: intake, buffer, retry (stream); device, labels (workers); sink.",
        ),
        Panel(
            "Bytes in each queue",
            "bytes",
            [
                ("sum by (queue) (sightline_queue_bytes)", "{{queue}}"),
                ("sum(sightline_backlog_bytes)", "frames.batches"),
                ("sum(sightline_producer_queue_bytes)", "producers"),
            ],
        ),
        Panel(
            "Age of the newest settled frame",
            "s",
            [("time() - max by (group) (sightline_settled_frame_timestamp_seconds)", "{{group}}")],
            "Settled: it has its outcome. By what the stages say themselves, without the lag monitor.",
        ),
        Panel(
            "Records that wait, as the stages see it",
            "short",
            [("sum by (group, topic) (sightline_consumer_lag_records)", "{{group}} {{topic}}")],
        ),
        Panel(
            "Commits that failed",
            "reqps",
            [(rate("sightline_commit_failures_total", "stage, reason"), "{{stage}}: {{reason}}")],
        ),
        Panel(
            "Offsets that expired unread",
            "short",
            [(f"sum(increase(sightline_{metric}_total[1h]))", name) for metric, name in EXPIRED],
            "Within the hour before: retention removed them, and their frames have no outcome.",
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
        Panel("GPU in use", "percentunit", [("sightline_gpu_utilization_ratio", "{{instance}} gpu {{gpu}}")]),
        Panel(
            "GPU memory",
            "bytes",
            [
                ("sightline_gpu_memory_used_bytes", "{{instance}} gpu {{gpu}}"),
                ("max(sightline_gpu_memory_total_bytes)", "all there is"),
            ],
        ),
        Panel("GPU temperature", "celsius", [("sightline_gpu_temperature_celsius", "{{instance}} gpu {{gpu}}")]),
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
            "Confidence of the labels",
            "percentunit",
            [(f"sum by (le) (increase(sightline_confidence_bucket[{RATE}]))", "{{le}}")],
            "How many labels have which score. A band that moves down: what the cameras see has changed.",
            "heatmap",
        ),
        Panel(
            "Median score by decision",
            "percentunit",
            [(quantile(0.5, "sightline_confidence", "decision"), "{{decision}}")],
        ),
        Panel("Time to label by origin, p95", "s", [(quantile(0.95, LATENCY, "origin", NO_REPLAY), "{{origin}}")]),
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
