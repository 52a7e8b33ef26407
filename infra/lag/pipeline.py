"""What holds our own pipeline back: its groups, and what its processes say."""

from collections.abc import Sequence
from typing import Any

from infra.kafka.reader import Reader
from infra.kafka.schema_registry import registry_of
from infra.kafka.topics import Lane, group
from infra.lag.reports import GroupReport
from infra.lag.rules.bottleneck import Bottleneck
from infra.lag.rules.stages import SINK, judge_pipeline
from infra.process import logs
from infra.process.times import now_us
from infra.settings import Settings
from infra.status.statuses import StatusTopic
from schemas.errors import Unavailable
from schemas.records import ProcessStatus

log = logs.get(__name__)


class Pipeline:
    """Judges one lane of the pipeline; from one thread, with a reader of its own."""

    def __init__(self, settings: Settings, lane: Lane, reader: Reader) -> None:
        self._settings, self._lane = settings, lane
        self._topic = StatusTopic(settings, reader, registry_of(settings))
        self._told = ""
        # What the processes said at the last look.
        self.processes: list[ProcessStatus] | None = None

    def judge(self, reports: Sequence[GroupReport]) -> Bottleneck:
        """What holds the pipeline back now; `unknown` where what the processes say may not be read."""
        prefix, lane = self._settings.topic_prefix, self._lane
        groups = {stage: group(stage, prefix, lane) for stage in ("stream", "infer")}
        begin, end = group(SINK, prefix, lane).split(SINK)
        for report in reports:
            name = report.group.removeprefix(begin).removesuffix(end)
            if report.group.startswith(begin + SINK) and report.group.endswith(end):
                groups[name] = report.group
        self.processes = self._ask()
        return judge_pipeline(reports, groups, self.processes)

    def _ask(self) -> list[ProcessStatus] | None:
        try:
            return self._topic.look(now_us(), self._lane)
        except Unavailable as error:
            if str(error) != self._told:
                self._told = str(error)
                log.warning("what the processes say cannot be read", error=self._told)
            return None


def bottleneck_json(found: Bottleneck) -> dict[str, Any]:
    """The object `bottleneck` of `sightline lag --pipeline --json`. Its keys are a contract."""
    return {
        "stage": found.stage,
        "why": found.why,
        "waiting_frames": found.waiting_frames,
        "eta_s": found.eta_s,
    }
