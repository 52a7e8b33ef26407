"""The process of `sightline archive run`, from start to stop: once, or look by look until it is asked to end."""

import time
from contextlib import ExitStack

from infra.kafka.reader import Reader
from infra.kafka.start_checks import require_topics
from infra.kafka.topic_admin import log_id
from infra.kafka.topic_ids import read_topic_ids
from infra.kafka.topic_watch import TopicWatch
from infra.kafka.topics import HOUR_MS, TopicNames
from infra.process import logs
from infra.process.health import HealthServer
from infra.process.lifecycle import Stop
from infra.process.memory import give_back_now_and_then
from infra.settings import Settings
from ingest.archive.book import BookWriter
from ingest.archive.event_reader import EventReader, topics_of
from ingest.archive.events import Only
from ingest.archive.run import Archiver, Result
from ingest.archive.store import open_store
from schemas.errors import NoRoom, Unavailable

log = logs.get(__name__)


def run_archive(
    settings: Settings, url: str, stop: Stop, *, once: bool, keep_ms: int | None = None, only: Only | None = None
) -> Result:
    """Archive frames until `stop` is set, or with `once` what there is now. Commits nothing and joins no group.

    A continuous run survives a broker that is away and a storage that is full: it tries again at its next look.
    Raises what ends it otherwise.
    """
    names = TopicNames.for_lane(settings.topic_prefix)
    store = open_store(url)
    require_topics(settings, reads=[names.frames, *(topics_of(names, only) if only else ())])
    give_back_now_and_then()
    with ExitStack() as closing:
        state = _State()
        closing.enter_context(HealthServer(settings.http, ready=lambda: state.trouble))
        closing.enter_context(TopicWatch(settings, read_topic_ids(settings, [names.frames]), stop.set))
        reader = closing.enter_context(Reader(settings))
        book = BookWriter.open(store, names.frames, log_id(settings, names.frames), str(only) if only else None)
        closing.callback(book.close)
        since_us = (_now_ms() - 2 * settings.topics.frames_retention_h * HOUR_MS) * 1000
        events = EventReader(settings, reader, only, since_us) if only else None
        archiver = Archiver(settings, reader, book, _now_ms, keep_ms=keep_ms, events=events)
        closing.callback(archiver.close)
        while not stop.is_set():
            try:
                if state.trouble is not None:  # at first, and after a look that failed
                    archiver.remove_strays()
                archiver.look(stop.is_set, whole=once)
                state.trouble = None
            except (NoRoom, Unavailable) as error:
                if once:
                    raise
                log.warning("the archive waits", reason=str(error))
                state.trouble = str(error)
            if once:
                break
            stop.wait(settings.archive.look_interval_s)
    stop.raise_error()
    return archiver.result


class _State:
    """Why frames are not archived at the moment; at first because nothing was looked at."""

    trouble: str | None = "nothing was looked at yet"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
