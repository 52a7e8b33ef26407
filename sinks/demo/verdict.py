"""What holds the pipeline back, looked at every few seconds beside the demo."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from infra.kafka.reader import Reader
from infra.lag.monitor import LagMonitor, pipeline_patterns, stage_groups
from infra.lag.pipeline import Pipeline
from infra.lag.rules.bottleneck import Bottleneck
from infra.process import logs
from infra.settings import Settings
from schemas.errors import SightlineError

log = logs.get(__name__)

LOOK_EVERY_S = 2.0
END_S = 2.0


class BottleneckFollower:
    """A thread that tells each verdict to `on_verdict`. A look that fails is left out: the next one says more."""

    def __init__(self, settings: Settings, on_verdict: Callable[[Bottleneck], None]) -> None:
        self._settings, self._on_verdict = settings, on_verdict
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bottleneck-follower", daemon=True)

    def __enter__(self) -> "BottleneckFollower":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(END_S)

    def _run(self) -> None:
        settings, prefix = self._settings, self._settings.topic_prefix
        with ExitStack() as closing:
            monitor = closing.enter_context(LagMonitor(settings, pipeline_patterns(prefix), (), stage_groups(prefix)))
            pipeline = Pipeline(settings, "live", closing.enter_context(Reader(settings)))
            while not self._ending.is_set():
                began_s = time.monotonic()
                try:
                    self._on_verdict(pipeline.judge(monitor.look()))
                except SightlineError as error:
                    log.debug("the pipeline was not judged", error=str(error))
                self._ending.wait(max(0.0, LOOK_EVERY_S - (time.monotonic() - began_s)))
