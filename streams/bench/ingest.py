"""Cameras: thirty in one agent beside a bare loop over the same frames, and one dead among them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import simplejpeg
from prometheus_client.parser import text_string_to_metric_families

from infra.process.ports import find_ports
from infra.process.supervise import Child
from ingest.sources.parse import parse_sim
from ingest.sources.render import render
from streams.bench.report import Options, Report
from streams.bench.spool import measure_spool
from streams.bench.testbed import Testbed, testbed

CAMERAS, FPS, QUALITY = 30, 5.0, 90
NAMES = ("coffee", "cat", "rocket")
WARM_UP_S = 10.0
CPU_GOAL, MIB_GOAL, DROP_GOAL, DEAD_GOAL = 1.3, 25.0, 0.01, 0.98
# What a camera is asked to leave out is no loss.
ASKED = "rate_limit"
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Counts:
    """Of an agent since its start; `healthy` are frames published of the cameras that are not dead."""

    cpu_s: float
    healthy: int
    dropped: int
    at_s: float


def bench_ingest(options: Options) -> Report:
    """One agent with 30 simulated VGA cameras at 5 frames a second, on real Kafka.

    CPU time of the agent with its capture processes for each published frame, over that of a bare loop that draws and
    encodes the same frames; memory for each camera (proportional set size: shared pages count once); frames dropped;
    and what 29 cameras publish beside a dead one, over what they publish beside a good one. Also the speed of a spool
    over that of the disk alone.
    """
    report = Report("ingest")
    bare_s = bare_cpu_s(options.frames)
    good, mib = _agent(options.seconds, dead=False)
    beside_dead, _ = _agent(options.seconds, dead=True)
    cpu_s = (good[1].cpu_s - good[0].cpu_s) / (good[1].healthy - good[0].healthy)
    dropped = (good[1].dropped - good[0].dropped) / max(1, good[1].healthy - good[0].healthy)
    rates = [(last.healthy - first.healthy) / (last.at_s - first.at_s) for first, last in (good, beside_dead)]
    share = rates[1] / (rates[0] * (CAMERAS - 1) / CAMERAS)
    report.ratio("agent_cpu_over_bare_loop", cpu_s / bare_s, "<=", CPU_GOAL)
    report.ratio("mib_for_each_camera", mib / CAMERAS, "<=", MIB_GOAL)
    report.ratio("dropped_share", dropped, "<=", DROP_GOAL)
    report.ratio("healthy_beside_a_dead_camera", share, ">=", DEAD_GOAL)
    report.figures |= {
        "bare_cpu_ms_per_frame": round(bare_s * 1000, 2),
        "agent_cpu_ms_per_frame": round(cpu_s * 1000, 2),
        "published_per_s": round(rates[0], 1),
        "published_per_s_beside_a_dead_camera": round(rates[1], 1),
        "agent_mib": round(mib),
    }
    measure_spool(report, options.repeats)
    return report


def bare_cpu_s(frames: int) -> float:
    """CPU seconds for each frame of a loop that does nothing but draw and encode."""
    specs = [parse_sim(NAMES[number % len(NAMES)]) for number in range(CAMERAS)]
    for spec in specs:
        render(spec, 0.0)  # the photo is loaded
    began_s = time.process_time()
    for number in range(frames):
        pixels = render(specs[number % CAMERAS], number // CAMERAS / FPS)
        simplejpeg.encode_jpeg(pixels, QUALITY, "BGR", "420")
    return (time.process_time() - began_s) / frames


def _agent(seconds: float, *, dead: bool) -> tuple[tuple[Counts, Counts], float]:
    """Counts at the beginning and the end of the measured time, and the agent's memory at its end in MiB."""
    with testbed() as bed, _running(bed, dead=dead) as child:
        time.sleep(WARM_UP_S)
        first = _counts(child)
        time.sleep(seconds)
        last = _counts(child)
        child.check()
        memory = sum(process.memory_full_info().pss for process in _processes(child))
    return (first, last), memory / MIB


@contextmanager
def _running(bed: Testbed, *, dead: bool) -> Iterator[Child]:
    file = bed.logs / "cameras.toml"
    sources = [f"sim:{NAMES[number % len(NAMES)]}" for number in range(CAMERAS)]
    if dead:
        sources[0] = f"rtsp://127.0.0.1:{find_ports(1)[0]}/cam"
    _write(file, sources)
    with bed.stage("camera", "--config", str(file)) as child:
        yield child


def _write(file: Path, sources: list[str]) -> None:
    file.write_text(
        "".join(
            f'[[camera]]\nid = "cam-{number}"\nsource = "{source}"\nfps = {FPS:g}\n'
            for number, source in enumerate(sources)
        )
    )


def _processes(child: Child) -> list[psutil.Process]:
    agent = psutil.Process(child.pid)
    return [agent, *agent.children(recursive=True)]


def _counts(child: Child) -> Counts:
    cpu_s = sum(sum(process.cpu_times()[:2]) for process in _processes(child))
    published = dropped = 0.0
    for family in text_string_to_metric_families(child.metrics()):
        for sample in family.samples:
            if sample.name == "sightline_source_frames_published_total":
                published += sample.value
            elif sample.name == "sightline_source_frames_dropped_total" and sample.labels["reason"] != ASKED:
                dropped += sample.value
    return Counts(cpu_s, int(published), int(dropped), time.monotonic())
