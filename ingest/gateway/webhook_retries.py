"""Reads `webhooks.retry`: each webhook waits until it is due, and is sent once more. In a thread of its own.

Offsets move past a webhook once it is delivered, given up, or written again for its next attempt.
"""

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Collection, Sequence

from infra.kafka.groups import Ticket
from infra.kafka.holding_member import POLL_S, HoldingMember
from infra.kafka.records import ConsumedRecord
from infra.kafka.topics import TopicNames, group
from infra.process import logs
from infra.settings import MIB, Settings
from ingest.gateway.webhooks import Webhook, WebhookSender, read_retry
from schemas.coordinates import TopicPartition

log = logs.get(__name__)

MAX_HELD, MAX_HELD_BYTES = 10_000, 32 * MIB


class WebhookRetries(HoldingMember[None]):
    """A member of the group `sightline-webhooks`: of several gateways, one sends each webhook."""

    def __init__(
        self,
        settings: Settings,
        sender: WebhookSender,
        loop: asyncio.AbstractEventLoop,
        fail: Callable[[BaseException], None],
    ) -> None:
        prefix = settings.topic_prefix
        topic = TopicNames.for_lane(prefix).webhooks
        super().__init__(settings, "webhooks", topic, group("webhooks", prefix), fail)
        self._sender, self._loop = sender, loop
        self._held: list[tuple[int, int, Webhook, Ticket[None]]] = []
        self._held_bytes = 0
        self._order = itertools.count()

    def _hold(self, record: ConsumedRecord) -> None:
        with self._lock:
            ticket = self.progress.start(record.topic_partition, record.offset, None)
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

    def _hand_over(self) -> None:
        while self._held and self._held[0][0] <= time.time() and self._sender.has_room:
            _, _, hook, ticket = heapq.heappop(self._held)
            self._held_bytes -= len(hook.body)
            with self._lock:
                is_current = self.progress.generation(ticket.topic_partition) == ticket.generation
            if is_current:
                sent = threading.Event()
                self._loop.call_soon_threadsafe(self._start, hook, ticket, sent)
                sent.wait(POLL_S)  # so that `has_room` is true to what was started

    def _start(self, hook: Webhook, ticket: Ticket[None], started: threading.Event) -> None:
        self._sender.start(hook, lambda: self._finish(ticket))
        started.set()

    def _finish(self, ticket: Ticket[None]) -> None:
        with self._lock:
            self.progress.finish(ticket)

    def _is_full(self) -> bool:
        return len(self._held) >= MAX_HELD or self._held_bytes >= MAX_HELD_BYTES

    def _drop(self, partitions: Collection[TopicPartition]) -> None:
        self._held = [one for one in self._held if one[3].topic_partition not in partitions]
        heapq.heapify(self._held)
        self._held_bytes = sum(len(one[2].body) for one in self._held)

    def _on_gone(self, partition: TopicPartition, offsets: Sequence[range]) -> None:
        log.error("webhooks are gone from their topic", partition=str(partition), offsets=sum(map(len, offsets)))
