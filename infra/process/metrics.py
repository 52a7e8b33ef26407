"""The metrics catalogue: every metric of every process is declared here. An event is counted once it has succeeded.

Units are seconds and bytes, and labels have few values: no label holds a file name or the text of an error.
"""

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

from infra.process.own_gauge import OwnGauge
from infra.process.source_series import SourceGauge, SourceLabels

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
STAGE_BUCKETS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    5.0,
)
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
SHARE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

# ingest: any producer. Of sources beyond `metrics.per_source` the series `other` has the sum, the latest or the least.
SOURCE_LABEL = SourceLabels(200)
SOURCE_FPS = SourceGauge(
    Gauge(
        "sightline_source_fps", "frames that the broker acknowledged per second, over the last seconds", ["source_id"]
    ),
    SOURCE_LABEL,
    sum,
)
SOURCE_LAST_FRAME = SourceGauge(
    Gauge(
        "sightline_source_last_frame_timestamp_seconds",
        "capture time of the newest frame that the broker acknowledged; "
        "where that is not credible, the time of sending",
        ["source_id"],
    ),
    SOURCE_LABEL,
    max,
)
SOURCE_LAST_CHANGE = SourceGauge(
    Gauge(
        "sightline_source_last_change_timestamp_seconds",
        "when a frame came that is not byte for byte the one before it",
        ["source_id"],
    ),
    SOURCE_LABEL,
    max,
)
FRAMES_CAPTURED = Counter(
    "sightline_source_frames_captured_total",
    "frames read from the source",
    ["source_id"],
)
FRAMES_PUBLISHED = Counter(
    "sightline_source_frames_published_total",
    "frames that the broker acknowledged",
    ["source_id"],
)
CRAWL_URLS = Counter(
    "sightline_crawl_urls_total",
    "URLs that a crawl has done: page, sitemap, published, repeated, unchanged, moved, refused or error",
    ["outcome"],
)
CLOCKS_ADJUSTED = Counter(
    "sightline_source_clock_adjusted_total",
    "published frames whose record has the time of sending, because the clock of their source is behind or ahead",
    ["source_id", "clock"],
)
FRAMES_DROPPED = Counter(
    "sightline_source_frames_dropped_total",
    "frames not published",
    ["source_id", "reason"],
)

# ingest: the spool of a producer
SPOOL_FRAMES = OwnGauge("sightline_spool_frames", "frames that wait on disk for Kafka")
SPOOL_BYTES = OwnGauge("sightline_spool_bytes", "bytes of the files of the spool")
SPOOL_MAX_BYTES = OwnGauge("sightline_spool_max_bytes", "bytes that the files of the spool may have")
SPOOL_OLDEST_SECONDS = OwnGauge(
    "sightline_spool_oldest_seconds", "how long the oldest frame waits on disk; 0: none does"
)
SPOOL_DAMAGED_BYTES = Counter(
    "sightline_spool_damaged_bytes_total", "bytes of the spool that were not what was written"
)

# ingest: the upload gateway
GATEWAY_ANSWERS = Counter("sightline_gateway_answers_total", "answers to requests", ["route", "status"])
GATEWAY_LABELS = Gauge("sightline_gateway_labels", "outcomes of uploads that are kept for their readers")
GATEWAY_BODY_BYTES = Gauge("sightline_gateway_body_bytes", "bodies that are read or wait for Kafka")
WEBHOOKS = Counter(
    "sightline_webhooks_total",
    "webhooks: delivered, failed and sent again later, or given up for a reason",
    ["result"],
)

# ingest: the archive
ARCHIVED_FRAMES = Counter("sightline_archive_frames_total", "frames that were archived: written and read back")
ARCHIVED_BYTES = Counter("sightline_archive_bytes_total", "bytes of the files in which frames were archived")
ARCHIVE_FILES = Counter("sightline_archive_files_total", "files of the archive: written, removed by age", ["result"])
ARCHIVE_GAPS = Counter(
    "sightline_archive_gap_offsets_total",
    "offsets that are in no file of the archive: retention (they were gone before), no_record, none_selected",
    ["reason"],
)
ARCHIVE_LATE_EVENTS = Counter(
    "sightline_archive_late_events_total",
    "labels and dead letters that came after frames around them had been passed over",
)
ARCHIVE_WAITING = Gauge("sightline_archive_waiting_records", "offsets of the frames topic that are not archived yet")
ARCHIVE_LAST_LOOK = Gauge(
    "sightline_archive_last_look_timestamp_seconds", "end of the last look at the topic that succeeded"
)

