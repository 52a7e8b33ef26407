"""What the gateway knows while it runs: keys, outcomes, frames without an outcome, webhooks to come.

From the event loop's thread.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict

from infra.settings import GatewaySettings
from ingest.gateway.keys import Key, digest_of
from ingest.gateway.limits import DAY_S, Quotas, Room
from ingest.gateway.problems import Problem
from ingest.gateway.ring import Outcome, OutcomeRing
from ingest.gateway.store import Answered, Store
from ingest.gateway.webhooks import WebhookSender, webhook_of

MAX_IDEMPOTENCY_KEY = 255


class GatewayState:
    """`webhooks` is None until the event loop runs."""

    def __init__(self, settings: GatewaySettings, store: Store) -> None:
        self.settings, self.store = settings, store
        self.ring = OutcomeRing(settings.ring_labels, settings.ring_bytes)
        self.room, self.quotas = Room(settings.max_buffer_bytes), Quotas(settings.frames_per_s)
        self.webhooks: WebhookSender | None = None
        self.waiting_requests = 0
        # Frames that were acknowledged and have no outcome yet, the newest ones.
        self._open: OrderedDict[str, None] = OrderedDict()
        self._targets = store.webhooks()
        self._busy_keys: set[tuple[str, str]] = set()
        self._keys: dict[str, Key] = {}
        self._secrets: dict[str, str] = {}
        self._version = -1
        self.look_at_keys()

    @property
    def names(self) -> set[str]:
        """The names of all keys."""
        return set(self._secrets)

    def oldest_webhook_s(self) -> int | None:
        """When the oldest upload whose webhook is not sent yet was made."""
        return min((at_s for _, at_s in self._targets.values()), default=None)

    # -- keys

    def look_at_keys(self) -> None:
        """Take over what another process changed."""
        version = self.store.version()
        if version == self._version:
            return
        self._version = version
        keys = self.store.keys()
        self._keys = {key.digest: key for key in keys}
        self._secrets = {key.name: key.signing_secret for key in keys}
        self.quotas.keep(self.names)
        day = int(time.time() // DAY_S)
        for key in keys:
            if used := self.store.used(key.name, day):
                self.quotas.restore(key.name, day, max(used, self.quotas.used(key.name, day)))

    def key_of(self, authorization: str, scope: str) -> Key:
        """The key of `Bearer <token>`. Raises Problem 401 for an unknown one, 403 for one that may not do this."""
        scheme, _, token = authorization.partition(" ")
        key = self._keys.get(digest_of(token.strip())) if scheme.lower() == "bearer" else None
        if key is None:
            why = "the key is not known" if token else "send a key: `Authorization: Bearer slk_...`"
            raise Problem(401, "unauthorized", why)
        if not key.may(scope):
            raise Problem(403, "forbidden", f"the key {key.name} lacks the scope {scope}")
        return key

    def secret_of(self, name: str) -> str | None:
        return self._secrets.get(name)

    # -- repeated requests

    def answered(self, key: Key, idempotency_key: str, fingerprint: str) -> Answered | None:
        """The answer to an earlier request with this key of its sender; None for the first one, which is now begun.

        Raises Problem 422 when that asked for something else, 409 while it is under way.
        """
        if len(idempotency_key) > MAX_IDEMPOTENCY_KEY:
            raise Problem(400, "bad_idempotency_key", f"an Idempotency-Key has up to {MAX_IDEMPOTENCY_KEY} characters")
        if (key.name, idempotency_key) in self._busy_keys:
            raise Problem(409, "under_way", "a request with this Idempotency-Key is under way", 1.0)
        oldest_s = int(time.time()) - self.settings.idempotency_h * 3600
        found = self.store.answer(key.name, idempotency_key, oldest_s)
        if found is None:
            self._busy_keys.add((key.name, idempotency_key))
        elif found.fingerprint != fingerprint:
            raise Problem(422, "other_body", "this Idempotency-Key was used for another request")
        return found

    def end_request(self, key: Key, idempotency_key: str, answered: Answered | None) -> None:
        """The request has its answer. Without one it may be made again."""
        self._busy_keys.discard((key.name, idempotency_key))
        if answered is not None:
            self.store.keep_answer(key.name, idempotency_key, answered, int(time.time()))

    # -- outcomes

    def uploaded(self, frame_ids: list[str], target: str | None) -> None:
        """These frames were acknowledged; a label that is there already is sent at once."""
        at_s = int(time.time())
        for frame_id in frame_ids:
            outcome = self.ring.get(frame_id)
            if outcome is None:
                self._open[frame_id] = None
            if target is not None:
                self._targets[frame_id] = (target, at_s)
                self.store.add_webhook(frame_id, target, at_s)
                if outcome is not None:
                    self._send(outcome)
        while len(self._open) > self.settings.ring_labels:
            self._open.popitem(last=False)

    def room_for_webhooks(self, count: int) -> None:
        """Raises Problem 429 while too many are to come."""
        if len(self._targets) + count > self.settings.max_webhooks:
            raise Problem(429, "busy", "too many webhooks wait for their labels", 30.0)

    def take(self, outcome: Outcome) -> None:
        """An outcome was read."""
        self._open.pop(outcome.frame_id, None)
        if self.ring.add(outcome) and outcome.frame_id in self._targets:
            self._send(outcome)

    def _send(self, outcome: Outcome) -> None:
        if self.webhooks is None:
            return
        target, _ = self._targets[outcome.frame_id]
        key = outcome.frame_id.partition("/")[0].rpartition(".")[0]

        def done() -> None:
            if self._targets.pop(outcome.frame_id, None) is not None:
                self.store.remove_webhook(outcome.frame_id)

        self.webhooks.start(webhook_of(outcome, target, key, int(time.time())), done)

    async def outcome(self, frame_id: str, wait_s: float) -> Outcome:
        """The outcome of a frame. Raises Problem 404 with the reason when there is none within `wait_s`."""
        found = self.ring.get(frame_id)
        if found is None and wait_s > 0:
            await self._wait(frame_id, wait_s)
            found = self.ring.get(frame_id)
        if found is not None:
            return found
        if frame_id in self._open:
            raise Problem(404, "no_label_yet", "the frame was taken and has no label yet: ask again, or with ?wait=", 1)
        raise Problem(
            404,
            "not_kept",
            "the gateway has no label of this frame: it was never uploaded, or its label is older than the newest "
            f"{self.settings.ring_labels} that are kept. `sightline subscribe --from` reads older ones",
        )

    async def _wait(self, frame_id: str, wait_s: float) -> None:
        if self.waiting_requests >= self.settings.max_waiting_requests:
            raise Problem(429, "busy", "too many requests wait for labels", 1.0)
        woken = asyncio.Event()
        self.waiting_requests += 1
        self.ring.wait(frame_id, woken.set)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), wait_s)
        finally:
            self.waiting_requests -= 1
            self.ring.leave(frame_id, woken.set)

    # -- housekeeping

    def keep_house(self) -> None:
        """Now and then: what is counted goes to disk, what is too old goes."""
        day = int(time.time() // DAY_S)
        for name in self.quotas.changed:
            self.store.set_used(name, day, self.quotas.used(name, day))
        self.quotas.changed.clear()
        oldest_s = int(time.time()) - self.settings.idempotency_h * 3600
        self.store.trim_answers(oldest_s, self.settings.idempotency_entries)
