"""The brake: a replay gives way to the live lane. `Brake` is the rule, `LiveLag` looks, `BrakeWatch` does both."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from infra.lag.monitor import LagMonitor, stage_groups
from infra.lag.reports import GroupReport
from infra.lag.rules.status import LagStatus
from infra.process import logs
from infra.process.watch_thread import WatchThread
from infra.settings import Settings
from schemas.errors import SightlineError

log = logs.get(__name__)

# A live lane that keeps up is 1 to 2 s behind: its stages commit every 0.5 and 1 s, and a look takes a while.
SLOW_S, WAIT_S, GO_ON_S = 4.0, 15.0, 3.0
# For so long the live lane has to keep up before the rate rises again, each time.
CALM_S = 4.0
# The slowest rate before the replay waits.
MIN_FACTOR = 1 / 16
LOOK_S = 2.0
# A watch that has not looked for so long does not know, and does not hold the replay up.
STALE_S = 30.0


@dataclass(frozen=True, slots=True)
class LiveState:
    """How far the live lane is behind. `lag_s` None: not known, and `why` says it in a sentence."""

    lag_s: float | None
    group: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Braking:
    """`factor` of the wanted rate: 1 is the full rate, 0 is waiting. `reason`: a sentence, empty at full rate."""

    factor: float = 1.0
    reason: str = ""


FULL_RATE = Braking()


class Brake:
    """From the live lane's lag to a share of the wanted rate. Pure.

    Above SLOW_S each look halves the rate, down to MIN_FACTOR; above WAIT_S the replay waits. Below GO_ON_S the rate
    doubles every CALM_S until it is whole. In between nothing changes, so that the rate does not swing.
    """

    def __init__(self) -> None:
        self._factor = 1.0
        self._calm_since_s: float | None = None

    def update(self, live: LiveState, now_s: float) -> Braking:
        """`now_s`: of the monotonic clock. A lag that is not known holds nothing up."""
        if live.lag_s is None:
            self._factor, self._calm_since_s = 1.0, None
            return FULL_RATE
        if live.lag_s >= GO_ON_S:
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s
        elif now_s - self._calm_since_s >= CALM_S:
            self._factor, self._calm_since_s = min(1.0, max(MIN_FACTOR, 2 * self._factor)), now_s
        if live.lag_s >= WAIT_S:
            self._factor = 0.0
        elif live.lag_s >= SLOW_S and self._factor > 0:
            self._factor = max(MIN_FACTOR, self._factor / 2)
        return Braking(self._factor, self._reason(live))

    def _reason(self, live: LiveState) -> str:
        if self._factor >= 1.0:
            return ""
        what = f"runs at {self._factor:.0%} of its rate" if self._factor else "waits"
        return f"the replay {what}: the live lane's {live.group} is {live.lag_s:.0f} s behind"


def live_state(reports: Sequence[GroupReport]) -> LiveState:
    """The worst of the live groups that have members. Pure.

    A group without members is not held up by a replay, and waiting for it could last for ever. A group is as far behind
    as its oldest unread record is old, but no further than the time in which so many records come: a camera whose clock
    is hours behind makes its frames look that old.
    """
    running = [one for one in reports if one.status is not LagStatus.NOTFOUND and one.members != 0]
    if not running:
        causes = [f"{one.group} {one.cause or 'has no members'}" for one in reports]
        return LiveState(None, why=f"no live stage is seen ({'; '.join(causes)})")
    known = [(behind_s, one.group) for one in running if (behind_s := _behind_s(one)) is not None]
    if not known:
        return LiveState(None, why="the lag of the live lane is not known yet")
    return LiveState(*max(known))


def _behind_s(report: GroupReport) -> float | None:
    if report.total_lag == 0:
        return 0.0
    backlog_s = report.total_lag / report.written_per_s if report.written_per_s > 0 else None
    return min((one for one in (report.lag_s, backlog_s) if one is not None), default=None)


class LiveLag:
    """Looks at the live groups as the lag monitor does: Describe rights, no group joined. From one thread.

    Use as a context manager. What keeps it from seeing the lag is logged once, and again after a change.
    """

    def __init__(self, settings: Settings) -> None:
        groups = stage_groups(settings.topic_prefix, "live")
        self._monitor = LagMonitor(settings, include=list(groups), expected=groups)
        self._told = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._monitor.__exit__()

    def look(self) -> LiveState:
        """Raises nothing for a cluster that does not answer or does not tell: the lag is then not known."""
        try:
            state = live_state(self._monitor.look())
        except SightlineError as error:
            state = LiveState(None, why=str(error))
        if state.why and state.why != self._told:
            log.warning("the replay does not give way to the live lane", why=state.why)
        self._told = state.why
        return state


class BrakeWatch(WatchThread):
    """Looks every LOOK_S in a thread of its own; `now` is what the replay should do. Use as a context manager."""

    def __init__(self, settings: Settings, look_s: float = LOOK_S) -> None:
        super().__init__("brake", self._look_on)
        self._settings, self._look_s = settings, look_s
        self._braking, self._looked_s = FULL_RATE, time.monotonic()

    def now(self) -> Braking:
        """For any thread. Raises what ended the watch, which is a defect."""
        self.check()
        stale = time.monotonic() - self._looked_s > STALE_S
        return FULL_RATE if stale else self._braking

    def _look_on(self, closing: threading.Event) -> None:
        brake = Brake()
        with LiveLag(self._settings) as live:
            while not closing.is_set():
                self._braking = brake.update(live.look(), time.monotonic())
                self._looked_s = time.monotonic()
                closing.wait(self._look_s)