# ingest: replays
REPLAYED_FRAMES = Counter("sightline_replay_frames_total", "frames that were copied into the replay lane: committed")
REPLAYED_BYTES = Counter("sightline_replay_bytes_total", "their bytes")

# every stage
STAGE_SECONDS = Histogram(
    "sightline_stage_duration_seconds",
    "time spent in a step",
    ["stage"],
    buckets=STAGE_BUCKETS,
)
DEAD_LETTERS = Counter(
    "sightline_dead_letters_total",
    "frames that ended as dead letters",
    ["stage", "reason"],
)
RETRIES = Counter("sightline_retries_total", "frames sent to the retry topic", ["stage", "reason"])
LABELS = Counter(
    "sightline_labels_total",
    "labels that the broker acknowledged",
    ["origin", "decision"],
)
LABELS_READ = Counter(
    "sightline_subscribe_labels_total",
    "labels that a subscriber read: passed, filtered, repeated, undecodable",
    ["result"],
)
PRODUCER_QUEUE_BYTES = Gauge(
    "sightline_producer_queue_bytes",
    "bytes handed to the producer and not yet acknowledged",
)
SPANS = Counter(
    "sightline_spans_total",
    "ended spans of traces: exported, queue_full, failed, unsent (at the end of the process)",
    ["result"],
)

# every stage: the partitions that this process owns, its commits and its queues
CONSUMER_LAG = Gauge(
    "sightline_consumer_lag_records",
    "records of a partition of this process that its group has not finished; none while the broker does not answer",
    ["group", "topic", "partition"],
)
SETTLED_FRAME = Gauge(
    "sightline_settled_frame_timestamp_seconds",
    "capture time of the newest frame of a partition of this process that has its outcome; where that is not credible, "
    "the time of its record",
    ["group", "topic", "partition"],
)
COMMIT_FAILURES = Counter(
    "sightline_commit_failures_total",
    "commits that failed: tried again where that helps; unconfirmed: no answer in time",
    ["stage", "reason"],
)
UNCONFIRMED = "unconfirmed"
QUEUE_FRAMES = Gauge(
    "sightline_queue_frames", "frames (a sink: labels) that wait in a queue of this process", ["queue"]
)
QUEUE_BYTES = Gauge("sightline_queue_bytes", "bytes of what waits in a queue of this process", ["queue"])

# stream
FRAMES_READ = Counter("sightline_stream_frames_total", "frames taken from the source topic", ["lane"])
FRAMES_SKIPPED = Counter(
    "sightline_stream_skipped_frames_total",
    "offsets that were gone from the source topic before the stage read them: their frames have no outcome",
)
BATCH_FRAMES = Histogram("sightline_batch_frames", "frames per micro-batch written", buckets=SIZE_BUCKETS)
CACHE_REQUESTS = Counter("sightline_cache_requests_total", "look-ups of the cache", ["tier", "result"])
CACHE_LOOKUP_SECONDS = Histogram(
    "sightline_cache_lookup_seconds",
    "one look-up of a whole batch",
    buckets=STAGE_BUCKETS,
)
BUFFER_BYTES = Gauge("sightline_buffer_bytes", "bytes of frames held in this process")
BACKLOG_BYTES = Gauge("sightline_backlog_bytes", "bytes in the batches topic that no worker has finished")
PAUSED = Gauge("sightline_paused", "1 while consumption waits", ["reason"])
HARD_FRAMES = Gauge(
    "sightline_stream_hard_frames",
    "frames that wait for the decoder or are in it because the pictures of their source take it long",
)
RETRY_HELD = Gauge("sightline_retry_held_frames", "frames read from the retry topic and held until their delay is over")
RETRY_SKIPPED = Counter(
    "sightline_retry_skipped_offsets_total",
    "offsets that were gone from the retry topic before they were read: their frames have no outcome",
)

