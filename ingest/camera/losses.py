"""What an agent says at its end of the frames that are not on the topic."""

from collections.abc import Sequence

from infra.process import logs
from ingest.camera.buffer import FrameBuffer
from ingest.camera.feed import Feed
from ingest.camera.session_end import FeedState
from ingest.publish.drops import DropCounts
from ingest.publish.frame import OutgoingFrame
from ingest.publish.outbox import Outbox
from ingest.publish.route import Route
from schemas.errors import SightlineError

log = logs.get(__name__)

NAMED_FAULTS = 10
# Frames left out to keep to camera.fps are no loss: the user asked for that.
REQUESTED = "rate_limit"


def raise_losses(
    feeds: Sequence[Feed], outbox: Outbox, buffer: FrameBuffer[OutgoingFrame], drops: DropCounts, route: Route
) -> None:
    """Raises SightlineError when a finite source is not completely on the topic; the losses of a live one are logged.

    Frames that stay on disk for the next start are not lost. Also logs for each source what was dropped while the agent
    ran, by reason.
    """
    faults = []
    held = buffer.held_frames()
    for feed in feeds:
        source_id = feed.spec.source_id
        dropped = {reason: count for reason, count in drops.of(source_id).items() if reason != REQUESTED}
        if dropped:
            log.warning("frames dropped", source_id=source_id, frames=dropped)
        found = _losses(feed, outbox.undelivered(source_id) - route.frames(source_id) + held[source_id])
        if found and feed.live:
            log.warning("frames lost", source_id=source_id, why=", ".join(found))
        elif found:
            faults.append(f"{source_id}: {', '.join(found)}")
    if faults:
        more = f"; and {len(faults) - NAMED_FAULTS} more sources" if len(faults) > NAMED_FAULTS else ""
        raise SightlineError("not everything was published: " + "; ".join(faults[:NAMED_FAULTS]) + more)


def _losses(feed: Feed, undelivered: int) -> list[str]:
    found = []
    if feed.state == FeedState.DEAD:
        found.append(f"given up after {feed.failures} failures in a row ({feed.why})")
    if undelivered:
        found.append(f"{undelivered} frames were not delivered")
    if feed.refused:
        found.append(f"{feed.refused} images were refused; the log says which and why")
    return found
