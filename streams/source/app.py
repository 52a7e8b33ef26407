"""The Faust application of the stream stage: it reads one topic and writes nothing but offsets.

What differs from Faust's own behaviour, and why (tests/unit/streams/source/test_app.py pins all of it):

- The channel's queue is bounded in bytes as well as in events, and a full queue makes the fetcher wait. Faust counts
  events only, and at 80 % it takes partitions away from the fetcher, which then sleeps for a whole second.
- aiokafka sends one fetch at a time to a broker, and Faust lets the broker wait 1.5 s for data: while other partitions
  are idle, the partition of a busy camera is not read for so long. Here a fetch waits 0.05 s for 1 MiB; a fetch for
  every single frame cost a third more CPU.
- `stream_wait_empty=False`: Faust would hold up a rebalance, and with it the whole group, until every frame in flight
  is acked, without a limit. `streams.source.intake` waits for them within a budget, and commits.
- Faust's acks have no effect; offsets come from our own bookkeeping (`streams.source.commits`), and neither Faust nor
  aiokafka decides from which offset a partition is read (`streams.source.positions`).
- A record is read whatever the names of its headers are (`streams.source.lenient_records`).
- A topic that is gone is neither asked for in a circle nor created (`streams.source.metadata`).
- No leader topic, no changelogs, no tables, no data directory, no Faust producer.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from mode.utils.queues import ThrowableQueue
from yarl import URL

from infra.kafka.clients import METADATA_MAX_AGE_MS
from infra.kafka.consumer import GroupConsumer
from infra.kafka.offsets_lookup import OffsetsClient
from infra.kafka.stage_keys import MIN_REQUEST_TIMEOUT_MS, StageKeys, stage_keys
from infra.kafka.topic_ids import TopicIds
from infra.kafka.topics import CLIENT_ID, Lane, group
from infra.process import metrics
from infra.settings import MIB, Settings
from streams.source import lenient_records, metadata
from streams.source.commits import CommitsByHand
from streams.source.consumer import FETCH_MAX_WAIT_MS, FETCH_MIN_BYTES, Consumer, Transport

QUEUE_EVENTS = 64
QUEUE_BYTES = 8 * MIB
# Practically never. While the workers are behind, nobody polls, for as long as that lasts. aiokafka lets a member that
# left the group for want of a poll back in only after a poll, which needs partitions. `streams.watch.progress_rule`
# judges progress instead.
MAX_POLL_INTERVAL_MS = 10 * 365 * 86_400_000


class ByteQueue(ThrowableQueue):  # type: ignore[type-arg]
    """Holds at most QUEUE_EVENTS events and QUEUE_BYTES of keys and values; an empty queue accepts any event."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.held_bytes = 0
        super().__init__(*args, **kwargs)

    def full(self) -> bool:
        return self.qsize() >= QUEUE_EVENTS or self.held_bytes >= QUEUE_BYTES

    def in_pressure_high_state(self, callback: Any) -> bool:
        return False  # only `full` makes the fetcher wait

    def clear(self) -> None:
        super().clear()
        self.held_bytes = 0

    def _put(self, item: Any) -> None:
        self.held_bytes += _size(item.message)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self.held_bytes -= _size(item.message)
        return item


def _size(message: Any) -> int:
    return len(message.value or b"") + len(message.key or b"")


class _Monitor(faust.Monitor):
    """Leaves out Faust's statistics of every message, which nobody reads; ours are in `infra.process.metrics`."""

    def on_message_in(self, *_: Any) -> None:
        pass

    def on_stream_event_in(self, *_: Any) -> None:
        pass

    def on_stream_event_out(self, *_: Any) -> None:
        pass

    def on_message_out(self, *_: Any) -> None:
        pass


