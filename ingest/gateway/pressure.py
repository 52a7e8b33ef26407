"""Whether the pipeline is too far behind for more uploads: the bottleneck verdict, asked every few seconds."""

from infra.kafka.errors import KafkaFailure
from infra.kafka.reader import Reader
from infra.lag.monitor import LagMonitor, stage_groups
from infra.lag.pipeline import Pipeline
from infra.lag.rules.bottleneck import Bottleneck
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.settings import Settings
from ingest.gateway.problems import Problem
from schemas.errors import Unavailable

log = logs.get(__name__)

LOOK_EVERY_S = 5.0
RETRY_AFTER_S = (5.0, 300.0)
UNKNOWN_ETA_S = 30.0
# A sink that is late holds nobody up, and producers are what this is about.
_STAGES = ("kafka", "stream", "infer")


def refusal(found: Bottleneck, max_backlog_frames: int) -> Problem | None:
    """Why uploads are refused while that is the bottleneck; None while they are taken. Pure.

    A verdict that is not known refuses nothing.
    """
    is_slow_kafka = found.stage == "kafka" and found.reason == "slow"
    if found.stage not in _STAGES or (found.waiting_frames <= max_backlog_frames and not is_slow_kafka):
        return None
    least_s, most_s = RETRY_AFTER_S
    after_s = min(most_s, max(least_s, UNKNOWN_ETA_S if found.eta_s is None else found.eta_s))
    detail = f"the pipeline is behind by {found.waiting_frames} frames: {found.stage} {found.why}"
    return Problem(429, "behind", detail, after_s, {"stage": found.stage, "waiting_frames": found.waiting_frames})


class Pressure:
    """Looks in a thread of its own; any thread may read `refusal`."""

    def __init__(self, settings: Settings, stop: Stop) -> None:
        self._settings, self._stop = settings, stop
        self.refusal: Problem | None = None

    def run(self) -> None:
        """Until the process stops. A cluster that does not answer is no verdict."""
        groups = stage_groups(self._settings.topic_prefix)
        try:
            with (
                LagMonitor(self._settings, include=list(groups), expected=groups) as monitor,
                Reader(self._settings) as reader,
            ):
                pipeline = Pipeline(self._settings, "live", reader)
                while not self._stop.wait(LOOK_EVERY_S):
                    self._look(monitor, pipeline)
        except Exception as error:  # noqa: BLE001 - the process ends with it
            self._stop.set(error)

    def _look(self, monitor: LagMonitor, pipeline: Pipeline) -> None:
        try:
            found = refusal(pipeline.judge(monitor.look()), self._settings.gateway.max_backlog_frames)
        except (Unavailable, KafkaFailure) as error:
            log.debug("what holds the pipeline back is not known", error=str(error))
            found = None
        if (found is None) != (self.refusal is None):
            log.warning("uploads are refused", why=found.detail) if found else log.info("uploads are taken again")
        self.refusal = found
