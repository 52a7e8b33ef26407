"""Twenty RTSP cameras from real servers under chaos, on one agent. `make fleet MINUTES=10 MODEL=null`.

Round by round a server is killed, a port swallows everything, pictures freeze, and cameras.toml is edited. Prints one
JSON object. Exit code 1 when a camera was touched by what happened to another, was not back in time, a process was left
over, or a frame has no outcome.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from infra.process.ports import find_ports
from tests.faults.cluster import cluster as new_cluster
from tests.faults.rig import Rig
from tests.faults.rig import rig as new_rig
from tests.support.proxy import TcpProxy
from tests.support.rtsp_cameras import rtsp_camera

# Back-off of up to 5 s, opening and the first key frame, the reader's time-out behind a silent port.
BACK_WITHIN_S, AWAY_S, FROZEN_AFTER_S = 20.0, 12.0, 4.0
EACH, FPS = 5, 2.0
SETTINGS = {
    "SIGHTLINE_CAMERA__BACKOFF_MAX_MS": "5000",
    "SIGHTLINE_CAMERA__FROZEN_AFTER_MS": str(int(FROZEN_AFTER_S * 1000)),
}
KINDS = ("killed", "held", "frozen", "edited")
FRAMES, RECONNECTS = "sightline_source_frames_published_total", "sightline_camera_reconnects_total"


class Servers:
    """One RTSP server for each kind of harm, with EACH cameras on it."""

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self.ports = dict(zip(KINDS, find_ports(len(KINDS)), strict=True))
        self.freeze_file = folder / "frozen"
        closing.callback(self.kill)
        self.start_killed()
        # Equal pictures are equal bytes in motion JPEG alone.
        closing.enter_context(
            rtsp_camera("--codec", "jpeg", "--freeze-file", str(self.freeze_file), port=self.ports["frozen"])
        )
        closing.enter_context(rtsp_camera(port=self.ports["edited"]))
        [behind] = find_ports(1)
        closing.enter_context(rtsp_camera(port=behind))
        self.proxy = closing.enter_context(TcpProxy(behind, self.ports["held"]))

    def start_killed(self) -> None:
        self._killed = ExitStack()
        self._killed.enter_context(rtsp_camera(port=self.ports["killed"]))

    def kill(self) -> None:
        self._killed.close()

    def cameras(self) -> dict[str, str]:
        return {
            f"{kind}-{number}": f"rtsp://127.0.0.1:{self.ports[kind]}/cam" for kind in KINDS for number in range(EACH)
        }


class Chaos:
    """The rounds, and the promises that were broken in them."""

    def __init__(self, rig: Rig, servers: Servers, file: Path) -> None:
        self.rig, self.servers, self.file = rig, servers, file
        self.faults: list[str] = []
        self.back_s: dict[str, float] = {}

    def write(self, cameras: dict[str, str], more: str = "", fps: dict[str, float] | None = None) -> None:
        """In place of the file, by a rename, as editors and configuration tools do it."""
        made = self.file.with_suffix(".new")
        rates = fps or {}
        made.write_text(
            "".join(
                f'[[camera]]\nid = "{name}"\nsource = "{source}"\nfps = {rates.get(name, FPS):g}\n'
                for name, source in cameras.items()
            )
            + more
        )
        made.replace(self.file)

    def metric(self, name: str, source_id: str) -> int:
        return int(self.rig.keepers["camera"].current.metric(name, source_id=source_id))

    def status(self) -> dict[str, dict[str, object]]:
        """What `sightline camera status` says."""
        rows = json.loads(self.rig.run("camera", "status", "--json").stdout)
        return {row["source_id"]: row for row in rows}

    def await_frames(self, what: str, names: Sequence[str]) -> None:
        """Until each camera has published three frames more; too late is a fault."""
        began_s, before = time.monotonic(), {name: self.metric(FRAMES, name) for name in names}
        self._until(
            f"{what}: frames of all {len(names)} cameras",
            lambda: all(self.metric(FRAMES, name) >= before[name] + 3 for name in names),
        )
        self.back_s[what] = max(self.back_s.get(what, 0.0), round(time.monotonic() - began_s, 1))

    def harm(self, what: str, touched: Sequence[str], others: Sequence[str], do: Callable[[], None]) -> None:
        """Do it, and see that the others go on and are not opened again."""
        before = {name: self.metric(RECONNECTS, name) for name in others}
        do()
        self.await_frames(f"{what}, the others", others)
        self.rig.wait(AWAY_S)
        changed = [name for name in others if self.metric(RECONNECTS, name) != before[name]]
        if changed:
            self.faults.append(f"{what}: opened again although nothing happened to them: {changed}")
            print(self.rig.keepers["camera"].last_words(), file=sys.stderr)

    def round(self) -> None:
        cameras = self.servers.cameras()
        of = {kind: [name for name in cameras if name.startswith(kind)] for kind in KINDS}

        def others(kind: str) -> list[str]:
            return [name for name in cameras if name not in of[kind]]

        self.harm("server killed", of["killed"], others("killed"), self.servers.kill)
        self.servers.start_killed()
        self.await_frames("server killed", of["killed"])

        self.harm("port held", of["held"], others("held"), self.servers.proxy.hold)
        self.servers.proxy.restore()
        self.await_frames("port held", of["held"])

        self.harm("pictures frozen", [], list(cameras), self.servers.freeze_file.touch)
        self._until("frozen cameras told", lambda: self._states(of["frozen"]) == {"frozen"})
        self.servers.freeze_file.unlink()
        self._until("frozen cameras up again", lambda: self._states(of["frozen"]) == {"up"})
        self._edit(cameras, of["edited"])

    def _edit(self, cameras: dict[str, str], edited: Sequence[str]) -> None:
        gone, changed = edited[0], edited[1]
        untouched = [name for name in cameras if name not in (gone, changed)]
        new = {name: source for name, source in cameras.items() if name != gone} | {"new": cameras[changed]}

        def edit() -> None:
            self.write(new, fps={changed: 4.0})

        self.harm("file edited", [changed, "new"], untouched, edit)
        self.await_frames("file edited", [changed, "new"])
        self._until("removed camera gone", lambda: gone not in self.status())
        self.harm("wrong edit", [], untouched, lambda: self.write(new, "[[camera]]\nid = 3\n", {changed: 4.0}))
        self.write(cameras)
        self.await_frames("file as it was", list(cameras))

    def _states(self, names: Sequence[str]) -> set[object]:
        status = self.status()
        return {status[name]["state"] if name in status else None for name in names}

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        until_s = time.monotonic() + BACK_WITHIN_S
        while not condition():
            if time.monotonic() > until_s:
                self.faults.append(f"not within {BACK_WITHIN_S:g} s: {what}")
                return
            self.rig.wait(0.25)


def fleet(rig: Rig, minutes: float, model: str, folder: Path) -> Chaos:
    """Rounds of chaos for so long, at least one; then everything is counted."""
    rig.start_stages(model)
    with ExitStack() as closing:
        servers = Servers(folder, closing)
        chaos = Chaos(rig, servers, folder / "cameras.toml")
        chaos.write(servers.cameras())
        rig.keep("camera", "camera", "--config", str(chaos.file), ready=False, **SETTINGS).wait_ready()
        chaos.await_frames("start", list(servers.cameras()))
        until_s = time.monotonic() + minutes * 60
        rounds = 0
        while not rounds or time.monotonic() < until_s:
            chaos.round()
            rounds += 1
        with no_process_left(rig, chaos.faults):
            rig.keepers["camera"].stop()
    chaos.faults += [f"{keeper.name} ended by itself" for keeper in rig.keepers.values() if keeper.ended_by_itself]
    try:
        rig.settle()
    except AssertionError as error:
        chaos.faults.append(str(error))
    return chaos


@contextmanager
def no_process_left(rig: Rig, faults: list[str]) -> Iterator[None]:
    children = psutil.Process(rig.keepers["camera"].pid).children(recursive=True)
    yield
    _, alive = psutil.wait_procs(children, 5.0)
    faults += [f"left over: {process}" for process in alive]


def main() -> int:
    parser = argparse.ArgumentParser(prog="fleet", description="Twenty RTSP cameras under chaos, and the count.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", default="null")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    words = parser.parse_args()
    # SIGTERM ends the run as Ctrl-C does, so that everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="sightline-fleet-") as folder,
        new_cluster(Path(folder), random.Random(words.seed)) as cluster,
        new_rig(f"20 RTSP cameras, {words.minutes:g} min of chaos", cluster, words.seed) as rig,
    ):
        chaos = fleet(rig, words.minutes, words.model, Path(folder))
        frames = rig.ledger.written if rig.ledger else 0
    print(json.dumps({"frames": frames, "back_s": chaos.back_s, "ok": not chaos.faults, "faults": chaos.faults}))
    return 1 if chaos.faults else 0


if __name__ == "__main__":
    sys.exit(main())
