"""Kafka clients suited to frames: queues bounded in bytes, no compression, nothing committed by itself.

Keys can be overruled from the settings: `[kafka.client]` for all clients, and over that `[kafka.producer]`,
`[kafka.consumer]`, `[kafka.admin]`. `infra.settings.client_keys` refuses those that Sightline decides.
The figures behind the defaults are in docs/decisions/kafka.md.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import confluent_kafka
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from infra.kafka.errors import HeardErrors, is_fatal
from infra.kafka.key_values import given_keys
from infra.kafka.topics import CLIENT_ID, DEAD_HEADROOM_BYTES
from infra.local.state import read_state
from infra.process import logs
from infra.settings import KIB, MIB, Settings, home
from infra.settings.client_keys import OVERRULED
from schemas.coordinates import TopicPartition
from schemas.errors import ConfigError, Unavailable

log = logs.get(__name__)

Keys = dict[str, Any]
ClientT = TypeVar("ClientT")

# New partitions of a topic are found within this time: by producers, group members and readers. Half of it is left of
# the promised minute for the rebalance that follows.
METADATA_MAX_AGE_MS = 30_000
DEFAULT_BOOTSTRAP = "127.0.0.1:9092"
# No setting decides which records are read and which offsets are committed: with `latest`, or with commits that the
# client makes by itself, records would be passed over without a trace.
OUR_CONSUMER_KEYS: Keys = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
}
# No topic comes into being with the broker's defaults because a client asks for it by name: producers and the admin
# client would make the broker create what somebody has deleted, with one partition.
NO_NEW_TOPICS: Keys = {"allow.auto.create.topics": False}
_DELIVERY_TIMEOUT = "delivery.timeout.ms"


def bootstrap(settings: Settings) -> str:
    """The configured brokers, else the local ones that are up, else Kafka's usual address."""
    if settings.kafka.bootstrap_servers:
        return settings.kafka.bootstrap_servers
    state = read_state(home())
    return (state.bootstrap_servers if state else "") or DEFAULT_BOOTSTRAP


def producer_config(settings: Settings, **extra: Any) -> Keys:
    """Idempotent, acks=all: an acknowledged frame is on disk on every in-sync replica."""
    return {
        **_defaults(settings),
        "enable.idempotence": True,
        "acks": "all",
        # A new leader accepts any first sequence number of a partition (KAFKA-15591): with two requests in flight the
        # first may be refused and the second written, and librdkafka then reports the first as written.
        "max.in.flight.requests.per.connection": 1,
        "compression.type": "none",
        "linger.ms": 2,
        "message.max.bytes": settings.topics.max_frame_bytes + DEAD_HEADROOM_BYTES,
        "batch.size": 1_000_000,
        # Publisher bounds the bytes. librdkafka frees its own queue a little after the report, so it is twice as large.
        "queue.buffering.max.kbytes": 2 * settings.kafka.max_producer_queue_bytes // KIB,
        "queue.buffering.max.messages": 100_000,
        _DELIVERY_TIMEOUT: 120_000,
        **given_keys(settings.kafka.client, settings.kafka.producer),
        **NO_NEW_TOPICS,
        **extra,
    }


def no_delivery_timeout(settings: Settings) -> Keys:
    """What a producer adds to its configuration that itself bounds how long a record waits: no limit of the client.

    A limit that is configured stays.
    """
    given = given_keys(settings.kafka.client, settings.kafka.producer)
    return {} if _DELIVERY_TIMEOUT in given else {_DELIVERY_TIMEOUT: 0}


def max_record_bytes(settings: Settings) -> int:
    """The largest record that our producers send; by default also the limit of `frames.retry` and `frames.dead`."""
    return int(producer_config(settings)["message.max.bytes"])


def consumer_config(settings: Settings, group: str, **extra: Any) -> Keys:
    """Manual commits; at most `max_fetch_queue_bytes` prefetched (librdkafka: 64 MiB and 100,000 records)."""
    return {
        **_defaults(settings),
        "group.id": group,
        "isolation.level": "read_committed",
        "queued.min.messages": 100,
        "queued.max.messages.kbytes": settings.kafka.max_fetch_queue_bytes // KIB,
        "fetch.max.bytes": max(
            settings.kafka.max_fetch_queue_bytes // 2,
            settings.topics.max_frame_bytes + MIB,
        ),
        "max.partition.fetch.bytes": 4 * MIB,
        "receive.message.max.bytes": 128 * MIB,
        "fetch.queue.backoff.ms": 20,
        "fetch.wait.max.ms": 100,
        **given_keys(settings.kafka.client, settings.kafka.consumer),
        **OUR_CONSUMER_KEYS,
        **NO_NEW_TOPICS,
        **extra,
    }


