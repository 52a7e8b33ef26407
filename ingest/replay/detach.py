"""Leaves a replay to a process of its own, which no terminal ends."""

import socket
from collections.abc import Sequence

from infra.process.children import environment, module_command
from infra.process.daemons import last_lines, spawn
from infra.process.lifecycle import Stop
from infra.replay.progress import progress_topic
from infra.settings import Settings, home
from infra.settings.places import config_file
from schemas.errors import SightlineError
from schemas.replays import ReplayProgress

LOOK_S = 0.2


def resume_detached(settings: Settings, replay_id: str, options: Sequence[str], stop: Stop) -> ReplayProgress:
    """`sightline replay resume` in the background, its output in `replay/<id>.log` of the state folder.

    Returns once that process runs the replay. Raises SightlineError, with its last lines, when it ends before; a stop
    ends the wait alone.
    """
    log = home() / "replay" / f"{replay_id}.log"
    places = {"SIGHTLINE_HOME": str(home())}
    if config_file().is_file():
        places["SIGHTLINE_CONFIG"] = str(config_file().absolute())
    command = module_command("infra.cli", "replay", "resume", replay_id, *options)
    child = spawn(command, replay_id, log, {**environment(), **places})
    process = f"{socket.gethostname()}/{child.pid}"
    with progress_topic(settings) as topic:
        while True:
            is_alive = child.alive()
            found = topic.look().progress.get(replay_id)
            if found is not None and found.process == process:
                return found
            if not is_alive:
                raise SightlineError(f"the replay {replay_id} does not go on in the background: {last_lines(log)}")
            if stop.wait(LOOK_S):
                raise SightlineError(
                    f"the replay {replay_id} is not seen to run yet: process {child.pid} goes on with it in the "
                    f"background, its output is in {log}"
                )
