"""When an incident of a group opens, is told again, and closes. Pure, with time as an argument."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from infra.kafka.listed import matches
from infra.lag.reports import GroupReport
from infra.lag.rules.status import LagStatus
from infra.settings import NotifySettings

# What is told at once: a cluster that fails as a whole does not make a message for each of ten thousand groups.
MAX_EVENTS = 100


class EventKind(StrEnum):
    OPEN = "open"
    AGAIN = "again"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell. `incident_id` is the same from its opening to its close; `began_s`: since 1970.

    `bottleneck`: what holds the pipeline back, where the group is one of ours and that is known.
    """

    kind: EventKind
    incident_id: str
    began_s: float
    report: GroupReport
    bottleneck: str = ""


@dataclass(slots=True)
class _Incident:
    incident_id: str
    began_s: float
    told_s: float
    fine_since_s: float | None = None
    worst: LagStatus = field(default=LagStatus.OK)


def new_id() -> str:
    return str(uuid.uuid4())


class Incidents:
    """The open incidents of one way of telling, as its settings say."""

    def __init__(self, settings: NotifySettings, make_id: Callable[[], str] = new_id) -> None:
        self._settings, self._make_id = settings, make_id
        self._threshold = LagStatus[settings.threshold]
        self._open: dict[str, _Incident] = {}

    def look(self, reports: Sequence[GroupReport], now_s: float) -> list[Event]:
        """What there is to tell after a look. A group that the look does not have any more keeps its incident."""
        return list(islice(self._events(reports, now_s), MAX_EVENTS))

    def _events(self, reports: Sequence[GroupReport], now_s: float) -> Iterator[Event]:
        for report in reports:
            if not matches(report.group, self._settings.include, self._settings.exclude):
                continue
            incident = self._open.get(report.group)
            if report.status >= self._threshold:
                yield from self._bad(report, incident, now_s)
            elif incident is not None and report.status is LagStatus.OK:
                yield from self._fine(report, incident, now_s)

    def _bad(self, report: GroupReport, incident: _Incident | None, now_s: float) -> Iterator[Event]:
        """A worse state is told at once, the same one after `repeat_s`, unless it is told only once."""
        if incident is None:
            incident = _Incident(self._make_id(), now_s, now_s, worst=report.status)
            self._open[report.group] = incident
            yield Event(EventKind.OPEN, incident.incident_id, now_s, report)
            return
        incident.fine_since_s = None
        is_due = self._settings.repeat_s and now_s - incident.told_s >= self._settings.repeat_s
        if is_due or report.status > incident.worst:
            incident.told_s, incident.worst = now_s, max(incident.worst, report.status)
            yield Event(EventKind.AGAIN, incident.incident_id, incident.began_s, report)

    def _fine(self, report: GroupReport, incident: _Incident, now_s: float) -> Iterator[Event]:
        """An incident closes after a while, so that a group on the edge makes one incident and not many."""
        incident.fine_since_s = now_s if incident.fine_since_s is None else incident.fine_since_s
        if now_s - incident.fine_since_s < self._settings.close_after_s:
            return
        del self._open[report.group]
        if self._settings.send_close:
            yield Event(EventKind.CLOSE, incident.incident_id, incident.began_s, report)
