"""The Kafka clients of a worker: the member of its consumer group, and the transactional producer."""

import uuid
from collections.abc import Callable
from functools import partial

from infra.kafka.api_versions import knows_kip_848
from infra.kafka.consumer import CommitReport, GroupConsumer
from infra.kafka.membership import Membership
from infra.kafka.topic_ids import TopicIds
from infra.kafka.transaction import TransactionalProducer, transactional_producer
from infra.settings import InferSettings, Settings

# A transaction holds finished labels only, so it lasts milliseconds. After a crash readers wait no longer than this.
TRANSACTION_TIMEOUT_MS = 10_000
# When the group's coordinator moves, librdkafka's send_offsets_to_transaction looks for the new one only when some
# connection changes its state, and ignores its own time-out (confluentinc/librdkafka 5511 and 5456, open as of 2.16).
# Closing idle connections is such a change. Without it the call hung until the watchdog ended the worker.
IDLE_CONNECTION_MS = 2_000


def group_consumer(
    settings: Settings,
    group_id: str,
    on_commit: Callable[[CommitReport], None],
    on_statistics: Callable[[str], None],
    topic_ids: TopicIds | None = None,
) -> GroupConsumer:
    """Raises ConfigError for client keys that exclude each other, such as `session.timeout.ms` with KIP-848."""
    infer = settings.infer
    return GroupConsumer(
        settings,
        group_id,
        membership=Membership(
            infer.group_protocol, infer.session_timeout_ms, infer.max_poll_interval_ms, infer.group_instance_id
        ),
        on_commit=on_commit,
        on_statistics=on_statistics,
        forced={"auto.offset.reset": "error"},  # where to begin decides `infra.kafka.start_offsets`
        tables="kafka.client, kafka.consumer or infer",
        topic_ids=topic_ids,
        knows_kip_848=partial(knows_kip_848, settings),
    )


def transactional_id(infer: InferSettings, group_id: str) -> str:
    """The same at each start of a worker that has a name, so that it ends the transaction that its last process left
    open; else unique.
    """
    return f"{group_id}-{infer.transactional_id or infer.group_instance_id or uuid.uuid4().hex}"


def worker_producer(settings: Settings, group_id: str) -> TransactionalProducer:
    keys = {
        "transactional.id": transactional_id(settings.infer, group_id),
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "delivery.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "connections.max.idle.ms": IDLE_CONNECTION_MS,
    }
    return transactional_producer(settings, keys, "kafka.client, kafka.producer or infer")
