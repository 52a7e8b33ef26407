"""Runs a replay: takes the lane, copies, and waits for the labels where somebody needs them."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from infra.kafka.reader import Reader
from infra.kafka.records import ConsumedRecord
from infra.kafka.schema_registry import registry_of
from infra.kafka.spans import Period, Span
from infra.kafka.topic_ids import read_topic_ids
from infra.kafka.topics import TopicNames
from infra.process import tracing
from infra.process.health import HealthServer
from infra.process.lifecycle import Stop
from infra.process.times import now_us
from infra.replay.answers import Counts, compare
from infra.replay.brake import BrakeWatch
from infra.replay.gate import exceeds, sentence
from infra.replay.lane import LaneStages
from infra.replay.progress import forget_records, known, progress_topic
from infra.settings import Settings
from ingest.archive.reading import open_archive
from ingest.replay.control import ControlWatch, is_silent, this_process
from ingest.replay.copier import Copier
from ingest.replay.history import in_order_of_time, open_history
from ingest.replay.lane_labels import tell_of_idle_lane, wait_for_labels
from ingest.replay.lane_writer import LaneWriter
from ingest.replay.pacing import parse_rate
from ingest.replay.screen import Screen
from schemas.errors import SightlineError, Stalled, Unavailable
from schemas.replays import ReplayProgress, ReplayState

LOOK_S = 1.0
TAKE_OVER_S = 20.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run ended with. `verdict`: of the gate, `is_changed` whether it failed."""

    progress: ReplayProgress
    counts: Counts | None = None
    verdict: str = ""
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class How:
    """`stages`: run the lane's own stages meanwhile. `limit`: the share of frames that may change, if any. `serves`:
    health and metrics over HTTP.
    """

    stages: bool = False
    limit: float | None = None
    serves: bool = False


def start(settings: Settings, new: ReplayProgress, how: How, stop: Stop) -> Outcome:
    """Runs a new replay. Raises SightlineError when its name or the lane is taken."""
    return _run(settings, new, how, stop, is_new=True)


def resume(settings: Settings, replay_id: str, how: How, stop: Stop, rate: str | None) -> Outcome:
    """Goes on with a replay that is paused, or whose copier is gone.

    Raises SightlineError when it runs, is over, or another one has the lane.
    """
    wanted = None if rate is None else str(parse_rate(rate))
    found = check_resumable(settings, replay_id)
    return _run(settings, found if wanted is None else replace(found, rate=wanted), how, stop, is_new=False)


def check_name(there: Mapping[str, ReplayProgress], replay_id: str) -> None:
    """Raises SightlineError when there is a replay of that name."""
    if replay_id in there:
        raise SightlineError(
            f"there is a replay {replay_id} already ({there[replay_id].state}): choose another --name, or remove it "
            f"with `sightline replay delete {replay_id}`"
        )


def check_lane(there: Iterable[ReplayProgress], replay_id: str) -> None:
    """Raises SightlineError when another replay runs."""
    for other in there:
        if other.state.is_running and other.replay_id != replay_id:
            silent = "; its copier is silent: resume or cancel it first" if is_silent(other, now_us()) else ""
            raise SightlineError(
                f"the replay lane is taken: {other.replay_id} runs ({other.state}, {other.copied:,} copied){silent}"
            )


def prepare(settings: Settings, new: ReplayProgress, stop: Stop) -> None:
    """Takes the lane for a new replay and leaves it PAUSED, for another process to resume. Raises as `start`."""
    writer = LaneWriter(settings, new.replay_id, stop, registry_of(settings))
    begun = _take_lane(settings, new, writer, is_new=True)
    writer.commit(replace(begun, state=ReplayState.PAUSED, reason="a process in the background takes it over"))
    writer.wait()


def check_resumable(settings: Settings, replay_id: str) -> ReplayProgress:
    """The replay, which nobody runs. Raises SightlineError when it runs or is over."""
    until = time.monotonic() + TAKE_OVER_S
    with progress_topic(settings) as topic:
        first = found = known(topic.look().progress, replay_id)
        while found.state.is_running and not is_silent(found, now_us()):
            if found.updated_at != first.updated_at or time.monotonic() > until:
                raise SightlineError(f"the replay {replay_id} runs already, in process {found.process}")
            time.sleep(LOOK_S)
            found = known(topic.look().progress, replay_id)
    if found.state.is_final:
        raise SightlineError(f"the replay {replay_id} is over ({found.state}): there is nothing to resume")
    return found