# inference
MODEL_READY = OwnGauge("sightline_model_ready", "1 once the model is loaded and warm")
INFER_BATCH_SIZE = Histogram("sightline_infer_batch_size", "images per model run", buckets=SIZE_BUCKETS)
INFER_MAX_BATCH_SIZE = OwnGauge("sightline_infer_max_batch_size", "images that a model run may have")
MODEL_RUN_SECONDS = Histogram(
    "sightline_model_run_seconds", "one run of the model that succeeded, without retries", buckets=STAGE_BUCKETS
)
DEVICE_WAIT_SECONDS = Histogram(
    "sightline_device_wait_seconds",
    "from the arrival of a run's oldest micro-batch in the worker to the beginning of the run",
    buckets=STAGE_BUCKETS,
)
OUT_OF_MEMORY = Counter(
    "sightline_infer_out_of_memory_total",
    "runs of the model that failed because memory was short; their images are run in smaller ones",
)
BATCHES_SKIPPED = Counter(
    "sightline_infer_skipped_batches_total",
    "micro-batches that retention removed before a worker had read them: their frames have no outcome",
)
CACHE_STORES = Counter("sightline_cache_stores_total", "labels offered to the cache", ["result"])
CACHE_UP = OwnGauge(
    "sightline_cache_up", "1 while Redis does what it is asked, 0 while look-ups or stores are left alone"
)
FRAMES_OPEN = Gauge("sightline_infer_open_frames", "frames read by this worker whose outcome is not settled yet")
# Names and texts of metrics that exist only where a GPU does (`inference.device.gpu_metrics`).
GPU_UTILIZATION = ("sightline_gpu_utilization_ratio", "share of the time in which the GPU was busy")
GPU_MEMORY_USED = ("sightline_gpu_memory_used_bytes", "memory of the GPU that is in use, by all processes")
GPU_MEMORY_TOTAL = ("sightline_gpu_memory_total_bytes", "memory of the GPU")
GPU_TEMPERATURE = ("sightline_gpu_temperature_celsius", "temperature of the GPU")

# labels: both stages. A source is one of the `confidence.max_sources` with the most labels in this process
END_TO_END_SECONDS = Histogram(
    "sightline_end_to_end_latency_seconds", "capture to label", ["origin"], buckets=LATENCY_BUCKETS
)
CONFIDENCE = Histogram(
    "sightline_confidence",
    "score of the labels that the broker acknowledged: what was compared with the threshold",
    ["origin", "decision"],
    buckets=SHARE_BUCKETS,
)
SOURCE_LABELS = Counter(
    "sightline_source_labels_total",
    "labels that the broker acknowledged; REVIEW by all is the review share of the source",
    ["source_id", "decision"],
)


def confidence_drift() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    """Of each source with samples enough: the index, and what it exceeds without a change by chance alone."""
    return (
        GaugeMetricFamily(
            "sightline_confidence_drift_psi",
            "population stability index of the model's confidence: the present window against the windows before it",
            labels=["source_id"],
        ),
        GaugeMetricFamily(
            "sightline_confidence_drift_critical_psi",
            "what the index exceeds without any change as seldom as confidence.false_alarm_share, by its samples",
            labels=["source_id"],
        ),
    )


# sinks
SINK_LABELS = Counter(
    "sightline_sink_labels_total",
    "labels that a sink is done with: written, repeated (a second one of its frame), refused (on labels.dead)",
    ["sink", "result"],
)
SINK_LAG = Gauge("sightline_sink_lag_labels", "offsets of the sink's partitions that are not committed yet", ["sink"])
SINK_SKIPPED = Counter(
    "sightline_sink_skipped_offsets_total",
    "offsets that were gone from the labels topic before they were read",
    ["sink"],
)
SINK_BUSY = Gauge("sightline_sink_busy", "1 while the target takes nothing and the sink waits", ["sink"])
SINK_FLUSH_SECONDS = Histogram(
    "sightline_sink_flush_seconds", "one flush that stored labels", ["sink"], buckets=STAGE_BUCKETS
)

# the lag monitor
LAG_NOTIFICATIONS = Counter(
    "sightline_lag_notifications_total",
    "notifications of the lag monitor: sent, failed (tried again), given_up, dropped",
    ["way", "result"],
)
