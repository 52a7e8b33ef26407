"""The process of a sink, from start to stop. Every `sightline sink ...` command runs it.

labels -> group consumer -> micro-batch -> repeats left out -> the sink -> commit
                                       └-> labels.dead, for labels that can never be stored
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from infra.failures.breaker import Breaker
from infra.failures.unknown_versions import VersionGuard
from infra.kafka.api_versions import knows_kip_848
from infra.kafka.consumer import CommitReport, GroupConsumer
from infra.kafka.groups import GroupProgress
from infra.kafka.membership import Membership
from infra.kafka.own_partitions import OwnPartitionsWatch
from infra.kafka.publisher import Publisher
from infra.kafka.schema_registry import registry_of
from infra.kafka.start_checks import require_topics
from infra.kafka.statistics import lag_offsets, stands_by
from infra.kafka.topic_admin import log_id
from infra.kafka.topic_ids import TopicIds, read_topic_ids
from infra.kafka.topic_watch import TopicWatch
from infra.kafka.topics import Lane, TopicNames, group
from infra.process import logs, metrics, tracing
from infra.process.health import HealthServer
from infra.process.lifecycle import STOP_BUDGET_S, Deadline, Stop, StopBudget, print_end
from infra.process.memory import give_back_now_and_then
from infra.settings import Settings
from infra.status.reporter import Doing, reporting
from schemas.errors import Busy, SightlineError, Stalled
from sinks.base.contract import Sink
from sinks.base.dead import DeadLabels
from sinks.base.flusher import Flusher
from sinks.base.loop import SinkLoop

log = logs.get(__name__)

# Parts of the stop budget: for leaving the consumer group, and for the end of the interpreter.
LEAVE_S, EXIT_S = 2.0, 1.0
LONGEST_TURN_S = 60.0


def serve(settings: Settings, sink: Sink, lane: Lane, stop: Stop) -> None:
    """Run the sink until `stop` is set. The target is opened before the group is joined, however long that takes."""
    names = TopicNames.for_lane(settings.topic_prefix, lane)
    group_id = group(f"sink-{sink.name}", settings.topic_prefix, lane)
    require_topics(settings, reads=[names.labels], writes=[names.labels_dead], groups={group_id: names.labels})
    give_back_now_and_then()
    end_in_time(stop)
    status = Status(stop)
    # Before the target is opened, which can take long: what is made again meanwhile ends the process.
    topic_ids = read_topic_ids(settings, [names.labels])
    health = HealthServer(settings.http, status.live, status.ready, labels={"lane": lane})
    traces = tracing.running(settings.tracing, f"sightline-sink-{sink.name}")
    with traces, health, TopicWatch(settings, topic_ids, stop.set):
        try:
            if wait_for_target(sink, log_id(settings, names.labels), status, stop):
                status.member = SinkMember(settings, sink, lane, names, topic_ids)
                with status.member.reporting(lane, health), status.member.own_partitions():
                    status.member.run(stop)
        except BaseException as error:  # noqa: BLE001 - raised below, after everything is closed
            stop.set(error)
        finally:
            close(sink, status.member, stop)
    stop.raise_error()


def wait_for_target(sink: Sink, topic_log_id: str, status: "Status", stop: Stop) -> bool:
    """Open the target. False when `stop` is set before the target is open."""
    while not stop.is_set():
        try:
            sink.setup(topic_log_id)
            return True
        except Busy as busy:
            status.on_target_busy(sink.name, busy)
            stop.wait(busy.retry_after_s)
    return False


@dataclass(slots=True)
class Status:
    """The answers of the health probes."""

    stop: Stop
    member: "SinkMember | None" = None
    waiting: str = "the target is being opened"

    def live(self) -> str | None:
        if self.stop.error is not None:
            return str(self.stop.error) or type(self.stop.error).__name__
        return self.member.stuck() if self.member else None

    def ready(self) -> str | None:
        if self.stop.is_set():
            return "stopping"
        return self.member.loop.waiting_for() if self.member else self.waiting

    def on_target_busy(self, name: str, busy: Busy) -> None:
        waiting = f"waiting for the target: {busy}"
        if waiting != self.waiting:
            log.warning("the target cannot be opened yet", sink=name, reason=str(busy))
        self.waiting = waiting


class SinkMember:
    """One member of the consumer group and its sink, which is open."""

    def __init__(self, settings: Settings, sink: Sink, lane: Lane, names: TopicNames, topic_ids: TopicIds) -> None:
        self._settings, self._name, self._topic = settings, sink.name, names.labels
        self._publisher = Publisher(settings)
        self._progress = progress = GroupProgress[None]()
        self._group = group(f"sink-{sink.name}", settings.topic_prefix, lane)
        self._consumer = GroupConsumer(
            settings,
            self._group,
            # The classic protocol, which every broker speaks, unless [kafka.consumer] asks for KIP-848.
            membership=Membership(
                session_timeout_ms=settings.sink.session_timeout_ms, group_instance_id=settings.sink.group_instance_id
            ),
            on_commit=self._on_commit,
            on_statistics=self._on_statistics,
            forced={"auto.offset.reset": "error"},  # `start_positions` decides where to start
            tables="kafka.client, kafka.consumer or sink",
            topic_ids=topic_ids,
            knows_kip_848=partial(knows_kip_848, settings),
        )
        flusher = Flusher(
            sink,
            progress,
            DeadLabels(self._publisher, names.labels_dead, f"sink-{sink.name}"),
            Breaker(settings.breaker),
            VersionGuard("this sink", settings.sink.pass_over),
            settings.sink.repeat_window_offsets,
            registry_of(settings),
        )
        self.loop = SinkLoop(self._consumer, names.labels, sink, flusher, progress, settings.sink, group=self._group)

    def reporting(self, lane: Lane, health: HealthServer) -> AbstractContextManager[None]:
        """Tells what this process does while it runs."""
        return reporting(self._settings, f"sink-{self._name}", lane, self._publisher, self._doing, health)

    def own_partitions(self) -> OwnPartitionsWatch:
        """Shows lag and times of the member's partitions in the metrics while it runs."""
        return OwnPartitionsWatch.of(self._settings, self._group, self._topic, self._progress)

    def run(self, stop: Stop) -> None:
        self.loop.run(stop)

    def _doing(self) -> Doing:
        return Doing(produce_wait_ms=self._publisher.produce_wait_ms())

    def stuck(self) -> str | None:
        """Why the process is not alive: a call of the target blocks the loop. None while the loop runs."""
        turn_s = time.monotonic() - self.loop.turned_s
        return f"one call of the target has taken {turn_s:.0f} s" if turn_s > LONGEST_TURN_S else None

    def flush(self, deadline: Deadline) -> None:
        self.loop.close(deadline)

    def leave(self, deadline: Deadline) -> bool:
        """Leave the consumer group. False when that did not finish in time."""
        self.loop.is_closing = True
        has_left = self._consumer.close_within(deadline)
        self._publisher.close(deadline.remaining_s())
        return has_left

    def _on_commit(self, report: CommitReport) -> None:
        self.loop.on_commit(report)

    def _on_statistics(self, statistics: str) -> None:
        metrics.SINK_LAG.labels(self._name).set(lag_offsets(statistics, self._topic))
        if not self.loop.has_joined and stands_by(statistics):
            self.loop.has_joined = True
            log.info("the consumer group has no partition for this process: standing by")


