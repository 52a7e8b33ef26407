"""`sightline demo`: runs the whole pipeline on one machine and proves at the end that no frame was lost."""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from infra.audit.audit import Audit
from infra.commands.options import JsonOption
from infra.kafka.clients import bootstrap
from infra.kafka.reader import Reader
from infra.kafka.spans import Span
from infra.kafka.start_checks import require_kafka
from infra.kafka.topic_admin import ensure_topics
from infra.kafka.topics import TopicNames
from infra.process import logs, supervise
from infra.process.lifecycle import Deadline, Stop, StopBudget
from infra.process.supervise import Child
from infra.redis.client import require_redis
from infra.settings import LogSettings, Settings, home, load_settings
from schemas.errors import SightlineError, Unavailable
from sinks.demo.cameras import DEFAULT_SOURCES, Cameras, published_counts, write_cameras
from sinks.demo.follower import OutcomeFollower
from sinks.demo.screen import Screen, screen_for
from sinks.demo.services import local_services
from sinks.demo.stats import DemoStats, summary
from sinks.demo.verdict import BottleneckFollower

DEFAULT_DURATION_S = 60.0
READY_TIMEOUT_S = 300.0
SETTLE_S = 60.0
FIRST_FRAME_S = 30.0
STOP_S = 8.0
# Parts of the time budget after Ctrl-C: for stopping stream and worker, and for stopping the services that we started.
KEEP_FOR_PIPELINE_S, KEEP_FOR_SERVICES_S = 2.5, 2.5
# The part of the waiting time for labels that is reserved for the final read.
LAST_LOOK_S = 1.0
REFRESH_S = 0.25
TICK_S = 1.0
AUDIT_S = 5.0
# Serve a small site on this machine and crawl it, and a gateway and upload photos to it; no command could.
SHOWCASES = {"crawl": "ingest.crawl.showcase", "gateway": "ingest.gateway.showcase"}

SourceOption = Annotated[
    list[str] | None,
    typer.Option(help="A camera: rtsp://, http://, a file, a folder, usb:0, sim:NAME; can be given several times."),
]
DurationOption = Annotated[
    float | None,
    typer.Option(
        metavar="SEC",
        min=1,
        help="How long to run (default: until Ctrl-C on a terminal, otherwise 60).",
        show_default=False,
    ),
]
FpsOption = Annotated[float | None, typer.Option(min=0.1, help="Frames a second from each camera.", show_default=False)]


def command(
    *, source: SourceOption = None, duration: DurationOption = None, fps: FpsOption = None, as_json: JsonOption = False
) -> None:
    """Run everything on one machine: local Kafka and Valkey, cameras, stream, inference, and a live table of labels.

    The exit code is 0 only if every frame is accounted for. With --json the last line is the summary as one object.
    """
    logs.setup(LogSettings(level="error"))
    settings = load_settings({"camera": {"fps": fps}})
    cameras = write_cameras(home() / "demo", source or list(DEFAULT_SOURCES), settings.camera.fps)
    if duration is None and not sys.stdout.isatty():
        duration = DEFAULT_DURATION_S
    screen, stop = screen_for(as_json), Stop().install()
    budget = StopBudget(stop)
    try:
        with local_services(settings, home(), screen.step, stop, lambda: budget.at_most_s(STOP_S)) as started:
            keep_s = KEEP_FOR_SERVICES_S if started else 0.0
            demo = Demo(settings, cameras, screen, stop, budget, keep_s, shows_all=not source)
            result, notes = demo.run(duration)
    finally:
        screen.close()
    if as_json:
        print(json.dumps(result), flush=True)
    else:
        screen.summary(result, notes)
    if not result["accounted"]:
        sys.exit(1)