def _run(settings: Settings, progress: ReplayProgress, how: How, stop: Stop, *, is_new: bool) -> Outcome:
    with ExitStack() as closing:
        has_stages = how.stages or progress.model is not None
        closing.enter_context(tracing.running(settings.tracing, "sightline-replay"))
        if how.serves:
            closing.enter_context(HealthServer(settings.http, labels={"lane": "replay"}))
        stages = closing.enter_context(LaneStages(progress.model, stop=stop)) if has_stages else None
        if stages is None:
            tell_of_idle_lane(settings, needed=how.limit is not None)
        registry = registry_of(settings)
        writer = LaneWriter(settings, progress.replay_id, stop, registry)
        begun = _take_lane(settings, progress, writer, is_new=is_new)
        screen = closing.enter_context(Screen())
        screen.show(begun)
        done = copy_frames(settings, begun, writer, screen, stop)
        if done.state is not ReplayState.COMPLETED or not (has_stages or how.limit is not None):
            return Outcome(done)
        counts = wait_for_labels(settings, done, screen, stop, stages)
    if how.limit is None:
        return Outcome(done, counts)
    found = compare(settings, done, stop.is_set)
    return Outcome(done, counts, sentence(found, how.limit), exceeds(found, how.limit))


def _take_lane(settings: Settings, progress: ReplayProgress, writer: LaneWriter, *, is_new: bool) -> ReplayProgress:
    """Says that this process runs the replay. Of two that start at once, the one that said so first has the lane.

    The writer has fenced a former copier, so what the topic says now is its last word.
    """
    replay_id = progress.replay_id
    request = [record for record in forget_records(settings, replay_id) if record.key != replay_id]
    with progress_topic(settings) as topic:
        there = topic.look()
        check_lane(there.progress.values(), replay_id)
        if is_new:
            check_name(there.progress, replay_id)
            state, latest = ReplayState.STARTED, progress
        else:
            state, latest = ReplayState.RESUMED, replace(known(there.progress, replay_id), rate=progress.rate)
            if latest.state.is_final:
                raise SightlineError(f"the replay {replay_id} is over ({latest.state}): there is nothing to resume")
            _check_topic(settings, latest)
        begun = replace(latest, state=state, reason=None, process=this_process())
        for record in request:
            writer.add(record)
        writer.commit(begun)
        writer.wait()
        there = topic.look()
        others = [one for one in there.progress.values() if one.state.is_running and one.replay_id != replay_id]
        first = [one for one in others if there.taken_at.get(one.replay_id, -1) < there.taken_at[replay_id]]
        if first:
            given_up = ReplayState.ABORTED if is_new else ReplayState.PAUSED
            writer.commit(replace(begun, state=given_up, reason=f"{first[0].replay_id} had the lane"))
            writer.wait()
            check_lane(first, replay_id)
    return begun


def _check_topic(settings: Settings, progress: ReplayProgress) -> None:
    topic_id = read_topic_ids(settings, [progress.topic])[progress.topic]
    if progress.topic_id is not None and topic_id is not None and topic_id != progress.topic_id:
        raise SightlineError(
            f"the topic {progress.topic} was made again since the replay {progress.replay_id} began: the offsets of "
            "its plan mean other frames now. Cancel it, and start another one"
        )


def copy_frames(
    settings: Settings, begun: ReplayProgress, writer: LaneWriter, screen: Screen, stop: Stop
) -> ReplayProgress:
    """Copy until the end, the stop or a request.

    Raises Stalled where Kafka does not go on, and SightlineError once the replay is PAUSED, so that the lane is free,
    for what else keeps it from copying; `resume` then goes on.
    """
    try:
        done = _copy(settings, begun, writer, screen, stop)
    except (Stalled, Unavailable) as error:
        raise Stalled(f"the replay {begun.replay_id} stopped: {error}; {_how_to_go_on(begun)}") from error
    except SightlineError as error:
        writer.discard()
        writer.wait()  # what is committed until then is not copied again
        latest = replace(writer.committed or begun, lane=begun.lane)
        writer.commit(replace(latest, state=ReplayState.PAUSED, reason=str(error)))
        writer.wait()
        raise SightlineError(f"the replay {begun.replay_id} is paused: {error}; {_how_to_go_on(begun)}") from error
    screen.show(done)
    return done


def _copy(settings: Settings, begun: ReplayProgress, writer: LaneWriter, screen: Screen, stop: Stop) -> ReplayProgress:
    rate = parse_rate(begun.rate)
    archive = None if begun.archive is None else open_archive(begun.archive)
    with Reader(settings) as reader:
        log_spans = reader.spans(begun.topic)
    period = Period(begun.from_at, begun.to_at)
    history, _ = open_history(settings, begun.topic, log_spans, archive, period, begun.source_glob)
    lane = TopicNames.for_lane(settings.topic_prefix, "replay").frames
    with ControlWatch(settings, begun.replay_id) as control, BrakeWatch(settings) as brake:

        def is_to_end() -> bool:
            return stop.is_set() or control.asked() is not None

        def records(spans: Sequence[Span], below: int | None) -> Iterator[ConsumedRecord]:
            at_pace = in_order_of_time(history, spans, is_to_end) if rate.is_original_pace else None
            for record in at_pace or history.records(spans, is_to_end, below):
                yield record
                screen.show(writer.committed or begun)

        copier = Copier(
            begun,
            lane,
            records,
            history.gaps,
            writer,
            stop,
            rate=rate,
            asked=control.asked,
            braking=brake.now,
        )
        return copier.run()


def _how_to_go_on(progress: ReplayProgress) -> str:
    return f"`sightline replay resume {progress.replay_id}` goes on where its last transaction ended"