def overruled_keys(settings: Settings) -> list[str]:
    """The configured keys that no consumer follows."""
    return sorted(OVERRULED & given_keys(settings.kafka.client, settings.kafka.consumer).keys())


def admin_config(settings: Settings) -> Keys:
    return {**_defaults(settings), **given_keys(settings.kafka.client, settings.kafka.admin), **NO_NEW_TOPICS}


def admin(settings: Settings) -> AdminClient:
    return new_client(AdminClient, admin_config(settings), "kafka.client or kafka.admin")


def consumer(settings: Settings, group: str, **extra: Any) -> confluent_kafka.Consumer:
    keys = consumer_config(settings, group, **extra)
    return new_client(confluent_kafka.Consumer, keys, "kafka.client or kafka.consumer")


def new_client(make: Callable[[Keys], ClientT], keys: Keys, tables: str) -> ClientT:
    """Makes the client. Raises ConfigError, naming the `tables` of the settings, for keys that librdkafka refuses."""
    try:
        return make(keys)
    except (confluent_kafka.KafkaException, ValueError) as error:
        words = error.args[0].str() if isinstance(error, confluent_kafka.KafkaException) else str(error)
        raise ConfigError(f"{tables}: {words}") from error


def metadata_of(settings: Settings) -> Any:
    """The brokers and topics. Raises Unavailable with the reason that the client gives, such as a certificate."""
    heard = HeardErrors()
    client = new_client(AdminClient, {**admin_config(settings), "error_cb": heard}, "kafka.client or kafka.admin")
    try:
        return client.list_topics(timeout=settings.kafka.start_timeout_ms / 1000)
    except confluent_kafka.KafkaException as error:
        client.poll(0)  # calls `heard`
        to_do = (
            "Correct the keys of security in [kafka.client]; the host's name is checked as well as its certificate"
            if heard.is_refusal
            else "Start one with `sightline up`, or set SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS to yours"
        )
        hint = f"{heard.reason(error.args[0])}. {to_do}"
        raise Unavailable("Kafka", bootstrap(settings), hint) from error


def list_offsets(
    client: AdminClient, partitions: Iterable[TopicPartition], spec: OffsetSpec, timeout_s: float
) -> dict[TopicPartition, ListOffsetsResultInfo]:
    """Read-committed offsets of (topic, partition). Raises KafkaException; a further call may succeed."""
    return begin_list_offsets(client, partitions, spec, timeout_s)()


def begin_list_offsets(
    client: AdminClient, partitions: Iterable[TopicPartition], spec: OffsetSpec, timeout_s: float
) -> Callable[[], dict[TopicPartition, ListOffsetsResultInfo]]:
    """Sends the request; what it returns waits for the answers, as `list_offsets`.

    librdkafka's admin client goes on asking a former leader for minutes (FENCED_LEADER_EPOCH). Listing the topics
    makes it learn the new leaders, so that is done after a failed call.
    """
    answers = client.list_offsets(
        {confluent_kafka.TopicPartition(*partition): spec for partition in partitions},
        isolation_level=confluent_kafka.IsolationLevel.READ_COMMITTED,
        request_timeout=timeout_s,
    )

    def wait() -> dict[TopicPartition, ListOffsetsResultInfo]:
        try:
            return {TopicPartition(place.topic, place.partition): answer.result() for place, answer in answers.items()}
        except confluent_kafka.KafkaException:
            client.list_topics(timeout=timeout_s)
            raise

    return wait


def _defaults(settings: Settings) -> Keys:
    return {
        "bootstrap.servers": bootstrap(settings),
        "client.id": CLIENT_ID,
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 2_000,
        # Also the longest time between two requests for the new leader of a partition (by default a second).
        "retry.backoff.max.ms": 200,
        "topic.metadata.refresh.interval.ms": METADATA_MAX_AGE_MS,
        "error_cb": on_client_error,
        "logger": _LIBRARY_LOG,
    }


def on_client_error(error: confluent_kafka.KafkaError) -> None:
    """Logs an error that the client recovers from by itself."""
    log.warning("kafka client error", error=error.str(), fatal=is_fatal(error))


class _LibraryLog:
    """Log lines of librdkafka as debug events: it reports every refused connection, and `error_cb` sums them up."""

    def log(self, level: int, text: str, *args: object) -> None:
        log.debug("librdkafka", line=text % args if args else text)


_LIBRARY_LOG = _LibraryLog()
