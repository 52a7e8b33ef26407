"""A member of a consumer group: reads records, commits offsets, hides the client's types. For the polling thread."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import confluent_kafka
from confluent_kafka import KafkaException

from infra.kafka.clients import Keys
from infra.kafka.conversions import commits_of, ours, positions_of, theirs
from infra.kafka.errors import FaultKind, KafkaFault, failure_of, fault_of, lacks_group_protocol
from infra.kafka.first_records import FirstRecords, offset_for
from infra.kafka.member_client import MemberClients
from infra.kafka.membership import GroupProtocol, Membership
from infra.kafka.records import ConsumedRecord, consumed_record
from infra.kafka.topic_ids import TopicIds
from infra.process import logs
from infra.process.lifecycle import Deadline
from infra.settings import Settings
from schemas.coordinates import TopicPartition

log = logs.get(__name__)


class Rebalance(Protocol):
    """Reacts to a changed assignment of partitions; the methods are called from within `poll` and `close`."""

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        """These partitions are assigned to this member; reading starts when this returns."""

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        """These partitions are given to another member when this returns: commit now what is finished of them."""

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        """Another member may own these partitions already: nothing of them can be committed any more."""


@dataclass(frozen=True, slots=True)
class PartitionFault:
    """Returned by `poll` in place of a record: an error of the client, with its partition if it has one."""

    topic_partition: TopicPartition
    fault: KafkaFault


@dataclass(frozen=True, slots=True)
class CommitReport:
    """The answer to `commit_soon`: which offsets are stored, and why the others are not."""

    stored: dict[TopicPartition, int]
    fault: KafkaFault | None = None


class GroupConsumer:
    """Commits nothing by itself. A pause holds for all partitions, also for those that are assigned later.

    Works with the eager and the cooperative protocol and with KIP-848, as the keys say. The classic one takes the
    place of KIP-848 where the brokers do not have it (Kafka before 4.0, many services).
    """

    def __init__(
        self,
        settings: Settings,
        group_id: str,
        *,
        membership: Membership | None = None,
        on_commit: Callable[[CommitReport], None] | None = None,
        on_statistics: Callable[[str], None] | None = None,
        defaults: Keys | None = None,
        forced: Keys | None = None,
        tables: str = "kafka.client or kafka.consumer",
        topic_ids: TopicIds | None = None,
        knows_kip_848: Callable[[], bool | None] = lambda: None,
    ) -> None:
        """Keys of librdkafka: the user's own overrule `membership` and `defaults`, and `forced` overrules them.

        `knows_kip_848` tells whether the brokers have KIP-848, None where that is not known; their own answer tells it
        too. `topic_ids`: of the topics at the start of the process; with them, a commit for another topic of the same
        name counts as none. Raises ConfigError, naming `tables`, for keys that the client does not take.
        """
        callbacks: dict[str, Callable[..., None]] = {}
        if on_commit is not None:
            callbacks["on_commit"] = lambda error, partitions: on_commit(_commit_report(error, partitions))
        if on_statistics is not None:
            callbacks["stats_cb"] = on_statistics
        self._clients = MemberClients(settings, group_id, membership, defaults or {}, forced or {}, callbacks, tables)
        if self.group_protocol == "consumer" and knows_kip_848() is False:
            self._clients.use_classic()
        self._client: Any = self._clients.make()
        self._subscription: tuple[list[str], Rebalance] | None = None
        self._assigned: set[TopicPartition] = set()
        self._was_assigned = False
        self._topic_ids = topic_ids or {}
        self._first_records = FirstRecords(self._topic_ids)
        self._is_paused = False

    @property
    def group_protocol(self) -> GroupProtocol:
        """The one in use; it changes to classic when the brokers do not have the other one."""
        return self._clients.group_protocol

    # -- membership

    def subscribe(self, topics: list[str], rebalance: Rebalance) -> None:
        client = self._client  # a client that was given up for another one may still call: nobody listens then

        def on_assign(_client: Any, found: list[Any]) -> None:
            if client is not self._client:
                return
            partitions = ours(found)
            self._was_assigned = True
            rebalance.on_assign(partitions)
            (client.incremental_assign if self._clients.is_incremental else client.assign)(found)
            self._assigned.update(partitions)
            self._first_records.expect(partitions)
            # The client remembers a pause over revocation and return: a partition paused then would never be read.
            (client.pause if self._is_paused else client.resume)(theirs(partitions))

        def gone(tell: Callable[[list[TopicPartition]], None]) -> Callable[[Any, list[Any]], None]:
            def on_gone(_client: Any, found: list[Any]) -> None:
                if client is not self._client:
                    return
                partitions = ours(found)
                tell(partitions)
                self._assigned.difference_update(partitions)
                self._first_records.forget(partitions)
                if self._clients.is_incremental:
                    client.incremental_unassign(found)
                else:
                    client.unassign()

            return on_gone

        self._subscription = topics, rebalance
        client.subscribe(
            topics, on_assign=on_assign, on_revoke=gone(rebalance.on_revoke), on_lost=gone(rebalance.on_lost)
        )

    def group_metadata(self) -> Any:
        """The present metadata of this member, which a transaction needs to commit offsets (KIP-447)."""
        return self._client.consumer_group_metadata()

    def close(self) -> None:
        """Leave the group. Waits for the broker without a limit; `close_within` does not."""
        self._client.close()

    def close_within(self, deadline: Deadline) -> bool:
        """Leave the group. False when that takes too long, as without a broker; it goes on in a daemon thread."""
        thread = threading.Thread(target=self._client.close, name="close-consumer", daemon=True)
        thread.start()
        thread.join(deadline.remaining_s())
        if thread.is_alive():
            log.warning("the group could not be left in time")
        return not thread.is_alive()

    # -- reading

    def poll(self, timeout_s: float) -> ConsumedRecord | PartitionFault | None:
        """The next record or fault; None when nothing came in time. Rebalances are served from here.

        Raises KafkaFailure where the client cannot be put to where a partition begins.
        """
        message = self._client.poll(timeout_s)
        error = None if message is None else message.error()
        # A member that was given partitions has work in flight: the error ends it, and its next life is classic.
        if self.group_protocol == "consumer" and not self._was_assigned and error and lacks_group_protocol(error):
            self._fall_back()
            return None
        if message is None:
            return None
        if error is None:
            record = consumed_record(message)
            return record if self._first_records.passes(self._client, record) else None
        partition = message.partition()
        place = TopicPartition(str(message.topic() or ""), -1 if partition is None else partition)
        return PartitionFault(place, fault_of(error))

    def _fall_back(self) -> None:
        """Another client, with the classic protocol. The one before was never in the group: it owned nothing."""
        threading.Thread(target=self._client.close, name="close-consumer", daemon=True).start()
        self._clients.use_classic()
        self._client = self._clients.make()
        if self._subscription is not None:
            self.subscribe(*self._subscription)

    def pause(self) -> None:
        """Read nothing until `resume`; drops what was fetched ahead. Keep polling, or the member leaves the group."""
        self._is_paused = True
        self._client.pause(theirs(self._assigned))

    def resume(self) -> None:
        self._is_paused = False
        self._client.resume(theirs(self._assigned))

    @property
    def is_paused(self) -> bool:
        return self._is_paused

    def start_at(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these assigned partitions from these offsets on. Raises KafkaFailure. Incremental assignment only."""
        positions = positions_of(offsets)
        try:
            self._client.incremental_unassign(positions)  # the client takes a new start offset in no other way
            self._client.incremental_assign(positions)
        except KafkaException as error:
            raise failure_of(error) from error
        self._first_records.forget(offsets)
        if self._is_paused:
            self._client.pause(positions)

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Continue reading at these offsets. Raises KafkaFailure."""
        try:
            for position in positions_of(offsets):
                self._client.seek(position)
        except KafkaException as error:
            raise failure_of(error) from error

    # -- offsets

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit the next offsets to read, and wait for the answer without a limit. Raises KafkaFailure."""
        try:
            answers = self._client.commit(offsets=commits_of(offsets, self._topic_ids), asynchronous=False)
        except KafkaException as error:
            raise failure_of(error) from error
        for answer in answers:
            if answer.error is not None:
                raise failure_of(KafkaException(answer.error))

    def commit_soon(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit without waiting; a later `poll` calls `on_commit` with the answer. Raises KafkaFailure."""
        try:
            self._client.commit(offsets=commits_of(offsets, self._topic_ids), asynchronous=True)
        except KafkaException as error:
            raise failure_of(error) from error

    def commit_within(self, offsets: Mapping[TopicPartition, int], deadline: Deadline) -> str | None:
        """Commit and wait until the deadline. None when the offsets are stored, else why that is not known.

        The client's own waiting commit has no time limit, so it runs in a daemon thread.
        """
        failures: list[str] = []

        def commit() -> None:
            try:
                self.commit(offsets)
            except Exception as error:  # noqa: BLE001 - also RuntimeError, where the consumer was closed meanwhile
                failures.append(str(error))

        thread = threading.Thread(target=commit, name="commit", daemon=True)
        thread.start()
        thread.join(deadline.remaining_s())
        return "no answer in time" if thread.is_alive() else next(iter(failures), None)

    def committed(self, partitions: Iterable[TopicPartition], timeout_s: float) -> dict[TopicPartition, int]:
        """The committed offsets of the group, negative where there is none; partitions without an answer are left out.

        Raises KafkaFailure, and RuntimeError when the consumer was closed meanwhile. For any thread.
        """
        try:
            answers = self._client.committed(theirs(partitions), timeout=timeout_s)
        except KafkaException as error:
            raise failure_of(error) from error
        known = [one for one in answers if not one.error]
        return {TopicPartition(one.topic, one.partition): offset_for(one, self._topic_ids) for one in known}

    def log_range(self, partition: TopicPartition, timeout_s: float) -> tuple[int, int] | None:
        """The first offset of the partition's log and the one behind its last; None without an answer. Any thread.

        Raises KafkaFailure, and RuntimeError when the consumer was closed meanwhile.
        """
        try:
            return self._log_range(confluent_kafka.TopicPartition(*partition), timeout_s)
        except KafkaException as error:
            raise failure_of(error) from error

    def _log_range(self, place: Any, timeout_s: float) -> tuple[int, int] | None:
        found: tuple[int, int] | None
        try:
            found = self._client.get_watermark_offsets(place, timeout_s)
        except KafkaException as error:
            if fault_of(error.args[0]).kind is not FaultKind.GONE:
                raise
            # A client that does not subscribe learns of new partitions every 30 s, or when it lists the topic.
            self._client.list_topics(place.topic, timeout=timeout_s)
            found = self._client.get_watermark_offsets(place, timeout_s)
        return found


def _commit_report(error: confluent_kafka.KafkaError | None, partitions: list[Any]) -> CommitReport:
    refused = [one.error for one in partitions if one.error is not None]
    stored = {TopicPartition(one.topic, one.partition): one.offset for one in partitions if one.error is None}
    if error is not None:
        return CommitReport({}, fault_of(error))
    return CommitReport(stored, fault_of(refused[0]) if refused else None)
