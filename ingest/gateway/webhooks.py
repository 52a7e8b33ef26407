"""Webhooks: labels are sent to the targets that uploads named, signed; what fails goes to `webhooks.retry`.

Everything here runs in the event loop's thread.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import aiohttp

from infra.kafka.errors import KafkaFailure
from infra.kafka.sender import DeliveryReport, OutRecord, Sender
from infra.net.policy import AddressPolicy
from infra.net.session import client_session, refusal_of
from infra.process import logs, metrics
from infra.process.now_and_then import NowAndThen
from ingest.gateway.problems import Problem
from ingest.gateway.ring import Outcome
from schemas.errors import Busy
from schemas.headers import Header, RawHeaders, to_map
from schemas.webhooks import signed_headers

log = logs.get(__name__)

MAX_TARGET = 2_048
AT_ONCE, AT_ONCE_PER_HOST = 64, 8
TELL_EVERY_S = 60.0
ATTEMPT, DUE, FIRST, KEY, ID = (f"sightline-webhook-{name}" for name in ("attempt", "due", "first", "key", "id"))


@dataclass(frozen=True, slots=True)
class Webhook:
    """One label on its way. `first_s`: when it was to be sent first; `attempt`: 0 for the first one."""

    target: str
    key: str
    webhook_id: str
    body: bytes
    first_s: int
    attempt: int = 0


def check_target(text: str, policy: AddressPolicy) -> str:
    """The target as it is kept. Raises Problem 422 for what is no http(s) address, and for refused IP addresses.

    A name is looked up when it is connected to, each time, and its addresses are judged then.
    """
    try:
        parts = urlsplit(text)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or len(text) > MAX_TARGET or not text.isascii():
        raise Problem(422, "bad_target", "a webhook's target is an http:// or https:// address with a host")
    if parts.username is not None or parts.password is not None:
        raise Problem(422, "bad_target", "a webhook's target has no user and no password")
    reason = policy.refusal(parts.hostname, port)
    if reason not in (None, "not_an_address"):  # a name
        raise Problem(422, "refused_target", f"webhooks are not sent to {parts.hostname}: {reason}")
    return text


def webhook_of(outcome: Outcome, target: str, key: str, now_s: int) -> Webhook:
    """The same outcome for the same target has the same id, however often it is sent."""
    digest = hashlib.sha256(f"{outcome.frame_id}\n{target}".encode()).hexdigest()[:32]
    if outcome.json is None:
        kind, data = "frame.dead", json.dumps({"frame_id": outcome.frame_id, "reason": outcome.reason})
    else:
        kind, data = "frame.labelled", outcome.json
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))
    body = f'{{"type":"{kind}","timestamp":"{stamp}","data":{data}}}'.encode()
    return Webhook(target, key, f"msg_{digest}", body, now_s)


def retry_record(topic: str, hook: Webhook, due_s: int) -> OutRecord:
    """The webhook as a record: keyed by its target, the value as it is sent."""
    fields = {ATTEMPT: hook.attempt, DUE: due_s, FIRST: hook.first_s, KEY: hook.key, ID: hook.webhook_id}
    headers: list[Header] = [(name, str(value).encode()) for name, value in fields.items()]
    return OutRecord(topic, hook.target, hook.body, headers)


def read_retry(key: bytes | None, value: bytes | None, headers: RawHeaders) -> tuple[Webhook, int] | None:
    """The webhook of a record and when it is due, in seconds; None for what we did not write."""
    fields = {name: found.decode(errors="replace") for name, found in to_map(headers).items()}
    try:
        attempt, due_s, first_s = (int(fields[name]) for name in (ATTEMPT, DUE, FIRST))
        return Webhook((key or b"").decode(), fields[KEY], fields[ID], value or b"", first_s, attempt), due_s
    except (KeyError, ValueError):
        return None


class WebhookSender:
    """Sends webhooks, as many at once as are bearable, and puts what failed on the topic of retries."""

    def __init__(
        self,
        policy: AddressPolicy,
        sender: Sender,
        topic: str,
        secret_of: Callable[[str], str | None],
        *,
        timeout_s: float,
        delays_s: tuple[int, ...],
        keep_s: int,
    ) -> None:
        self.policy, self._sender, self._topic, self._secret_of = policy, sender, topic, secret_of
        self._delays_s, self._keep_s = delays_s, keep_s
        self._loop = asyncio.get_running_loop()
        self._session = client_session(
            policy,
            user_agent="sightline-webhooks",
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            connections=AT_ONCE,
            connections_per_host=AT_ONCE_PER_HOST,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = NowAndThen(TELL_EVERY_S)

    @property
    def has_room(self) -> bool:
        return len(self._tasks) < AT_ONCE

    def start(self, hook: Webhook, done: Callable[[], None]) -> None:
        """Send it now, or by way of the topic when too many are under way.

        `done` is called once it was taken by its target, is on the topic, or is given up. Until then it is not safe.
        """
        work = self._attempt(hook, done) if self.has_room else self._postpone(hook, int(time.time()), done)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, timeout_s: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await self._session.close()

    async def _attempt(self, hook: Webhook, done: Callable[[], None]) -> None:
        secret = self._secret_of(hook.key)
        if secret is None:
            self._give_up(hook, "key_removed", done)
            return
        headers = {"content-type": "application/json"}
        headers |= signed_headers(secret, hook.webhook_id, int(time.time()), hook.body)
        try:
            async with self._session.post(
                hook.target, data=hook.body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if refusal_of(error) is not None or isinstance(error, aiohttp.InvalidURL):
                self._give_up(hook, "refused_target", done)
                return
            await self._again(hook, type(error).__name__, done)
            return
        if status == 410:  # the target wants no more of it
            self._give_up(hook, "gone", done)
        elif 200 <= status < 300:
            metrics.WEBHOOKS.labels("delivered").inc()
            done()
        else:
            await self._again(hook, f"status {status}", done)

    async def _again(self, hook: Webhook, why: str, done: Callable[[], None]) -> None:
        now_s = int(time.time())
        delay_s = self._delays_s[min(hook.attempt, len(self._delays_s) - 1)]
        metrics.WEBHOOKS.labels("failed").inc()
        log.debug("a webhook failed", target=hook.target, attempt=hook.attempt, why=why)
        if now_s + delay_s > hook.first_s + self._keep_s:
            self._give_up(hook, "too_old", done)
            return
        await self._postpone(replace(hook, attempt=hook.attempt + 1), now_s + delay_s, done)

    async def _postpone(self, hook: Webhook, due_s: int, done: Callable[[], None]) -> None:
        """Onto the topic, as often as it takes: what is neither delivered nor there is read again after a restart."""
        while not await self._written(retry_record(self._topic, hook, due_s)):  # noqa: ASYNC110 - each round tries again
            await asyncio.sleep(1.0)
        done()

    async def _written(self, record: OutRecord) -> bool:
        answer: asyncio.Future[bool] = self._loop.create_future()

        def settle(report: DeliveryReport) -> None:
            if not answer.done():
                answer.set_result(report.fault is None)

        def on_delivery(report: DeliveryReport) -> None:
            self._loop.call_soon_threadsafe(settle, report)

        try:
            self._sender.send(replace(record, on_delivery=on_delivery))
        except (Busy, KafkaFailure) as error:
            log.debug("a webhook is not on its topic yet", error=str(error))
            return False
        return await answer

    def _give_up(self, hook: Webhook, reason: str, done: Callable[[], None]) -> None:
        metrics.WEBHOOKS.labels(reason).inc()
        if count := self._failures.count(reason, time.monotonic()):
            log.warning("webhooks are given up", count=count, reason=reason, last_key=hook.key)
        done()
