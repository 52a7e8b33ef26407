"""The stages of the pipeline as the bottleneck's rule wants them, from groups and from what processes say. Pure."""

from collections.abc import Sequence
from statistics import fmean, median

from infra.lag.reports import GroupReport
from infra.lag.rules.bottleneck import Bottleneck, KafkaState, StageState, find_bottleneck
from infra.lag.rules.status import LagStatus
from schemas.records import ProcessStatus

SINK = "sink-"


def judge_pipeline(
    reports: Sequence[GroupReport], groups: dict[str, str], processes: Sequence[ProcessStatus] | None
) -> Bottleneck:
    """What holds the pipeline back. `groups`: the group of each stage by its name.

    `processes`: what they say; None where this user may not read it.
    """
    by_name = {report.group: report for report in reports}
    stages = {
        stage: stage_state(stage, by_name.get(group), [one for one in processes or () if one.stage == stage])
        for stage, group in groups.items()
    }
    chain = None
    if processes is not None:
        ingest = ingest_state([one for one in processes if one.stage == "ingest"])
        chain = [ingest, *(stages[name] for name in ("stream", "infer") if name in stages)]
    waits = [one.produce_wait_ms / 1000 for one in processes or () if one.produce_wait_ms is not None]
    kafka = KafkaState(produce_wait_s=median(waits) if waits else None)
    return find_bottleneck(chain, [one for name, one in stages.items() if name.startswith(SINK)], kafka)


def stage_state(stage: str, report: GroupReport | None, processes: Sequence[ProcessStatus]) -> StageState:
    """One stage: records of its group counted in frames, paused when every one of its processes is."""
    if report is None:
        return StageState(stage, 0, members=len(processes))
    frames = fmean(one.frames_per_record for one in processes) if processes else 1.0
    reasons = [one.paused for one in processes]
    paused = next((one for one in reasons if one is not None), None) if all(reasons) else None
    members = len(processes) if report.members is None else report.members
    return StageState(
        name=stage,
        waiting_frames=round(report.total_lag * frames),
        lag_s=report.lag_s if report.total_lag else 0.0,
        arriving_per_s=max(0.0, report.written_per_s) * frames,
        rate_per_s=report.committed_per_s * frames,
        paused=paused,
        members=members,
        is_stuck=members > 0 and any(one.status is LagStatus.STALL for one in report.partitions),
    )


def ingest_state(processes: Sequence[ProcessStatus]) -> StageState:
    """All producers together: what waits in them for Kafka."""
    arriving = [one.arriving_per_s for one in processes if one.arriving_per_s is not None]
    finished = [one.finished_per_s for one in processes if one.finished_per_s is not None]
    waiting, rate = sum(one.waiting_frames for one in processes), sum(finished)
    return StageState(
        name="ingest",
        waiting_frames=waiting,
        lag_s=waiting / rate if rate else None,
        arriving_per_s=sum(arriving) if arriving else None,
        rate_per_s=rate if finished else None,
        members=len(processes),
    )
