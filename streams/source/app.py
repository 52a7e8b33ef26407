"""The Faust application of the stream stage: it reads one topic and writes nothing but offsets.

What differs from Faust's own behaviour, and why (tests/unit/streams/source/test_app.py pins all of it):

- The channel's queue is bounded in bytes as well as in events, and a full queue makes the fetcher wait. Faust counts
  events only, and at 80 % it takes partitions away from the fetcher, which then sleeps for a whole second.
- aiokafka sends one fetch at a time to a broker, and Faust lets the broker wait 1.5 s for data: while other partitions
  are idle, the partition of a busy camera is not read for so long. Here a fetch waits 0.05 s for 1 MiB; a fetch for
  every single frame cost a third more CPU.
- `stream_wait_empty=False`: Faust would hold up a rebalance, and with it the whole group, until every frame in flight
  is acked, without a limit. `streams.source.intake` waits for them within a budget, and commits.
- Faust's acks have no effect; offsets come from our own bookkeeping (`streams.source.commits`).
- A record is read whatever the names of its headers are (`streams.source.lenient_records`).
- No leader topic, no changelogs, no tables, no data directory, no Faust producer.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.queues import ThrowableQueue
from yarl import URL

from infra.kafka import clients
from infra.kafka.topics import Lane, group
from infra.settings import MIB, Settings, StreamSettings
from streams.source import lenient_records
from streams.source.commits import CommitsByHand

FETCH_MAX_WAIT_MS = 50
FETCH_MIN_BYTES = MIB
HELD_S = 0.1
QUEUE_EVENTS = 64
QUEUE_BYTES = 8 * MIB
# Practically never. While the workers are behind, nobody polls, for as long as that lasts. aiokafka lets a member that
# left the group for want of a poll back in only after a poll, which needs partitions. `streams.watch.progress_rule`
# judges progress instead.
MAX_POLL_INTERVAL_S = 10 * 365 * 86_400.0


class ByteQueue(ThrowableQueue):  # type: ignore[type-arg]
    """Holds at most QUEUE_EVENTS events and QUEUE_BYTES of keys and values; an empty queue accepts any event."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._held_bytes = 0
        super().__init__(*args, **kwargs)

    def full(self) -> bool:
        return self.qsize() >= QUEUE_EVENTS or self._held_bytes >= QUEUE_BYTES

    def in_pressure_high_state(self, callback: Any) -> bool:
        return False  # only `full` makes the fetcher wait

    def clear(self) -> None:
        super().clear()
        self._held_bytes = 0

    def _put(self, item: Any) -> None:
        self._held_bytes += _size(item.message)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._held_bytes -= _size(item.message)
        return item


def _size(message: Any) -> int:
    return len(message.value or b"") + len(message.key or b"")


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    """Sets what Faust has no setting for on the aiokafka consumer, before that starts."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        consumer._fetch_min_bytes = FETCH_MIN_BYTES
        consumer._fetch_max_bytes = self.app.fetch_max_bytes  # type: ignore[attr-defined]
        consumer._isolation_level = "read_committed"
        return consumer

    async def getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - as Faust has it
        """Leaves out held partitions, whose records stay in the fetcher.

        Faust's own way to pause a partition drops records that it has fetched already.
        """
        held = cast(CommitsByHand, self.consumer).held
        if held and active_partitions is not None:
            active_partitions = active_partitions - held
            if not active_partitions:  # the fetcher takes an empty set for all partitions
                await asyncio.sleep(HELD_S)
                return {}
        return await super().getmany(active_partitions, timeout)


class _Consumer(CommitsByHand, driver.Consumer):
    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def wait_first(self, *waits: Any, timeout: Any = None) -> Any:  # noqa: ASYNC109 - as Faust has it
        """Hand a message over directly when there is room for it.

        Faust uses four tasks for each message, so that a rebalance can interrupt one that waits for room.
        """
        if len(waits) == 2 and cast(StreamApp, self.app).has_room():
            hand_over, suspended = waits
            suspended.close()
            return await hand_over
        return await super().wait_first(*waits, timeout=timeout)

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Nothing: Faust's check for stalls only logs and is often wrong; `streams.watch` replaces it."""


