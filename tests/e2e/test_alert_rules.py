"""Every alert fires when it should, not before, and resolves: `promtool test rules` on a table of series."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import ROOT

MONITORING = ROOT / "infra" / "monitoring"
RULES = MONITORING / "rules.yml"
RUNBOOK = ROOT / "docs" / "runbook.md"

GROUP = 'cluster="local",group="sightline-infer"'
PART = f'{GROUP},topic="frames.batches",partition="3"'
CAMERA = 'source_id="dock-1"'


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


CASES = [
    Case("SightlineWatchdog", {}, [("0m", 1), ("60m", 1)]),
    Case("SightlineLagMonitorMissing", {'sightline_lag_up{cluster="local"}': "1x10 _x20 1x10"},
         [("10m", 0), ("19m", 0), ("25m", 1), ("35m", 0)]),
    Case("SightlineKafkaDown", {'sightline_lag_up{cluster="local"}': "1x5 0x5 1x20"},
         [("6m", 0), ("8m", 1), ("12m", 1), ("15m", 0)]),
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
    Case("SightlineGroupFallsBehind", {f"sightline_lag_status{{{GROUP}}}": "1x5 2x10 1x20"},
         [("8m", 0), ("12m", 1), ("25m", 0)]),
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
    Case("SightlineDeadLetters", {'sightline_dead_letters_total{stage="stream",reason="not_an_image"}': "0x5 1x40"},
         [("4m", 0), ("7m", 1), ("30m", 0)]),
    Case("SightlineManyDeadLetters",
         {'sightline_dead_letters_total{stage="stream",reason="not_an_image"}': "0+10x20 200x40",
          'sightline_labels_total{origin="MODEL",decision="ACCEPTED"}': "0+50x60"},
         [("4m", 0), ("10m", 1), ("40m", 0)]),
    Case("SightlineReviewFlood",
         {'sightline_labels_total{origin="MODEL",decision="REVIEW"}': "0+1x1600 1600+30x90 4300+1x400",
          'sightline_labels_total{origin="MODEL",decision="ACCEPTED"}': "0+60x2500"},
         [("1590m", 0), ("1660m", 1), ("1800m", 0)]),
    Case("SightlineModelNotReady", {"sightline_model_ready": "0x10 1x10"}, [("3m", 0), ("7m", 1), ("15m", 0)]),
    Case("SightlineCacheDown", {"sightline_cache_up": "1x5 0x10 1x10"}, [("8m", 0), ("12m", 1), ("20m", 0)]),
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


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def promtool(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    return subprocess.run([program, *words], input=stdin, capture_output=True, text=True, timeout=120, check=False)


def test_every_alert_has_a_case_in_which_it_fires_and_resolves() -> None:
    fires = {case.alert for case in CASES if any(count for _, count in case.firing)}
    ends = {case.alert for case in CASES if case.firing[-1][1] == 0} | {"SightlineWatchdog"}
    assert {rule["alert"] for rule in rules()} == fires == fires & ends


def test_every_alert_has_a_severity_and_an_entry_in_the_runbook() -> None:
    headings = {line[3:].strip().lower() for line in RUNBOOK.read_text().splitlines() if line.startswith("## ")}
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "none"), rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (ROOT / page, anchor in headings) == (RUNBOOK, True), rule["alert"]


def test_every_alert_about_lag_names_the_bottleneck() -> None:
    groups = {group["name"]: group["rules"] for group in yaml.safe_load(RULES.read_text())["groups"]}
    late = [*groups["sightline-lag"], *(one for one in rules() if one["alert"] == "SightlineStreamPaused")]
    assert len(late) > 8
    for rule in late:
        assert 'Bottleneck: {{ . | first | label "stage" }}' in rule["annotations"]["description"], rule["alert"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{len(case.series)}-{case.labels}")
def test_the_alert_fires_when_it_should(case: Case, tmp_path: Path) -> None:
    chosen = f'alertname="{case.alert}",alertstate="firing"' + (f",{case.labels}" if case.labels else "")
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "promql_expr_test": [
                    {
                        "expr": f"count(ALERTS{{{chosen}}}) or vector(0)",
                        "eval_time": at,
                        "exp_samples": [{"labels": "{}", "value": count}],
                    }
                    for at, count in case.firing
                ],
            }
        ],
    }
    path = tmp_path / "rules_test.yml"
    path.write_text(json.dumps(tests))
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_rules() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr
