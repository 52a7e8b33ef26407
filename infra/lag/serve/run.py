"""`sightline lag --serve`: look, judge, remember, tell; until the process is asked to end."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from infra.kafka.clients import bootstrap
from infra.kafka.commit_log import OFFSETS_TOPIC, commit_record
from infra.kafka.reader import Reader
from infra.lag.monitor import LagMonitor
from infra.lag.notify.notifier import Notifier
from infra.lag.pipeline import Pipeline
from infra.lag.serve.exporter import Seen
from infra.lag.serve.served import Served
from infra.process import logs
from infra.process.health import HealthServer
from infra.process.lifecycle import Stop
from infra.settings import Settings
from schemas.errors import SightlineError

log = logs.get(__name__)

# After the log of commits could not be read, it is tried again.
AGAIN_S = 30.0


def serve(settings: Settings, monitor: LagMonitor, stop: Stop) -> None:
    """Serve until `stop`. An outage of the cluster is told and survived; a notifier that fails stops nothing."""
    lag = settings.lag
    served = Served(lag.cluster, monitor.store, bootstrap(settings).split(","), lag.families, lag.look_interval_s)
    with ExitStack() as closing:
        closing.enter_context(HealthServer(settings.http, ready=served.ready, answer=served.answer))
        notifier = closing.enter_context(Notifier(lag.notify, lag.cluster))
        pipeline = Pipeline(settings, "live", closing.enter_context(Reader(settings)))
        commits = _CommitFollower(settings, monitor.looks_at, served, stop)
        while not stop.is_set():
            began_s = time.monotonic()
            try:
                seen = _look(monitor, pipeline, served.locked(), lag.cluster, commits.reads)
            except SightlineError as error:
                log.warning("the cluster was not looked at", error=str(error))
                served.failed(str(error))
            else:
                served.update(seen, pipeline.processes or ())
                notifier.tell(seen.reports, time.time(), seen.bottleneck)
                commits.start()
            stop.wait(max(0.0, lag.look_interval_s - (time.monotonic() - began_s)))


def _look(
    monitor: LagMonitor, pipeline: Pipeline, lock: threading.Lock, cluster: str, reads_commits: threading.Event
) -> Seen:
    began_s = time.monotonic()
    look = monitor.ask()
    with lock:
        monitor.add(look, takes_commits=not reads_commits.is_set())
    reports = monitor.judge(look)
    bottleneck = pipeline.judge(reports)
    return Seen(cluster, look, reports, monitor.store, time.monotonic() - began_s, bottleneck)


class _CommitFollower:
    """Reads the cluster's own log of commits, in a thread, where this user may: Burrow's states are exact then.

    `reads` is set while it does; until then, and without the right, commits are taken from the looks.
    """

    def __init__(
        self,
        settings: Settings,
        looks_at: Callable[[str], bool],
        served: Served,
        stop: Stop,
    ) -> None:
        self._settings, self._looks_at, self._served, self._stop = settings, looks_at, served, stop
        self.reads = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, once: a commit on a topic whose end is not known would be dropped, so a look comes first."""
        if self._thread is None and self._settings.lag.reads_commits:
            self._thread = threading.Thread(target=self._run, name="commit-log", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except SightlineError as error:
                log.info("the log of commits is not read: states of Burrow go by looks", error=str(error))
            self.reads.clear()
            self._stop.wait(AGAIN_S)

    def _follow(self) -> None:
        with Reader(self._settings) as reader:
            for record in reader.follow(reader.spans(OFFSETS_TOPIC)):
                if self._stop.is_set():
                    return
                if record is None:
                    continue
                self._served.commits_begin(self.reads)
                try:
                    found = commit_record(record.key, record.value, record.offset)
                except ValueError as error:
                    log.warning("a commit is left out", error=str(error))
                    continue
                if found is not None and self._looks_at(found.group):
                    self._served.commit_seen(found)
