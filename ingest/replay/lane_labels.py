"""Whether somebody works on the replay lane, and the wait for its labels."""

import time

from infra.kafka.group_listing import GroupListing
from infra.kafka.reader import Reader
from infra.kafka.topics import TopicNames, group
from infra.process import logs
from infra.process.lifecycle import Stop
from infra.replay.answers import AnswerCounter, Counts
from infra.replay.lane import LaneStages
from infra.settings import Settings
from ingest.replay.screen import Screen
from schemas.errors import SightlineError
from schemas.replays import ReplayProgress

log = logs.get(__name__)

LOOK_S = 1.0
# Without a new label for so long, the lane does not work.
NO_LABELS_S = 300.0


def tell_of_idle_lane(settings: Settings, *, needed: bool) -> None:
    """Says so when nobody reads the lane; raises SightlineError where its labels are waited for."""
    prefix = settings.topic_prefix
    wanted = {"stream": group("stream", prefix, "replay"), "infer": group("infer", prefix, "replay")}
    listing = GroupListing(settings)
    try:
        members, refused = listing.members(wanted.values())
    finally:
        listing.close()
    idle = [stage for stage, name in wanted.items() if not members.get(name) and name not in refused]
    if not idle:
        return
    frames = TopicNames.for_lane(prefix, "replay").frames
    hours = settings.topics.frames_retention_h
    how = " and ".join(f"`sightline {stage} --lane replay`" for stage in idle)
    what = f"nobody works on the replay lane: start {how}, or say --run"
    if needed:
        raise SightlineError(f"{what}. --fail-if-changed needs the labels of the replay")
    log.warning(f"{what}. The frames wait on {frames} for {hours} h", idle=idle)


def wait_for_labels(
    settings: Settings, done: ReplayProgress, screen: Screen, stop: Stop, stages: LaneStages | None
) -> Counts:
    """Until each copy has an outcome. Raises SightlineError when none comes for NO_LABELS_S, or a stage has ended."""
    last_s, last = time.monotonic(), -1
    with Reader(settings) as reader:
        counter = AnswerCounter(settings, reader)
        while True:
            counts = counter.read(done)
            answered = counts.labels + counts.dead
            screen.show(done, answered)
            if answered >= done.copied and counts.noise >= done.noise_copied:
                return counts
            if stop.wait(LOOK_S):
                raise SightlineError(
                    f"stopped while the labels of {done.replay_id} were waited for: {answered:,} of {done.copied:,}"
                )
            if stages is not None:
                stages.check()
            if answered + counts.noise > last:
                last_s, last = time.monotonic(), answered + counts.noise
            elif time.monotonic() - last_s > NO_LABELS_S:
                raise SightlineError(
                    f"the replay {done.replay_id} is copied, but no label came for {NO_LABELS_S:g} s: "
                    f"{answered:,} of {done.copied:,} frames have an outcome. Is the replay lane running?"
                )
