"""Series, and at which minute they make an alert fire, rest and resolve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GROUP = 'cluster="local",group="sightline-infer"'
PART = f'{GROUP},topic="frames.batches",partition="3"'
CAMERA = 'source_id="dock-1"'
SETTLED = 'sightline_settled_frame_timestamp_seconds{group="sightline-stream",partition="0"}'
COMMITS = 'sightline_commit_failures_total{stage="infer",reason="REQUEST_TIMED_OUT"}'
REPLAY = 'group="sightline-stream-replay"'
LATE = {f"kafka_consumergroup_group_max_lag_seconds{{{GROUP}}}": "60x200"}
# 300 look-ups of 20 ms a minute, and runs of the model with 16 images and 80 ms.
LOOKUPS = {
    "sightline_cache_lookup_seconds_sum": "0+6x900",
    "sightline_model_run_seconds_sum": "0+1.6x900",
    "sightline_infer_batch_size_sum": "0+32x900",
}


@dataclass(frozen=True)
class Case:
    """Series by name, in promtool's notation, one value a minute; and how many alerts fire at which minute."""

    alert: str
    series: Mapping[str, str]
    firing: Sequence[tuple[str, int]]
    labels: str = ""


def latency(mean_s: str) -> dict[str, str]:
    """A histogram's sum and count: 60 labels a minute, `mean_s` seconds each."""
    return {
        "sightline_end_to_end_latency_seconds_sum": mean_s,
        "sightline_end_to_end_latency_seconds_count": "0+60x90",
    }


def saved(hits: str) -> dict[str, str]:
    return {'sightline_cache_requests_total{tier="exact",result="hit"}': hits}


def waits(short: str) -> dict[str, str]:
    """A worker with a run a second: runs take up to 0.1 s, and so many of the waits no longer; the rest up to 1 s."""
    runs_begun, wait = "0+60x90", 'sightline_device_wait_seconds_bucket{instance="a",le='
    return {
        **{f'sightline_model_run_seconds_bucket{{instance="a",le="{le}"}}': runs_begun for le in ("0.1", "+Inf")},
        f'{wait}"0.1"}}': short,
        f'{wait}"1"}}': runs_begun,
        f'{wait}"+Inf"}}': runs_begun,
    }


def runs(images: str) -> dict[str, str]:
    """One worker with two runs a minute, of 32 images at most."""
    return {
        'sightline_infer_batch_size_sum{instance="a"}': images,
        'sightline_infer_batch_size_count{instance="a"}': "0+2x100",
        'sightline_infer_max_batch_size{instance="a"}': "32x100",
    }


def bottleneck(stage: str) -> dict[str, str]:
    return {f'sightline_bottleneck{{stage="{stage}",reason="slow"}}': "1x100"}


def gpu(figure: str, values: str) -> dict[str, str]:
    return {f'sightline_gpu_{figure}{{instance="a",gpu="0"}}': values}


