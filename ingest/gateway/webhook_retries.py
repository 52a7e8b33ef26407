"""Reads `webhooks.retry`: each webhook waits until it is due, and is sent once more. In a thread of its own.

Offsets move past a webhook once it is delivered, given up, or written again for its next attempt.
"""

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable

from infra.kafka.consumer import CommitReport, GroupConsumer, PartitionFault
from infra.kafka.errors import KafkaFailure, raise_if_final
from infra.kafka.first_commits import FirstCommits
from infra.kafka.groups import GroupProgress, Ticket
from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import TopicNames, group
from infra.process import logs
from infra.process.lifecycle import Deadline
from infra.settings import MIB, Settings
from ingest.gateway.webhooks import Webhook, WebhookSender, read_retry
from schemas.coordinates import TopicPartition

log = logs.get(__name__)

POLL_S = 0.1
COMMIT_S = 1.0
MAX_HELD, MAX_HELD_BYTES = 10_000, 32 * MIB


class WebhookRetries:
    """A member of the group `sightline-webhooks`: of several gateways, one sends each webhook."""

    def __init__(
        self,
        settings: Settings,
        sender: WebhookSender,
        loop: asyncio.AbstractEventLoop,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._topic = TopicNames.for_lane(settings.topic_prefix).webhooks
        self._sender, self._loop, self._fail = sender, loop, fail
        self._lock = threading.Lock()  # around `_progress`, which the event loop changes as well
        self._progress: GroupProgress[None] = GroupProgress()
        self._held: list[tuple[int, int, Webhook, Ticket[None]]] = []
        self._held_bytes = 0
        self._order = itertools.count()
        self._consumer = GroupConsumer(settings, group("webhooks", settings.topic_prefix), on_commit=self._on_commit)
        self._first_commits = FirstCommits(self._consumer, self._progress)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook-retries", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Commit what is finished, and leave the group."""
        self._closing.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._consumer.subscribe([self._topic], self)
            commit_at_s = 0.0
            while not self._closing.is_set():
                self._poll()
                self._send_due()
                self._keep_bounds()
                with self._lock:
                    gone = self._first_commits.look(time.monotonic())
                for partition, ranges in gone.items():
                    log.error(
                        "webhooks are gone from their topic", partition=str(partition), offsets=sum(map(len, ranges))
                    )
                if time.monotonic() >= commit_at_s:
                    commit_at_s = time.monotonic() + COMMIT_S
                    self._commit_soon()
            offsets = self._to_commit()
            if offsets and (failure := self._consumer.commit_within(offsets, Deadline(COMMIT_S))):
                log.warning("the offsets of webhooks are not committed, these are sent again", error=failure)
            self._consumer.close()
        except Exception as error:  # noqa: BLE001 - the process ends with it
            self._fail(error)

    def _poll(self) -> None:
        found = self._consumer.poll(POLL_S)
        while found is not None:
            if isinstance(found, ConsumedRecord):
                self._hold(found)
            elif isinstance(found, PartitionFault):
                raise_if_final(found.fault)
                log.warning("the reader of webhooks reports an error", error=found.fault.text)
            found = None if self._is_full() else self._consumer.poll(0)

    def _hold(self, record: ConsumedRecord) -> None:
        with self._lock:
            ticket = self._progress.start(record.topic_partition, record.offset, None)
        if ticket is None:
            return
        read = read_retry(record.key, record.value, record.headers)
        if read is None:
            log.warning("a record among the webhooks is none", offset=record.offset, partition=record.partition)
            self._finish(ticket)
            return
        hook, due_s = read
        heapq.heappush(self._held, (due_s, next(self._order), hook, ticket))
        self._held_bytes += len(hook.body)

    def _send_due(self) -> None:
        while self._held and self._held[0][0] <= time.time() and self._sender.has_room:
            _, _, hook, ticket = heapq.heappop(self._held)
            self._held_bytes -= len(hook.body)
            with self._lock:
                is_current = self._progress.generation(ticket.topic_partition) == ticket.generation
            if is_current:
                sent = threading.Event()
                self._loop.call_soon_threadsafe(self._start, hook, ticket, sent)
                sent.wait(POLL_S)  # so that `has_room` is true to what was started

    def _start(self, hook: Webhook, ticket: Ticket[None], started: threading.Event) -> None:
        self._sender.start(hook, lambda: self._finish(ticket))
        started.set()

    def _finish(self, ticket: Ticket[None]) -> None:
        with self._lock:
            self._progress.finish(ticket)

    def _is_full(self) -> bool:
        return len(self._held) >= MAX_HELD or self._held_bytes >= MAX_HELD_BYTES

    def _keep_bounds(self) -> None:
        """What waits stays on the topic; the consumer is polled meanwhile, so that it stays in the group."""
        if self._is_full() != self._consumer.is_paused:
            (self._consumer.pause if self._is_full() else self._consumer.resume)()

    def _to_commit(self) -> dict[TopicPartition, int]:
        with self._lock:
            return self._progress.to_commit()

    def _commit_soon(self) -> None:
        offsets = self._to_commit()
        if not offsets:
            return
        try:
            self._consumer.commit_soon(offsets)
        except KafkaFailure as error:
            log.warning("the offsets of webhooks are not committed yet", error=str(error))

    def _on_commit(self, report: CommitReport) -> None:
        with self._lock:
            self._progress.committed(report.stored)
        if report.fault is not None:
            log.warning("the offsets of webhooks are not committed yet", error=str(report.fault))

    # -- rebalances, reported by the client from within `poll` and `close`

    def on_assign(self, partitions: list[TopicPartition]) -> None:
        with self._lock:
            self._progress.assign(partitions)
        self._first_commits.on_assign(partitions)

    def on_revoke(self, partitions: list[TopicPartition]) -> None:
        if not self._closing.is_set():
            self._commit_soon()
        self.on_lost(partitions)

    def on_lost(self, partitions: list[TopicPartition]) -> None:
        self._first_commits.on_revoke(partitions)
        with self._lock:
            self._progress.revoke(partitions)
        gone = set(partitions)
        self._held = [one for one in self._held if one[3].topic_partition not in gone]
        heapq.heapify(self._held)
        self._held_bytes = sum(len(one[2].body) for one in self._held)
