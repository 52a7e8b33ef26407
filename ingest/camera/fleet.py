"""The feeds of an agent, which change while it runs: cameras are added, changed and removed by editing a file."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, overload

from infra.process import camera_metrics, logs
from infra.process.lifecycle import Stop
from ingest.camera.feed import Feed
from ingest.camera.spec import CameraSpec
from ingest.sources.files import NOTHING_LEFT_OUT

log = logs.get(__name__)

LOOK_EVERY_S = 0.5
# The last frames of a removed camera are acknowledged by then, and set none of its series again.
FORGET_AFTER_S = 10.0
JOIN_S = 5.0


class MakeFeed(Protocol):
    """Makes a feed that is not started yet; it begins once `after`, an earlier one of the same camera, has ended."""

    def __call__(self, spec: CameraSpec, stop: Stop, after: Feed | None) -> Feed: ...


class SourceBook(Protocol):
    """What has to know which sources there are: the buffer."""

    def add_source(self, source_id: str, live: bool) -> None: ...

    def remove_source(self, source_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Change:
    """The ids of the cameras that a new list adds, changes and removes."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def change_between(old: Sequence[CameraSpec], new: Sequence[CameraSpec]) -> Change:
    """What makes the new list of the old one. Which files of a folder are left out is no change of its camera."""
    before, after = ({spec.source_id: _settled(spec) for spec in specs} for specs in (old, new))
    return Change(
        tuple(name for name in after if name not in before),
        tuple(name for name, spec in after.items() if name in before and before[name] != spec),
        tuple(name for name in before if name not in after),
    )


def _settled(spec: CameraSpec) -> CameraSpec:
    return replace(spec, source=replace(spec.source, others=NOTHING_LEFT_OUT, closed=NOTHING_LEFT_OUT))


class Fleet(Sequence[Feed]):
    """The feeds that run, as a sequence for any thread. Use as a context manager, which stops them at its end.

    `look` is called every LOOK_EVERY_S in a thread of the fleet; the cameras that it returns replace the present ones.
    A camera that is the same in both is not touched. The error of a feed ends the agent.
    """

    def __init__(
        self,
        make_feed: MakeFeed,
        sources: SourceBook,
        stop: Stop,
        look: Callable[[], Sequence[CameraSpec] | None] = lambda: None,
    ) -> None:
        self._make_feed, self._sources, self._stop, self._look = make_feed, sources, stop, look
        self._feeds: tuple[Feed, ...] = ()
        self._stops: dict[str, Stop] = {}
        self._leaving: dict[str, Feed] = {}
        self._forget_at_s: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    @overload
    def __getitem__(self, index: int) -> Feed: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Feed]: ...

    def __getitem__(self, index: Any) -> Any:
        return self._feeds[index]

    def __len__(self) -> int:
        return len(self._feeds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for stop in self._stops.values():
            stop.set()
        for feed in (*self._feeds, *self._leaving.values()):
            feed.join(JOIN_S)
        self._pass_on_errors()

    def apply(self, specs: Sequence[CameraSpec]) -> Change:
        """Let exactly these cameras run. For one thread: the caller of the start, then that of the fleet."""
        old = {feed.spec.source_id: feed for feed in self._feeds}
        change = change_between([feed.spec for feed in self._feeds], specs)
        feeds = []
        for spec in specs:
            name = spec.source_id
            touched = name in change.added or name in change.changed
            feeds.append(self._started(spec, old.get(name) or self._leaving.pop(name, None)) if touched else old[name])
        self._feeds = tuple(feeds)
        for name in change.removed:
            self._stops.pop(name).set()
            self._leaving[name] = old[name]
        return change

    def _started(self, spec: CameraSpec, after: Feed | None) -> Feed:
        name = spec.source_id
        self._sources.add_source(name, spec.source.live)
        self._forget_at_s.pop(name, None)
        if name in self._stops:
            self._stops[name].set()
        stop = self._stops[name] = Stop()
        feed = self._make_feed(spec, stop, after)
        feed.start()
        return feed

    def _run(self) -> None:
        try:
            while not self._stop.wait(LOOK_EVERY_S):
                specs = self._look()
                if specs is not None:
                    change = self.apply(specs)
                    log.info("cameras changed", added=change.added, changed=change.changed, removed=change.removed)
                self._tend()
        except BaseException as error:  # noqa: BLE001 - a defect: the agent ends with it
            self._stop.set(error)
        for stop in tuple(self._stops.values()):
            stop.set()

    def _tend(self) -> None:
        """Forget the removed cameras that have ended, and end the agent with the error of a feed."""
        for name, feed in list(self._leaving.items()):
            if not feed.is_alive():
                del self._leaving[name]
                self._sources.remove_source(name)
                self._forget_at_s[name] = time.monotonic() + FORGET_AFTER_S
        for name in [name for name, at_s in self._forget_at_s.items() if time.monotonic() >= at_s]:
            del self._forget_at_s[name]
            camera_metrics.forget_source(name)
        self._pass_on_errors()

    def _pass_on_errors(self) -> None:
        error = next((stop.error for stop in self._stops.values() if stop.error is not None), None)
        if error is not None:
            self._stop.set(error)