CASES = [
    Case("SightlineWatchdog", {}, [("0m", 1), ("60m", 1)]),
    Case("SightlineLagMonitorMissing", {'sightline_lag_up{cluster="local"}': "1x10 _x20 1x10"},
         [("10m", 0), ("19m", 0), ("25m", 1), ("35m", 0)]),
    Case("SightlineKafkaDown", {'sightline_lag_up{cluster="local"}': "1x5 0x5 1x20"},
         [("6m", 0), ("8m", 1), ("12m", 1), ("15m", 0)]),
    Case("SightlineKafkaUnderReplicated",
         {'kafka_topic_partition_under_replicated_partition{topic="labels",partition="3"}': "0x5 1x10 0x20"},
         [("9m", 0), ("12m", 1), ("20m", 0)]),
    Case("SightlineLabelsLate", latency("0+9000x10 90000+60x30"), [("2m", 0), ("5m", 1), ("20m", 0)],
         'threshold="very_high_for_short_period"'),
    Case("SightlineLabelsLate", latency("0+3600x30 108000+60x30"), [("10m", 0), ("18m", 1), ("45m", 0)],
         'threshold="relatively_high_for_long_period"'),
    Case("SightlineLagHigh", {f"kafka_consumergroup_group_max_lag_seconds{{{GROUP}}}": "1x5 150x10 1x20"},
         [("7m", 0), ("10m", 1), ("20m", 0)], 'threshold="very_high_for_short_period"'),
    Case("SightlineLagHigh", {f"kafka_consumergroup_group_max_lag_seconds{{{GROUP}}}": "1x5 40x30 1x20"},
         [("15m", 0), ("22m", 1), ("50m", 0)], 'threshold="relatively_high_for_long_period"'),
    Case("SightlineLagHigh", {'kafka_consumergroup_group_max_lag_seconds{group="sightline-infer-replay"}': "9000x30"},
         [("25m", 0)]),
    Case("SightlineGroupStuck", {f"sightline_lag_partition_status{{{PART}}}": "1x5 5x5 1x10"},
         [("4m", 0), ("8m", 1), ("15m", 0)]),
    Case("SightlineGroupStuck", {f"sightline_lag_partition_status{{{PART}}}": "2x20"}, [("15m", 0)]),
    Case("SightlineNothingSettled",  # the stage is killed: its series ends, and the cameras go on
         {SETTLED: "0+60x10 _x20 1860+60x20",
          f"sightline_source_frames_published_total{{{CAMERA}}}": "0+300x60"},
         [("10m", 0), ("14m", 1), ("28m", 1), ("40m", 0)]),
    Case("SightlineNothingSettled",  # no camera publishes: nothing is late
         {SETTLED: "600x60",
          f"sightline_source_frames_published_total{{{CAMERA}}}": "300x60"},
         [("20m", 0)]),
    Case("SightlineNothingSettled",  # a replay settles frames of yesterday
         {'sightline_settled_frame_timestamp_seconds{group="sightline-stream-replay",partition="0"}': "0x60",
          f"sightline_source_frames_published_total{{{CAMERA}}}": "0+300x60"},
         [("20m", 0)]),
    Case("SightlineGroupFallsBehind", {f"sightline_lag_status{{{GROUP}}}": "1x5 2x10 1x20"},
         [("8m", 0), ("12m", 1), ("25m", 0)]),
    Case("SightlineCommitsFail",
         {COMMITS: "0x5 1+1x25 26x30"},
         [("15m", 0), ("25m", 1), ("40m", 0)]),
    Case("SightlineCommitsFail",  # one that fails, and is tried again with success
         {COMMITS: "0x5 1x50"}, [("10m", 0), ("25m", 0)]),
    Case("SightlineReplayStands",  # no time by which it is done
         {f"kafka_consumergroup_group_sum_lag{{{REPLAY}}}": "0x5 9000x30 0x20"}, [("18m", 0), ("22m", 1), ("45m", 0)]),
    Case("SightlineReplayStands",  # it gets on
         {f"kafka_consumergroup_group_sum_lag{{{REPLAY}}}": "9000x60",
          f"sightline_lag_eta_seconds{{{REPLAY}}}": "7200x60"}, [("25m", 0), ("50m", 0)]),
    Case("SightlineReplayStands",
         {f"kafka_consumergroup_group_sum_lag{{{REPLAY}}}": "9000x60",
          f"sightline_lag_eta_seconds{{{REPLAY}}}": "100000x30 7200x30"}, [("10m", 0), ("20m", 1), ("40m", 0)]),
    Case("SightlineRecordsMissed", {f"kafka_consumergroup_group_messages_lost{{{PART}}}": "0x5 7x30"},
         [("4m", 0), ("8m", 1), ("25m", 0)]),
    Case("SightlineBatchesSkipped", {"sightline_infer_skipped_batches_total": "0x5 3x30"},
         [("4m", 0), ("8m", 1), ("25m", 0)]),
    Case("SightlineBatchesSkipped", {"sightline_stream_skipped_frames_total": "0x5 3x30"},
         [("4m", 0), ("8m", 1), ("25m", 0)]),
    Case("SightlineBatchesSkipped", {"sightline_retry_skipped_offsets_total": "0x5 3x30"},
         [("4m", 0), ("8m", 1), ("25m", 0)]),
    Case("SightlineBatchesSkipped", {'sightline_sink_skipped_offsets_total{sink="jsonl"}': "0x5 3x30"},
         [("4m", 0), ("8m", 1), ("25m", 0)]),
    Case("SightlineRetentionRisk",
         {f"kafka_consumergroup_group_lag_retention_ratio{{{PART}}}": "90x10 10x10",
          f"kafka_consumergroup_group_lag_seconds{{{PART}}}": "70000x20"},
         [("3m", 0), ("7m", 1), ("15m", 0)]),
    Case("SightlineRetentionRisk",
         {f"sightline_lag_retention_share{{{GROUP},topic=\"frames.batches\"}}": "0.85x10 0.1x10"},
         [("3m", 0), ("7m", 1), ("15m", 0)]),
    Case("SightlineRetentionRisk",  # a long retention, whatever part of the log is unread
         {f"kafka_consumergroup_group_lag_retention_ratio{{{PART}}}": "90x20",
          f"kafka_consumergroup_group_lag_seconds{{{PART}}}": "70000x20",
          f"sightline_lag_retention_share{{{GROUP},topic=\"frames.batches\"}}": "0.3x20"},
         [("15m", 0)]),
    Case("SightlineRetentionRisk",  # a young log: all of it unread, and nothing in danger
         {f"kafka_consumergroup_group_lag_retention_ratio{{{PART}}}": "100x20",
          f"kafka_consumergroup_group_lag_seconds{{{PART}}}": "60x20"},
         [("15m", 0)]),
    Case("SightlineCameraDown", {f"sightline_camera_up{{{CAMERA}}}": "1x5 0x5 1x10"},
         [("6m", 0), ("9m", 1), ("15m", 0)]),
    Case("SightlineCameraDown", {f"sightline_camera_up{{{CAMERA}}}": "1x5 _x20 1x10"},  # its agent is gone
         [("6m", 0), ("15m", 1), ("30m", 0)]),
    Case("SightlineCameraDown", {f"sightline_camera_up{{{CAMERA}}}": "1x5 _x90"},  # an hour later it was meant
         [("15m", 1), ("80m", 0)]),
    Case("SightlineCameraSlow",
         {f"sightline_source_fps{{{CAMERA}}}": "10x100 4x40 10x40", f"sightline_camera_up{{{CAMERA}}}": "1x180"},
         [("90m", 0), ("130m", 1), ("170m", 0)]),
    Case("SightlineCameraSlow",  # slow, and it always was
         {f"sightline_source_fps{{{CAMERA}}}": "4x100", f"sightline_camera_up{{{CAMERA}}}": "1x100"}, [("90m", 0)]),
    Case("SightlineCameraFrozen",
         {f"sightline_source_last_change_timestamp_seconds{{{CAMERA}}}": "0+60x10 600x30 2400+60x20",
          f"sightline_camera_up{{{CAMERA}}}": "1x70"},
         [("20m", 0), ("30m", 1), ("50m", 0)]),
    Case("SightlineCameraFrozen",  # it gives no pictures at all: another alert
         {f"sightline_source_last_change_timestamp_seconds{{{CAMERA}}}": "600x70",
          f"sightline_camera_up{{{CAMERA}}}": "0x70"}, [("50m", 0)]),
    Case("SightlineNoFrames",
         {'kafka_topic_partition_current_offset{topic="site1-frames.raw",partition="0"}':
          "100+60x20 1300x30 1300+60x30"},
         [("25m", 0), ("40m", 1), ("60m", 0)]),
    Case("SightlineNoFrames",  # one of its partitions is quiet
         {'kafka_topic_partition_current_offset{topic="frames.raw",partition="0"}': "100+60x60",
          'kafka_topic_partition_current_offset{topic="frames.raw",partition="1"}': "700x60"}, [("40m", 0)]),
    Case("SightlineCameraStale",
         {f"sightline_source_last_frame_timestamp_seconds{{{CAMERA}}}": "0+60x5 300x5 720+60x20",
          f"sightline_camera_up{{{CAMERA}}}": "1x40"},
         [("4m", 0), ("9m", 1), ("15m", 0)]),
    Case("SightlineCameraFlapping", {f'sightline_camera_reconnects_total{{{CAMERA},reason="ended"}}': "0+1x20 20x90"},
         [("5m", 0), ("20m", 1), ("100m", 0)]),
    Case("SightlineFramesDropped",
         {f'sightline_source_frames_dropped_total{{{CAMERA},reason="buffer_full"}}': "0+10x20 200x40",
          f"sightline_source_frames_captured_total{{{CAMERA}}}": "0+300x60"},
         [("5m", 0), ("15m", 1), ("40m", 0)]),
    Case("SightlineFramesDropped",  # a limit that somebody has set
         {f'sightline_source_frames_dropped_total{{{CAMERA},reason="rate_limit"}}': "0+100x60",
          f"sightline_source_frames_captured_total{{{CAMERA}}}": "0+300x60"},
         [("40m", 0)]),
    Case("SightlineCamerasFileWrong", {'sightline_cameras_file_ok{instance="edge-1"}': "1x5 0x15 1x10"},
         [("8m", 0), ("15m", 1), ("25m", 0)]),
    Case("SightlineSpoolNearlyFull",
         {'sightline_spool_bytes{instance="edge-1"}': "0x5 850x10 0x20",
          'sightline_spool_max_bytes{instance="edge-1"}': "1000x60"},
         [("4m", 0), ("10m", 1), ("20m", 0)]),
    Case("SightlineSpoolOld", {'sightline_spool_oldest_seconds{instance="edge-1"}': "0+60x30 0x20"},
         [("16m", 0), ("20m", 1), ("40m", 0)]),
    Case("SightlineDeadLetters", {'sightline_dead_letters_total{stage="stream",reason="not_an_image"}': "0x5 1x40"},
         [("4m", 0), ("7m", 1), ("30m", 0)]),
    Case("SightlineManyDeadLetters",
         {'sightline_dead_letters_total{stage="stream",reason="not_an_image"}': "0+10x20 200x40",
          'sightline_labels_total{origin="MODEL",decision="ACCEPTED"}': "0+50x60"},
         [("4m", 0), ("10m", 1), ("40m", 0)]),
    Case("SightlineConfidenceDrift",
         {f"sightline_confidence_drift_psi{{{CAMERA}}}": "0.05x10 0.4x50 0.05x60",
          f"sightline_confidence_drift_critical_psi{{{CAMERA}}}": "0.12x120"},
         [("35m", 0), ("50m", 1), ("70m", 1), ("100m", 0)]),
    Case("SightlineConfidenceDrift",  # few samples: chance does as much
         {f"sightline_confidence_drift_psi{{{CAMERA}}}": "0.4x60",
          f"sightline_confidence_drift_critical_psi{{{CAMERA}}}": "0.6x60"}, [("50m", 0)]),
    Case("SightlineConfidenceDrift",  # many samples: a small change is no chance, and too small to matter
         {f"sightline_confidence_drift_psi{{{CAMERA}}}": "0.04x60",
          f"sightline_confidence_drift_critical_psi{{{CAMERA}}}": "0.02x60"}, [("50m", 0)]),
    Case("SightlineCameraReview",
         {f'sightline_source_labels_total{{{CAMERA},decision="REVIEW"}}': "0+1x1600 1600+30x90 4300+1x400",
          f'sightline_source_labels_total{{{CAMERA},decision="ACCEPTED"}}': "0+60x2500"},
         [("1590m", 0), ("1660m", 1), ("1800m", 0)]),
    Case("SightlineCameraReview",  # much for review, as every day
         {f'sightline_source_labels_total{{{CAMERA},decision="REVIEW"}}': "0+30x2000",
          f'sightline_source_labels_total{{{CAMERA},decision="ACCEPTED"}}': "0+30x2000"},
         [("1800m", 0)]),
    Case("SightlineReviewFlood",
         {'sightline_labels_total{origin="MODEL",decision="REVIEW"}': "0+1x1600 1600+30x90 4300+1x400",
          'sightline_labels_total{origin="MODEL",decision="ACCEPTED"}': "0+60x2500"},
         [("1590m", 0), ("1660m", 1), ("1800m", 0)]),
    Case("SightlineModelNotReady", {"sightline_model_ready": "0x10 1x10"}, [("3m", 0), ("7m", 1), ("15m", 0)]),
    Case("SightlineCacheDown", {"sightline_cache_up": "1x5 0x10 1x10"}, [("8m", 0), ("12m", 1), ("20m", 0)]),
    Case("SightlineCacheUseless", {**saved("0+1x900"), **LOOKUPS}, [("300m", 0), ("450m", 1)]),
    Case("SightlineCacheUseless", {**saved("0+1x480 480+300x420"), **LOOKUPS}, [("450m", 1), ("700m", 0)]),
    Case("SightlineCacheUseless", LOOKUPS, [("450m", 1)]),  # nothing was ever found
    Case("SightlineBatchesSmall", {**runs("0+2x30 60+30x60"), **bottleneck("infer")},
         [("8m", 0), ("25m", 1), ("60m", 0)]),
    Case("SightlineBatchesSmall", {**runs("0+2x60"), **bottleneck("stream")}, [("40m", 0)]),
    Case("SightlineQueueDominates", {**waits("0x30 0+60x60"), **bottleneck("infer")},
         [("8m", 0), ("25m", 1), ("60m", 0)]),
    Case("SightlineQueueDominates", {**waits("0x90"), **bottleneck("stream")}, [("40m", 0)]),
    Case("SightlineGpuIdle", {**gpu("utilization_ratio", "0.1x40 0.9x30"), **LATE},
         [("8m", 0), ("15m", 1), ("65m", 0)]),
    Case("SightlineGpuIdle", gpu("utilization_ratio", "0.1x40"), [("30m", 0)]),  # nothing waits
    Case("SightlineGpuMemoryGrows", gpu("memory_used_bytes", "0+4e6x500 2e9x600"),
         [("30m", 0), ("120m", 1), ("1000m", 0)]),
    Case("SightlineStreamPaused", {'sightline_paused{reason="backlog"}': "0x5 1x20 0x10"},
         [("12m", 0), ("18m", 1), ("30m", 0)]),
    Case("SightlineSinkBlocked", {'sightline_sink_busy{sink="jsonl"}': "0x5 1x10 0x10"},
         [("8m", 0), ("13m", 1), ("20m", 0)]),
    Case("SightlineRestarts", {'process_start_time_seconds{job="sightline-infer",instance="a"}': "0+60x10 600x60"},
         [("2m", 0), ("10m", 1), ("60m", 0)]),
    Case("SightlineMemoryGrows",
         {'process_resident_memory_bytes{job="sightline-infer",instance="a"}': "0+4e6x500 2e9x600"},
         [("30m", 0), ("120m", 1), ("1000m", 0)]),
]  # fmt: skip