class Demo:
    """One run. Worker and stream processor start first, and the cameras when both are ready; the cameras stop first.

    Before Ctrl-C each step has a generous time limit of its own. After Ctrl-C all steps share `budget`, of which
    `keep_s` is reserved for stopping the local services. `shows_all`: a crawler of a small local site
    and an upload gateway run beside the cameras.
    """

    def __init__(
        self,
        settings: Settings,
        cameras: Cameras,
        screen: Screen,
        stop: Stop,
        budget: StopBudget,
        keep_s: float,
        *,
        shows_all: bool = False,
    ) -> None:
        self._shows_all = shows_all
        self._settings, self._cameras, self._screen = settings, cameras, screen
        self._stop, self._budget, self._keep_s = stop, budget, keep_s
        self._children: list[Child] = []
        self._seconds = 0.0

    def run(self, duration_s: float | None) -> tuple[dict[str, Any], list[str]]:
        """The summary and its notes. Raises SightlineError when a process cannot start or ends with an error."""
        self._screen.step("creating topics")
        require_kafka(self._settings)
        if self._settings.stream.cache:
            require_redis(self._settings)
        ensure_topics(self._settings)
        names = TopicNames.for_lane(self._settings.topic_prefix)
        with Reader(self._settings) as reader:
            frames = reader.tail(names.frames)
            outcomes = [*reader.tail(names.labels), *reader.tail(names.dead)]
            stats = DemoStats()
            audit = Audit(self._settings, reader, "live", frames, outcomes, stats.label)
            try:
                self._start_pipeline()
                self._show(reader, frames, outcomes, audit, duration_s)
                return self._settle(audit, stats)
            finally:
                self._screen.step("stopping stream and inference")
                supervise.stop(self._children, self._budget.at_most_s(STOP_S, self._keep_s))

    def _start_pipeline(self) -> None:
        self._screen.step("loading and warming the model, joining the consumer groups")
        pipeline = [self._start("infer"), self._start("stream")]
        deadline = Deadline(READY_TIMEOUT_S)
        while not self._stop.is_set():
            self._check()
            waiting = [f"{child.name}: {reason}" for child in pipeline if (reason := child.not_ready())]
            if not waiting:
                return
            if deadline.expired():
                raise Unavailable("the pipeline", bootstrap(self._settings), "; ".join(waiting))
            self._screen.waiting(", ".join(waiting))
            self._stop.wait(REFRESH_S)
        raise SightlineError("stopped before the first frame")

    def _show(
        self, reader: Reader, frames: list[Span], outcomes: list[Span], audit: Audit, duration_s: float | None
    ) -> None:
        """Run the cameras and show the figures until the duration is over or `stop` is set; then stop the cameras.

        The audit reads outcomes during the run, because after it there is no time to read the labels of hours.
        """
        self._screen.step("starting the cameras")
        camera = self._start("camera", "--config", str(self._cameras.config))
        others = SHOWCASES.items() if self._shows_all else ()
        producers = [camera, *(self._start(name, module=module) for name, module in others)]
        stats = DemoStats()
        hint = _hint(self._settings, duration_s)
        with (
            OutcomeFollower(self._settings, frames, outcomes, stats) as follower,
            BottleneckFollower(self._settings, stats.verdict),
        ):
            self._wait_for_first_frame(reader, frames, camera)
            started_s = ticked_s = audited_s = time.monotonic()
            while not self._stop.is_set() and (duration_s is None or self._seconds < duration_s):
                self._check()
                follower.check()
                if time.monotonic() - ticked_s >= TICK_S:
                    ticked_s = time.monotonic()
                    stats.tick(ticked_s, _written(reader, frames), _published(producers))
                if time.monotonic() - audited_s >= AUDIT_S:
                    audited_s = time.monotonic()
                    audit.follow(lambda: _run_of(reader, frames))
                self._screen.show(stats, self._seconds, hint)
                self._stop.wait(REFRESH_S)
                self._seconds = time.monotonic() - started_s
            self._screen.step("stopping the cameras")
            supervise.stop(producers, self._budget.at_most_s(STOP_S, KEEP_FOR_PIPELINE_S + self._keep_s))
            self._children = [child for child in self._children if child not in producers]
            audit.follow(lambda: _run_of(reader, frames))
            self._seconds = time.monotonic() - started_s

    def _wait_for_first_frame(self, reader: Reader, frames: list[Span], camera: Child) -> None:
        """Wait for the first frame, but not for long: the display also shows cameras that cannot be reached."""
        deadline = Deadline(FIRST_FRAME_S)
        while not self._stop.is_set() and not deadline.expired() and not _written(reader, frames):
            self._check()
            self._screen.waiting(camera.not_ready() or "no frame yet")
            self._stop.wait(REFRESH_S)

    def _settle(self, audit: Audit, stats: DemoStats) -> tuple[dict[str, Any], list[str]]:
        """Wait for the outcomes of this run's frames as long as there is time. Returns the summary and its notes."""
        self._screen.step("waiting for the last labels and counting frames")
        deadline = Deadline(SETTLE_S)

        def remaining_s(keep_s: float = LAST_LOOK_S) -> float:
            self._check()
            left_s = self._budget.at_most_s(deadline.remaining_s(), KEEP_FOR_PIPELINE_S + self._keep_s)
            return max(0.0, left_s - keep_s)

        balance = audit.settle(remaining_s, stop=lambda: remaining_s(0.0) <= 0)
        notes = audit.notes(balance)
        if not balance.complete:
            notes.append("not all labels were read in time: run `sightline audit` to prove the result")
        elif balance.missing_count:
            notes.append(f"{balance.missing_count} frames had no outcome yet; the next start processes them")
        return summary(stats, balance, self._seconds), notes

    def _start(self, name: str, *words: str, module: str = "infra.commands.child") -> Child:
        log = home() / "demo" / f"{name}.log"
        environment = self._cameras.environment if name == "camera" else None
        child = Child([name, *words], log, environment, module=module)
        self._children.append(child)
        return child

    def _check(self) -> None:
        for child in self._children:
            child.check()


def _published(producers: Sequence[Child]) -> dict[str, int]:
    return {source_id: count for one in producers for source_id, count in published_counts(one.metrics()).items()}


def _run_of(reader: Reader, frames: Sequence[Span]) -> list[Span]:
    """The frames of this run so far: from the start of `frames` to the present end of the topic."""
    starts = {span.topic_partition: span.start for span in frames}
    return [replace(span, start=starts.get(span.topic_partition, span.start)) for span in reader.tail(frames[0].topic)]


def _written(reader: Reader, frames: Sequence[Span]) -> int:
    return sum(len(span) for span in _run_of(reader, frames))


def _hint(settings: Settings, duration_s: float | None) -> str:
    until = "Ctrl-C ends" if duration_s is None else f"ends after {duration_s:g} s"
    return f"{settings.infer.model} · Kafka {bootstrap(settings)} · {until} · `sightline subscribe` shows every label"