def close(sink: Sink, member: SinkMember | None, stop: Stop) -> None:
    """Flush and commit unless an error occurred, release the target and leave the group, within the stop budget."""
    has_failed = stop.error is not None
    stop.set()
    budget = StopBudget(stop, STOP_BUDGET_S - EXIT_S)
    log.info("stopping")
    steps: list[Callable[[], None]] = [sink.close]
    if member is not None and not has_failed:
        steps.insert(0, lambda: member.flush(Deadline(budget.at_most_s(STOP_BUDGET_S, LEAVE_S))))
    for step in steps:
        try:
            step()
        except SightlineError as error:
            stop.set(error)
    if member is not None and not member.leave(Deadline(budget.remaining_s())):
        # A client thread that waits for a broker can keep the interpreter from ending.
        os._exit(print_end(stop.error))


def end_in_time(stop: Stop) -> None:
    """Start a thread that ends the process when the stop budget is over, even if a call of the target hangs.

    Labels that are not committed then are read again by the next process.
    """

    def run() -> None:
        stop.wait()
        time.sleep(STOP_BUDGET_S)
        stop.set(
            Stalled(
                "the target did not finish in time; labels that were not committed are stored again at the next start"
            )
        )
        os._exit(print_end(stop.error))

    threading.Thread(target=run, name="stop-budget", daemon=True).start()
