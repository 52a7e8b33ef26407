"""The replay lane's own stages on this machine: `sightline stream` and `sightline infer` as child processes."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.process import logs, supervise
from infra.process.lifecycle import Deadline, Stop
from infra.process.supervise import Child, ChildFailed
from infra.settings import home
from schemas.errors import SightlineError

log = logs.get(__name__)

READY_TIMEOUT_S = 300.0  # the first start ever also converts the model
STOP_S = 10.0
LOOK_S = 0.1
# The live lane's stages may run on this machine too: they come first wherever both want a core.
NICENESS = 15
# A name that the settings give to a live member or transaction is not taken over.
NO_NAMES = {
    "SIGHTLINE_STREAM__GROUP_INSTANCE_ID": "",
    "SIGHTLINE_INFER__GROUP_INSTANCE_ID": "",
    "SIGHTLINE_INFER__TRANSACTIONAL_ID": "",
}


class LaneStages:
    """Use as a context manager, from the main thread: inside the block both stages of the replay lane are ready.

    They have this process's settings and working directory; `model` overrules the setting `infer.model` for both, and
    `env` adds environment variables. Their output is in `logs_dir`, by default `replay/` in the state folder. They end
    with this process, even when it is killed.

    Entering raises ChildFailed, with its last lines, for a stage that ends or is not ready in time, and SightlineError
    when `stop` is set before that.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        env: Mapping[str, str] | None = None,
        stop: Stop | None = None,
        logs_dir: Path | None = None,
        ready_timeout_s: float = READY_TIMEOUT_S,
        niceness: int = NICENESS,
    ) -> None:
        self._model = ["--model", model] if model else []
        self._env = {**NO_NAMES, **(env or {})}
        self._stop, self._ready_timeout_s, self._niceness = stop or Stop(), ready_timeout_s, niceness
        self._logs = logs_dir or home() / "replay"
        self.children: list[Child] = []

    def __enter__(self) -> Self:
        try:
            for stage in ("infer", "stream"):
                words = [stage, "--lane", "replay", *self._model]
                self.children.append(Child(words, self._logs / f"{stage}.log", self._env, niceness=self._niceness))
            self._wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def check(self) -> None:
        """Raises ChildFailed, with its last lines, when a stage has ended."""
        for child in self.children:
            child.check()

    def close(self, timeout_s: float = STOP_S) -> None:
        """SIGTERM to both, SIGKILL to one that runs after `timeout_s`."""
        late = supervise.stop(self.children, timeout_s)
        self.children = []
        if late:
            log.warning("stages of the replay lane did not end in time and were killed", stages=late)

    def _wait_ready(self) -> None:
        deadline = Deadline(self._ready_timeout_s)
        while waiting := [f"{child.name}: {reason}" for child in self.children if (reason := child.not_ready())]:
            self.check()
            if deadline.expired():
                what = f"the replay lane is not ready after {self._ready_timeout_s:g} s ({'; '.join(waiting)})"
                raise ChildFailed(what)
            if self._stop.wait(LOOK_S):
                raise SightlineError("stopped before the replay lane's stages were ready")
