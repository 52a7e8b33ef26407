"""`sightline replay list|status|pause|cancel|delete`: what becomes of replays, and what they are told."""

import json
from dataclasses import replace
from typing import Annotated

import typer

from infra.commands.options import JsonOption
from infra.kafka.lanes import settings_of_lane
from infra.kafka.reader import Reader
from infra.kafka.schema_registry import registry_of
from infra.kafka.start_checks import require_topics
from infra.kafka.topics import TopicNames
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.process.times import now_us
from infra.replay.answers import AnswerCounter, labels_of
from infra.replay.progress import forget_records, known, progress_topic, read, read_all, request_record, write
from infra.settings import Settings, load_settings
from ingest.replay.control import is_silent, wait_for_state
from ingest.replay.lane_writer import LaneWriter
from ingest.replay.screen import Screen
from ingest.replay.text import describe, progress_json, table
from schemas.errors import SightlineError
from schemas.replays import ReplayAction, ReplayProgress, ReplayState

LOOK_S = 1.0
# A copier looks every second, and then ends its transaction.
ANSWER_S = 20.0

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The id of the replay.")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Show the progress until the replay ends, or Ctrl-C.")]


def list_command(*, as_json: JsonOption = False) -> None:
    """List all replays, the newest first. With --json one array; labels are counted by `status`."""
    found = sorted(read_all(_settings()).values(), key=lambda one: -one.started_at)
    if as_json:
        print(json.dumps([progress_json(one) for one in found]))
    else:
        print(table(found) if found else "there is no replay")


def status_command(replay_id: IdArgument, *, watch: WatchOption = False, as_json: JsonOption = False) -> None:
    """Show how far a replay is: frames copied, labels and dead letters, gaps.

    --watch ends with the replay. Leaving it with Ctrl-C changes nothing.
    """
    settings = _settings()
    if watch:
        _watch(settings, replay_id, Stop().install())
    progress = read(settings, replay_id)
    counts = labels_of(settings, progress)
    if as_json:
        print(json.dumps(progress_json(progress, counts.labels, counts.dead)))
    else:
        print(describe(progress, counts.labels, counts.dead))
        if progress.state.is_running and is_silent(progress, now_us()):
            print(f"its copier is silent: `sightline replay resume {replay_id}` goes on, `cancel` gives it up")


def pause_command(replay_id: IdArgument) -> None:
    """Pause a replay. What it has copied stays, and `resume` goes on behind it, also after weeks."""
    _ask(replay_id, ReplayAction.PAUSE, ReplayState.PAUSED)


def cancel_command(replay_id: IdArgument) -> None:
    """End a replay for good. What it has copied stays on the lane, and is labelled."""
    _ask(replay_id, ReplayAction.CANCEL, ReplayState.ABORTED)


def delete_command(replay_id: IdArgument) -> None:
    """Forget a replay that does not run. Its copies and labels stay until retention removes them."""
    settings = _settings()
    progress = read(settings, replay_id)
    if progress.state.is_running:
        raise SightlineError(f"the replay {replay_id} is {progress.state}: cancel it first")
    write(settings, forget_records(settings, replay_id))
    print(f"{replay_id} is forgotten")


def _settings() -> Settings:
    settings = load_settings()
    logs.setup(settings.log)
    settings = settings_of_lane(settings, "replay")
    progress = TopicNames.for_lane(settings.topic_prefix).progress
    require_topics(settings, reads=[progress])
    return settings


def _watch(settings: Settings, replay_id: str, stop: Stop) -> None:
    with progress_topic(settings) as topic, Screen() as screen, Reader(settings) as reader:
        counter = AnswerCounter(settings, reader)
        while True:
            progress = known(topic.look().progress, replay_id)
            is_copied = progress.state is ReplayState.COMPLETED
            counts = counter.read(progress)
            answered = counts.labels + counts.dead
            screen.show(progress, answered if is_copied else None)
            is_over = (is_copied and answered >= progress.copied) or not (is_copied or progress.state.is_running)
            if is_over or stop.wait(LOOK_S):
                return


def _ask(replay_id: str, action: ReplayAction, wanted: ReplayState) -> None:
    """Let the copier do it; where it does not answer, take its place and say so."""
    settings = _settings()
    progress = read(settings, replay_id)
    if progress.state is wanted:
        print(f"{replay_id} is {wanted} already")
        return
    if progress.state.is_final or (action is ReplayAction.PAUSE and not progress.state.is_running):
        raise SightlineError(f"the replay {replay_id} is {progress.state}: there is nothing to {action.lower()}")
    found: ReplayProgress | None = None
    if progress.state.is_running and not is_silent(progress, now_us()):
        registry = registry_of(settings)
        write(settings, [request_record(settings, replay_id, action, registry)])
        found = wait_for_state(settings, replay_id, ANSWER_S)
    if found is None or found.state is not wanted:
        found = _take_over(settings, replay_id, wanted)
    print(describe(found))


def _take_over(settings: Settings, replay_id: str, wanted: ReplayState) -> ReplayProgress:
    """Fences the copier, so that it cannot go on, and writes the state in its place."""
    writer = LaneWriter(settings, replay_id, Stop(), registry_of(settings))
    progress = read(settings, replay_id)
    if progress.state.is_final:
        return progress
    reason = "its copier did not answer" if progress.state.is_running else None
    writer.commit(replace(progress, state=wanted, reason=reason))
    writer.wait()
    assert writer.committed is not None
    return writer.committed
