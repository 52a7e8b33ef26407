"""The pipeline's verdict from real reports and what the processes say."""

from typing import Any

import pytest

from infra.lag.reports import GroupReport
from infra.lag.rules.stages import judge_pipeline
from infra.lag.rules.status import LagStatus
from schemas.records import ProcessStatus
from tests.support.lag_reports import group_report, partition_report

GROUPS = {"stream": "sightline-stream", "infer": "sightline-infer"}


def says(stage: str, **fields: object) -> ProcessStatus:
    return ProcessStatus(process_id=f"{stage}/1", stage=stage, lane="live", at=0, **fields)  # type: ignore[arg-type]


def group(stage: str, lag: int, lag_s: float | None = 30.0, **fields: Any) -> GroupReport:
    return group_report(
        group=f"sightline-{stage}", partitions=[partition_report(lag=lag)], lag_s=lag_s, members=1, **fields
    )


def test_slow_workers_are_named_though_the_lag_is_the_stream_stages() -> None:
    reports = [group("stream", 9000, trend_per_s=40.0), group("infer", 250, written_per_s=15.0)]
    processes = [
        says("ingest", arriving_per_s=100.0, finished_per_s=100.0, waiting_frames=20),
        says("stream", paused="the workers are behind"),
        says("infer", frames_per_record=4.0),
    ]
    found = judge_pipeline(reports, GROUPS, processes)
    assert (found.stage, found.waiting_frames, found.eta_s) == ("infer", 10_000, None)
    assert found.why == "works off its backlog at 60.0 frames/s; stream waits for it"


def test_a_stream_stage_that_is_not_paused_holds_the_pipeline_back_itself() -> None:
    reports = [group("stream", 9000, trend_per_s=40.0), group("infer", 0)]
    processes = [says("stream"), says("stream", paused="the workers are behind"), says("infer")]
    found = judge_pipeline(reports, GROUPS, processes)
    assert (found.stage, found.why) == ("stream", "finishes 60.0 of 100.0 frames/s")


@pytest.mark.parametrize(("wait_ms", "stage"), [(20.0, "stream"), (2500.0, "kafka")])
def test_kafka_is_named_when_its_acknowledgements_are_slow(wait_ms: float, stage: str) -> None:
    processes = [says("ingest", produce_wait_ms=wait_ms), says("stream", produce_wait_ms=wait_ms)]
    assert judge_pipeline([group("stream", 9000)], GROUPS, processes).stage == stage


def test_frames_that_wait_at_the_cameras() -> None:
    late = says("ingest", waiting_frames=900, arriving_per_s=100.0, finished_per_s=50.0, produce_wait_ms=30.0)
    found = judge_pipeline([group("stream", 0), group("infer", 0)], GROUPS, [late, says("stream"), says("infer")])
    assert (found.stage, found.waiting_frames) == ("ingest", 900)
    fine = says("ingest", waiting_frames=20, arriving_per_s=100.0, finished_per_s=100.0)
    assert judge_pipeline([group("stream", 0)], GROUPS, [fine, says("stream")]).stage == "none"


def test_a_stuck_stage_and_one_without_a_process() -> None:
    stuck = group("infer", 90)
    stuck.partitions[0] = partition_report(lag=90, status=LagStatus.STALL)
    found = judge_pipeline([group("stream", 0), stuck], GROUPS, [says("infer")])
    assert (found.stage, found.why) == ("infer", "its processes commit nothing")
    gone = group_report(group="sightline-infer", partitions=[partition_report(lag=90)], members=0)
    found = judge_pipeline([group("stream", 0), gone], GROUPS, [])
    assert (found.stage, found.why) == ("infer", "no process reads")


def test_without_the_right_to_read_what_they_say_the_verdict_is_unknown_unless_a_sink_is_late() -> None:
    found = judge_pipeline([group("stream", 9000)], GROUPS, None)
    assert (found.stage, found.why) == ("unknown", "the topic pipeline.status cannot be read")


def test_a_late_sink_is_named_when_the_others_keep_up() -> None:
    groups = {**GROUPS, "sink-jsonl": "sightline-sink-jsonl"}
    reports = [group("stream", 0), group("infer", 0), group("sink-jsonl", 500)]
    assert judge_pipeline(reports, groups, [says("stream"), says("infer")]).stage == "sink-jsonl"