class StreamApp(faust.App):
    """A Faust app that writes no files and declares no topics."""

    # Makes the client that asks the broker for committed offsets and the reach of logs.
    offsets_client: Callable[[], OffsetsClient]
    topic_ids: TopicIds

    def __init__(self, *args: Any, consumer_arguments: dict[str, Any], family: int, **kwargs: Any) -> None:
        """`consumer_arguments`: of aiokafka's consumer; `family`: of the addresses it connects to, 0 for any."""
        self._queues: list[ByteQueue] = []
        self.consumer_arguments, self.family = consumer_arguments, family
        super().__init__(*args, monitor=_Monitor(), **kwargs)

    def has_room(self) -> bool:
        """Whether a message can be handed over now without waiting."""
        return self.flow_control.is_active() and not any(queue.full() for queue in self._queues)

    def _create_directories(self) -> None:
        pass

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    @property
    def commits(self) -> CommitsByHand:
        """The consumer. The first call creates it, and Faust binds it to the event loop that runs then."""
        return cast(CommitsByHand, self.consumer)

    def member(self) -> tuple[int, str]:
        """The generation of the group that this process is a member of, and its member id."""
        coordinator = cast(Consumer, self.consumer)._thread._ensure_consumer()._coordinator
        return coordinator.generation, coordinator.member_id

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> Any:
        queue = ByteQueue(maxsize=maxsize, flow_control=self.flow_control, clear_on_resume=clear_on_resume)
        self._queues.append(queue)
        metrics.QUEUE_FRAMES.labels("intake").set_function(lambda: sum(one.qsize() for one in self._queues))
        metrics.QUEUE_BYTES.labels("intake").set_function(lambda: sum(one.held_bytes for one in self._queues))
        return queue


class _Boot(BootStrategy):
    """Starts the consumer and its agent.

    Output goes through `infra.kafka.publisher`, so Faust's producer never connects.
    """

    enable_kafka_consumer = True
    enable_kafka_producer = False
    enable_web = False


StreamApp.BootStrategy = _Boot


def build_app(settings: Settings, lane: Lane, topic_ids: TopicIds | None = None) -> StreamApp:
    """The application of one lane. Nothing is opened before it is started. Raises ConfigError for wrong client keys.

    `topic_ids`: as `infra.kafka.consumer.GroupConsumer` takes them.
    """
    lenient_records.install()
    metadata.install()
    keys = stage_keys(settings)
    group_id = group("stream", settings.topic_prefix, lane)
    arguments = _consumer_arguments(settings, group_id, keys)
    app = StreamApp(
        group_id,
        broker=[URL(f"kafka://{server}") for server in arguments["bootstrap_servers"]],
        store="memory://",
        value_serializer="raw",
        key_serializer="raw",
        processing_guarantee="at_least_once",
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        web_enabled=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=QUEUE_EVENTS,
        consumer_arguments=arguments,
        family=keys.family,
        # What Faust itself goes by; the consumer has it from its arguments.
        broker_max_poll_records=QUEUE_EVENTS,
        broker_commit_interval=settings.stream.commit_interval_ms / 1000,
        broker_session_timeout=arguments["session_timeout_ms"] / 1000,
        broker_request_timeout=arguments["request_timeout_ms"] / 1000,
        consumer_auto_offset_reset=arguments["auto_offset_reset"],
        consumer_group_instance_id=arguments["group_instance_id"],
    )
    app.offsets_client = partial(GroupConsumer, settings, group_id, topic_ids=topic_ids)
    app.topic_ids = topic_ids or {}
    return app


def _consumer_arguments(settings: Settings, group_id: str, keys: StageKeys) -> dict[str, Any]:
    """Of aiokafka's consumer: ours, and over them what the user's keys say."""
    stream = settings.stream
    return {
        "client_id": CLIENT_ID,
        "group_id": group_id,
        "group_instance_id": stream.group_instance_id or None,
        "auto_offset_reset": "none",  # `streams.source.positions` decides
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "max_poll_records": QUEUE_EVENTS,
        "max_poll_interval_ms": MAX_POLL_INTERVAL_MS,
        "rebalance_timeout_ms": 30_000,
        "session_timeout_ms": stream.session_timeout_ms,
        "heartbeat_interval_ms": stream.heartbeat_interval_ms,
        "request_timeout_ms": max(MIN_REQUEST_TIMEOUT_MS, stream.session_timeout_ms),
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "fetch_max_wait_ms": FETCH_MAX_WAIT_MS,
        "fetch_min_bytes": FETCH_MIN_BYTES,
        "fetch_max_bytes": max(settings.kafka.max_fetch_queue_bytes // 2, settings.topics.max_frame_bytes + MIB),
        # Off, as in librdkafka: it costs 2 % of the time per frame, and the decoder examines every image anyway.
        "check_crcs": False,
        **keys.arguments,
    }