class _Transport(driver.Transport):
    Consumer = _Consumer


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

    fetch_max_bytes = 16 * MIB

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._queues: list[ByteQueue] = []
        super().__init__(*args, monitor=_Monitor(), **kwargs)

    def has_room(self) -> bool:
        """Whether a message can be handed over now without waiting."""
        return self.flow_control.is_active() and not any(queue.full() for queue in self._queues)

    def _create_directories(self) -> None:
        pass

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    @property
    def commits(self) -> CommitsByHand:
        """The consumer. The first call creates it, and Faust binds it to the event loop that runs then."""
        return cast(CommitsByHand, self.consumer)

    def member(self) -> tuple[int, str]:
        """The generation of the group that this process is a member of, and its member id."""
        coordinator = cast(_Consumer, self.consumer)._thread._ensure_consumer()._coordinator
        return coordinator.generation, coordinator.member_id

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> Any:
        queue = ByteQueue(maxsize=maxsize, flow_control=self.flow_control, clear_on_resume=clear_on_resume)
        self._queues.append(queue)
        return queue


class _Boot(BootStrategy):
    """Starts the consumer and its agent.

    Output goes through `infra.kafka.publisher`, so Faust's producer never connects.
    """

    enable_kafka_consumer = True
    enable_kafka_producer = False
    enable_web = False


StreamApp.BootStrategy = _Boot


def build_app(settings: Settings, lane: Lane) -> StreamApp:
    """The application of one lane. Nothing is opened before it is started."""
    lenient_records.install()
    configured = _client_settings({**settings.kafka.client, **settings.kafka.consumer})
    app = StreamApp(
        group("stream", settings.topic_prefix, lane),
        broker=[URL(f"kafka://{server.strip()}") for server in clients.bootstrap(settings).split(",")],
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
        **{**_broker_settings(settings.stream), **configured},
    )
    app.fetch_max_bytes = max(settings.kafka.max_fetch_queue_bytes // 2, settings.topics.max_frame_bytes + MIB)
    return app


def _broker_settings(stream: StreamSettings) -> dict[str, Any]:
    return {
        "broker_client_id": "sightline",
        "broker_max_poll_records": QUEUE_EVENTS,
        "broker_commit_interval": stream.commit_interval_ms / 1000,
        "broker_session_timeout": stream.session_timeout_ms / 1000,
        "broker_heartbeat_interval": stream.heartbeat_interval_ms / 1000,
        "broker_rebalance_timeout": 30.0,
        "broker_max_poll_interval": MAX_POLL_INTERVAL_S,
        "broker_request_timeout": max(40.0, stream.session_timeout_ms / 1000),
        # Off, as in librdkafka: it costs 2 % of the time per frame, and the decoder examines every image anyway.
        "broker_check_crcs": False,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": stream.group_instance_id or None,
    }


# librdkafka's keys that Faust has a setting for: the name of that setting, and the conversion of the value. Other keys
# do not reach the Faust consumer; they do reach the stage's producer and its retry consumer.
_FAUST_SETTINGS: dict[str, tuple[str, Any]] = {
    "client.id": ("broker_client_id", str),
    "max.partition.fetch.bytes": ("consumer_max_fetch_size", int),
    "fetch.message.max.bytes": ("consumer_max_fetch_size", int),
    "check.crcs": ("broker_check_crcs", bool),
    "metadata.max.age.ms": ("consumer_metadata_max_age_ms", int),
    "connections.max.idle.ms": ("consumer_connections_max_idle_ms", int),
    "session.timeout.ms": ("broker_session_timeout", lambda value: int(value) / 1000),
    "heartbeat.interval.ms": ("broker_heartbeat_interval", lambda value: int(value) / 1000),
}
_SECURITY = ("security.protocol", "sasl.", "ssl.")


def ignored_keys(keys: Mapping[str, Any]) -> list[str]:
    """The configured client keys that have no effect on the stage's Faust consumer."""
    return sorted(key for key in keys if key not in _FAUST_SETTINGS and not key.startswith(_SECURITY))


def _client_settings(keys: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: convert(keys[key]) for key, (name, convert) in _FAUST_SETTINGS.items() if key in keys}
    credentials = _credentials(keys)
    return {**found, "broker_credentials": credentials} if credentials else found


def _credentials(keys: Mapping[str, Any]) -> Any:
    protocol = str(keys.get("security.protocol", "plaintext")).upper()
    context = _ssl_context(keys) if protocol.endswith("SSL") and not protocol.startswith("SASL_PLAIN") else None
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=str(keys.get("sasl.username", "")),
            password=str(keys.get("sasl.password", "")),
            ssl_context=context,
            mechanism=str(keys.get("sasl.mechanism", keys.get("sasl.mechanisms", "PLAIN"))),
        )
    return faust.SSLCredentials(context) if context else None


def _ssl_context(keys: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=keys.get("ssl.ca.location"))
    if "ssl.certificate.location" in keys:
        context.load_cert_chain(
            keys["ssl.certificate.location"], keys.get("ssl.key.location"), keys.get("ssl.key.password")
        )
    return context
